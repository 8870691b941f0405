package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// ledger runs fn as a worker of the house's first client.
func (h *house) ledger(fn func(*store.Tx) error) { h.Helper(); h.as(store.Worker, h.acme, fn) }

func (h *house) effect(key string) store.LedgerRow {
	h.Helper()
	var row store.LedgerRow
	h.ledger(func(tx *store.Tx) (err error) {
		row, err = tx.Effect(key)
		return err
	})
	return row
}

func TestIntendOnce(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	first, again := h.intend(h.acme, i, 1), h.intend(h.acme, i, 1)
	equal(t, "row of the repeat", again, first)
	equal(t, "length of the token", len(first.Token), 32)
	equal(t, "state", first.State, models.EffectIntended)
	if other := h.intend(h.acme, i, 2); other.Token == first.Token || other.ID == first.ID {
		t.Error("two effects share a token or an id")
	}
	h.ledger(func(tx *store.Tx) error {
		byToken, err := tx.EffectByToken(first.Token)
		h.ok(err)
		byID, err := tx.EffectByID(first.ID)
		equal(t, "by token", byToken, first)
		equal(t, "by id", byID, first)
		return err
	})
	h.as(store.Worker, h.other, func(tx *store.Tx) error {
		_, err := tx.EffectByToken(first.Token)
		h.refused(err, models.NotFound)
		return nil
	})
	foreign := models.MailEffect(i.Reference, h.acme.ID, models.PurposePublished, 1, 3, h.other.contact.ID)
	h.refused(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.Intend(foreign, noon)
		return err
	}), models.NotFound)
}

func TestAttemptIsAFence(t *testing.T) {
	h := newHouse(t)
	key := h.intend(h.acme, h.published(h.acme, "open"), 1).Key
	attempt := func(previous, at time.Time) (won bool) {
		h.ledger(func(tx *store.Tx) (err error) {
			won, err = tx.Attempt(key, previous, at)
			return err
		})
		return won
	}
	race := func(previous, base time.Time) int64 {
		var winners atomic.Int64
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				if attempt(previous, base.Add(time.Duration(n)*time.Second+123*time.Nanosecond)) {
					winners.Add(1)
				}
			})
		}
		all.Wait()
		return winners.Load()
	}
	equal(t, "winners of the first attempt", race(time.Time{}, noon), 1)
	equal(t, "winners of the second", race(h.effect(key).AttemptAt, noon.Add(time.Hour)), 1)
	equal(t, "attempts", h.effect(key).Attempts, 2)
	fine := noon.Add(90*time.Minute + 7*time.Nanosecond) // finer than the database keeps
	equal(t, "an attempt", attempt(h.effect(key).AttemptAt, fine), true)
	equal(t, "taken back", attempt(fine, time.Time{}), true)
	equal(t, "time of an attempt taken back", h.effect(key).AttemptAt.IsZero(), true)
	equal(t, "attempts counted", h.effect(key).Attempts, 3)
	equal(t, "an attempt after that", attempt(time.Time{}, noon.Add(2*time.Hour)), true)
	equal(t, "a stale attempt", attempt(time.Time{}, noon), false)
	h.ledger(func(tx *store.Tx) error { return tx.Accept(key, "sendgrid", "m-1", noon) })
	equal(t, "an attempt after acceptance", attempt(h.effect(key).AttemptAt, noon.Add(2*time.Hour)), false)
	h.refused(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.Attempt("no such key", time.Time{}, noon)
		return err
	}), models.NotFound)
}

func TestAcceptAndRefuse(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	taken, refused := h.intend(h.acme, i, 1).Key, h.intend(h.acme, i, 2).Key
	h.ledger(func(tx *store.Tx) error {
		h.ok(tx.Accept(taken, "sendgrid", "m-1", noon))
		h.ok(tx.Accept(taken, "sendgrid", "m-2", noon.Add(time.Hour)))
		h.refused(tx.Refuse(taken, "sendgrid", "rejected", noon), models.Conflict)
		h.ok(tx.Refuse(refused, "sendgrid", "rejected 400", noon))
		h.ok(tx.Refuse(refused, "sendgrid", "rejected 400", noon))
		h.refused(tx.Accept(refused, "sendgrid", "m-3", noon), models.Conflict)
		h.refused(tx.Accept("no such key", "sendgrid", "m-3", noon), models.NotFound)
		known, err := tx.KnownVendorID("sendgrid", "m-1")
		h.ok(err)
		unknown, err := tx.KnownVendorID("sendgrid", "m-2")
		equal(t, "known ids", [2]bool{known, unknown}, [2]bool{true, false})
		return err
	})
	row := h.effect(taken)
	equal(t, "id", row.VendorID, "m-1")
	equal(t, "accepted at", row.AcceptedAt, noon)
	equal(t, "reason", h.effect(refused).Reason, "rejected 400")
}

