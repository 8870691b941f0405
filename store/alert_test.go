package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestAlertsAreKnownBySourceAndFinding(t *testing.T) {
	h := newHouse(t)
	first, outcome := h.receive(h.acme, "f-1", "same title", "r-1")
	equal(t, "first", outcome, store.AlertCreated)
	equal(t, "version", first.Version, 1)
	for _, step := range []struct {
		what, finding, raw, request string
		outcome                     store.AlertOutcome
		version                     int
		same                        bool
	}{
		{"sent again", "f-1", "same title", "r-2", store.AlertUnchanged, 1, true},
		{"the same title under another id", "f-2", "same title", "r-3", store.AlertCreated, 1, false},
		{"changed", "f-1", "changed", "r-4", store.AlertUpdated, 2, true},
		{"the first request again", "f-1", "same title", "r-1", store.AlertCreated, 2, true},
		{"the second request again", "f-1", "same title", "r-2", store.AlertUnchanged, 2, true},
		{"changed back", "f-1", "same title", "r-5", store.AlertUpdated, 3, true},
		{"that again", "f-1", "same title", "r-5", store.AlertUpdated, 3, true},
	} {
		a, outcome := h.receive(h.acme, step.finding, step.raw, step.request)
		equal(t, step.what, outcome, step.outcome)
		equal(t, step.what+": version", a.Version, step.version)
		equal(t, step.what+": same alert", a.ID == first.ID, step.same)
		equal(t, step.what+": client", a.Client, h.acme.Number)
	}
	theirs, outcome := h.receive(h.other, "f-1", "same title", "r-1")
	equal(t, "at another client", outcome, store.AlertCreated)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		for version, want := range map[int]string{0: "same title", 1: "same title", 2: "changed", 3: "same title"} {
			raw, err := tx.AlertPayload(first.ID, version)
			h.ok(err)
			equal(t, fmt.Sprintf("payload of version %d", version), string(raw), want)
		}
		_, err := tx.AlertPayload(first.ID, 4)
		h.fails(err, models.NotFound)
		_, err = tx.Alert(theirs.ID)
		h.fails(err, models.NotFound)
		got, err := tx.Alert(first.ID)
		equal(t, "title", got.Title, "same title")
		equal(t, "indicator", got.Indicators[0].Value, "203.0.113.7")
		equal(t, "occurred", got.OccurredAt, noon.Add(-time.Minute))
		return err
	})
}

func TestAlertRequestIDsAreNotReused(t *testing.T) {
	h := newHouse(t)
	h.receive(h.acme, "f-1", "one", "r-1")
	for name, finding := range map[string]string{"another finding": "f-2", "other bytes": "f-1"} {
		t.Run(name, func(t *testing.T) {
			h.fails(h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
				_, _, err := tx.ReceiveAlert(newAlert(finding, "two"), []byte("two"), "r-1")
				return err
			}), models.Invalid)
		})
	}
	equal(t, "alerts", len(ownerTexts(t, h.ownerURL, "select title from alerts where version = 1")), 1)
}

func TestAlertsInParallel(t *testing.T) {
	h := newHouse(t)
	var mu sync.Mutex
	outcomes := map[store.AlertOutcome]int{}
	var all sync.WaitGroup
	for n := range 32 {
		all.Go(func() {
			err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
				_, outcome, err := tx.ReceiveAlert(newAlert("one finding", "t"), []byte("same bytes"), requestID(n/2))
				mu.Lock()
				defer mu.Unlock()
				outcomes[outcome]++
				return err
			})
			if err != nil {
				t.Errorf("receive: %v", err)
			}
		})
	}
	all.Wait()
	if outcomes[store.AlertUpdated] != 0 || outcomes[store.AlertCreated] < 1 || outcomes[store.AlertCreated] > 2 {
		t.Errorf("outcomes: %v, want one request that created", outcomes)
	}
	equal(t, "versions", len(ownerTexts(t, h.ownerURL, "select version::text from alert_payloads")), 1)
}

func TestAlertThatCouldNotBeNormalisedIsKept(t *testing.T) {
	h := newHouse(t)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		_, _, err := tx.ReceiveAlert(models.Alert{Source: models.SourceIntegration, FindingID: "sha256:x", Problem: "not JSON", ReceivedAt: noon},
			[]byte{0, 0xff, '{'}, "r")
		return err
	})
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		all, err := tx.Alerts(store.AlertFilter{ProblemOnly: true}, store.Cursor{}, 10)
		h.ok(err)
		equal(t, "alerts", len(all), 1)
		equal(t, "occurred at is unknown", all[0].OccurredAt.IsZero(), true)
		raw, err := tx.AlertPayload(all[0].ID, 0)
		equal(t, "raw", string(raw), "\x00\xff{")
		return err
	})
}

func TestAlertListIsCompleteAndFiltered(t *testing.T) {
	h := newHouse(t)
	want := map[string]bool{}
	for n := range 17 {
		a, _ := h.receive([]tenant{h.acme, h.other}[n%2], requestID(n), "t", requestID(n)) // all received at the same moment
		want[a.ID.String()] = true
	}
	linked, _ := h.receive(h.acme, "linked", "t", "linked")
	h.open(h.acme, "open", linked.ID)
	list := func(f store.AlertFilter) []models.Alert {
		var all []models.Alert
		for c := (store.Cursor{}); ; {
			var page []models.Alert
			h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) (err error) {
				page, err = tx.Alerts(f, c, 4)
				return err
			}))
			if all = append(all, page...); len(page) < 4 {
				return all
			}
			last := page[len(page)-1]
			c = store.Cursor{At: last.ReceivedAt, ID: last.ID.String()}
		}
	}
	for _, a := range list(store.AlertFilter{State: models.AlertNew}) {
		if !want[a.ID.String()] {
			t.Errorf("alert %s came twice or should not be there", a.ID)
		}
		delete(want, a.ID.String())
	}
	equal(t, "missing", len(want), 0)
	equal(t, "all", len(list(store.AlertFilter{})), 18)
	equal(t, "linked", len(list(store.AlertFilter{State: models.AlertLinked})), 1)
	equal(t, "of one client", len(list(store.AlertFilter{Client: h.other.Number})), 8)
	equal(t, "of another source", len(list(store.AlertFilter{Source: models.SourceHunting})), 0)
	h.fails(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Alerts(store.AlertFilter{}, store.Cursor{At: noon, ID: "SI-1001-0001"}, 4)
		return err
	}), models.Invalid)
}

func TestParseCursor(t *testing.T) {
	for _, s := range []string{"x", "====", "AAAA", "MjAyNi0wMy0wMlQxMjowMDowMFo", "MjAyNi0wMy0wMlQxMjowMDowMFog"} {
		if c, err := store.ParseCursor(s); models.KindOf(err) != models.Invalid {
			t.Errorf("%q: got %v, %v", s, c, err)
		}
	}
	c, err := store.ParseCursor("")
	if err != nil || c != (store.Cursor{}) || c.String() != "" {
		t.Errorf("the empty cursor: %v, %v", c, err)
	}
}
