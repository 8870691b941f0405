package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func (h *house) pass(te tenant, r models.Reference, endpoint string, generation, limit int, at time.Time) (passes bool) {
	h.Helper()
	h.as(store.Worker, te, func(tx *store.Tx) (err error) {
		passes, err = tx.PassIsolation(r, endpoint, generation, limit, at.Add(-models.IsolationWindow), at)
		return err
	})
	return passes
}

func TestIsolationsPassUpToALimit(t *testing.T) {
	h := newHouse(t)
	i, other := h.open(h.acme, "open-1"), h.open(h.other, "open-1")
	equal(t, "the first", h.pass(h.acme, i.Reference, "e1", 1, 2, noon), true)
	equal(t, "the first, again", h.pass(h.acme, i.Reference, "e1", 1, 2, noon), true)
	// An isolation somebody approved is counted from the ledger, and one that passed is not counted twice.
	for _, e := range []string{"e1", "e2"} {
		h.as(store.Worker, h.acme, func(tx *store.Tx) error {
			_, err := tx.Intend(notify.EndpointEffect(i.Reference, h.acme.ID, notify.PurposeIsolate, e, 1, 1), noon)
			return err
		})
	}
	equal(t, "the third", h.pass(h.acme, i.Reference, "e3", 1, 2, noon), false)
	equal(t, "the third with room", h.pass(h.acme, i.Reference, "e3", 1, 3, noon), true)
	equal(t, "the first, once more", h.pass(h.acme, i.Reference, "e1", 1, 2, noon), true)
	equal(t, "another desired state of the first", h.pass(h.acme, i.Reference, "e1", 2, 3, noon), false)
	equal(t, "another client's", h.pass(h.other, other.Reference, "e1", 1, 1, noon), true)
	equal(t, "ten minutes later", h.pass(h.acme, i.Reference, "e1", 2, 1, noon.Add(models.IsolationWindow)), true)
}

func TestIsolationsThatComeAtOnceKeepTheLimit(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open-1")
	var passed atomic.Int32
	var done sync.WaitGroup
	for n := range 12 {
		done.Go(func() {
			err := h.ForClient(h.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
				passes, err := tx.PassIsolation(i.Reference, fmt.Sprintf("e%d", n), 1, 5, noon.Add(-models.IsolationWindow), noon)
				if passes {
					passed.Add(1)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	equal(t, "isolations that passed", int(passed.Load()), 5)
}

func TestIsolationIsPausedAndResumed(t *testing.T) {
	h := newHouse(t)
	turn := func(who store.Audience, s models.IsolationSwitch) (now models.IsolationSwitch) {
		h.as(who, h.acme, func(tx *store.Tx) (err error) {
			now, err = tx.SwitchIsolation(s)
			return err
		})
		return now
	}
	same(t, "resumed before it was paused", turn(store.SOC, models.IsolationSwitch{Side: models.SideSOC, By: h.analyst.ID, At: noon, Reason: "r"}), models.IsolationSwitch{})
	paused := models.IsolationSwitch{Paused: true, Side: models.SideClient, By: h.acme.user.ID, At: noon, Reason: "stolen"}
	same(t, "paused", turn(store.Portal, paused), paused)
	same(t, "paused again", turn(store.SOC, models.IsolationSwitch{Paused: true, Side: models.SideSOC, By: h.analyst.ID, At: noon.Add(1), Reason: "r"}), paused)
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			now, err := tx.IsolationSwitch()
			same(t, string(who)+" reads", now, paused)
			return err
		})
	}
	h.as(store.Worker, h.other, func(tx *store.Tx) error {
		now, err := tx.IsolationSwitch()
		equal(t, "another client", now.Paused, false)
		return err
	})
	resumed := models.IsolationSwitch{Side: models.SideSOC, By: h.analyst.ID, At: noon.Add(time.Hour), Reason: "over"}
	same(t, "resumed", turn(store.SOC, resumed), resumed)
	for who, side := range map[store.Audience]models.Side{store.Portal: models.SideSOC, store.SOC: models.SideClient} {
		err := h.ForClient(h.Context(), who, h.acme.ID, func(tx *store.Tx) error {
			_, err := tx.SwitchIsolation(models.IsolationSwitch{Paused: true, Side: side, By: h.analyst.ID, At: noon, Reason: "r"})
			return err
		})
		if err == nil {
			t.Errorf("the %s speaks for the side %s", who, side)
		}
	}
}