func TestAdoptKeepsTheFirstID(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 1)
	adopt := func(id string) (mine bool) {
		h.ledger(func(tx *store.Tx) error {
			got, ours, err := tx.Adopt(row.Token, "twilio", id, noon)
			equal(t, "id that may speak", got.SessionID, "CA1")
			mine = ours
			return err
		})
		return mine
	}
	equal(t, "the first", adopt("CA1"), true)
	equal(t, "a second", adopt("CA2"), false)
	equal(t, "the first again", adopt("CA1"), true)
	h.ledger(func(tx *store.Tx) error { return tx.Accept(row.Key, "twilio", "CA2", noon) })
	got := h.effect(row.Key)
	equal(t, "state", got.State, models.EffectAccepted)
	equal(t, "id after a late acceptance", got.VendorID, "CA1")
	h.ledger(func(tx *store.Tx) error {
		_, _, err := tx.Adopt("no such token", "twilio", "CA3", noon)
		h.refused(err, models.NotFound)
		return nil
	})
}

func TestProgressNeverGoesBack(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	for n, c := range []struct {
		name string
		said []struct {
			state          string
			rank, sequence int
			moved          bool
		}
		last string
	}{
		{"counted", []struct {
			state          string
			rank, sequence int
			moved          bool
		}{{"initiated", 1, 0, true}, {"in-progress", 3, 2, true}, {"ringing", 2, 1, false}, {"in-progress", 3, 2, false}, {"completed", 4, 3, true}}, "completed"},
		{"ranked", []struct {
			state          string
			rank, sequence int
			moved          bool
		}{{"processed", 0, -1, true}, {"delivered", 2, -1, true}, {"deferred", 1, -1, false}, {"delivered", 2, -1, false}}, "delivered"},
		{"polled, then a late callback", []struct {
			state          string
			rank, sequence int
			moved          bool
		}{{"ringing", 2, 1, true}, {"completed", 4, -1, true}, {"in-progress", 3, 2, false}, {"completed", 4, 3, true}}, "completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := h.intend(h.acme, i, n+1).Key
			for step, s := range c.said {
				h.ledger(func(tx *store.Tx) error {
					moved, err := tx.Progress(key, s.state, s.rank, s.sequence, noon)
					if moved != s.moved {
						t.Errorf("step %d (%s): moved %v, want %v", step, s.state, moved, s.moved)
					}
					return err
				})
			}
			equal(t, "last word", h.effect(key).VendorState, c.last)
		})
	}
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Progress("no such key", "x", 1, 1, noon)
		h.refused(err, models.NotFound)
		return nil
	})
}

func TestAcknowledgedStays(t *testing.T) {
	h := newHouse(t)
	key := h.intend(h.acme, h.published(h.acme, "open"), 1).Key
	h.ledger(func(tx *store.Tx) error {
		h.ok(tx.SetOutcome(key, "no_key", noon))
		h.ok(tx.SetOutcome(key, "acknowledged", noon))
		h.ok(tx.SetOutcome(key, "no_key", noon))
		h.refused(tx.SetOutcome("no such key", "x", noon), models.NotFound)
		return nil
	})
	equal(t, "outcome", h.effect(key).Outcome, "acknowledged")
}

func TestVendorEventsAreSeenOnce(t *testing.T) {
	h := newHouse(t)
	see := func(te tenant) (seen bool) {
		h.as(store.Worker, te, func(tx *store.Tx) (err error) {
			seen, err = tx.SeenVendorEvent("sendgrid", "event-1")
			return err
		})
		return seen
	}
	equal(t, "first, again, at another client", [3]bool{see(h.acme), see(h.acme), see(h.other)}, [3]bool{false, true, false})
}

func TestDeliveriesNameContacts(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	h.intend(h.acme, i, 1)
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Intend(models.EndpointEffect(i.Reference, h.acme.ID, models.PurposeIsolate, "e1", 1), noon.Add(time.Second))
		return err
	})
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			all, err := tx.Deliveries(i.Reference)
			h.ok(err)
			equal(t, "deliveries", len(all), 2)
			equal(t, "name", all[0].ContactName, h.acme.contact.Name)
			equal(t, "contact", all[0].Contact, h.acme.contact.ID)
			equal(t, "endpoint", all[1].Endpoint, "e1")
			equal(t, "contact of an isolation", all[1].Contact, uuid.Nil)
			return nil
		})
	}
}
