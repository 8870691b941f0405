package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestOpenIncidentLinksItsAlerts(t *testing.T) {
	h := newHouse(t)
	a, _ := h.receive(h.acme, "f-1", "one", "a-1")
	b, _ := h.receive(h.acme, "f-2", "two", "a-2")
	i := h.open(h.acme, "open", a.ID, b.ID)
	equal(t, "reference", i.Reference, models.NewReference(h.acme.Number, 1))
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		got, err := tx.Alert(a.ID)
		h.ok(err)
		equal(t, "state", got.State, models.AlertLinked)
		equal(t, "incident", got.Incident, i.Reference)
		equal(t, "client", got.Client, h.acme.Number)
		read, err := tx.Incident(i.Reference)
		h.ok(err)
		if !reflect.DeepEqual(read, i) {
			t.Errorf("read %+v, opened %+v", read, i)
		}
		events, err := tx.Events(i.Reference, 0, 10)
		h.ok(err)
		equal(t, "events", len(events), 1)
		equal(t, "first event", events[0].Type, incident.EventType("opened"))
		return tx.VerifyEvents(i.Reference)
	})
}

func TestOpenIncidentRejectsAlertsItMayNotLink(t *testing.T) {
	h := newHouse(t)
	mine, _ := h.receive(h.acme, "f-1", "one", "a-1")
	foreign, _ := h.receive(h.other, "f-1", "one", "a-1")
	taken, _ := h.receive(h.acme, "f-2", "two", "a-2")
	h.open(h.acme, "first", taken.ID)
	for name, c := range map[string]struct {
		alert uuid.UUID
		kind  models.Kind
	}{
		"another client's": {foreign.ID, models.NotFound},
		"unknown":          {uuid.New(), models.NotFound},
		"linked already":   {taken.ID, models.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
				_, err := tx.OpenIncident(incident.Opened{Title: "t", Severity: models.SeverityLow, Alerts: []uuid.UUID{mine.ID, c.alert}},
					h.analyst.Actor(), noon, name, "f")
				return err
			})
			h.fails(err, c.kind)
			var rejection *models.Error
			equal(t, "typed", errors.As(err, &rejection), true)
			equal(t, "field", rejection.Field, "/alerts/1")
		})
	}
	i := h.open(h.acme, "second", mine.ID)
	equal(t, "reference after rejections", i.Reference, models.NewReference(h.acme.Number, 2))
}

func TestOpenIncidentAgain(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "same")
	h.record(h.acme, &i, h.analyst.Actor(), &incident.Published{Expedited: true})
	again := h.open(h.acme, "same")
	equal(t, "reference", again.Reference, i.Reference)
	equal(t, "phase as it is now", again.Phase, incident.PhasePublished)
	err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.OpenIncident(incident.Opened{Title: "t", Severity: models.SeverityLow}, h.analyst.Actor(), noon, "same", "another")
		return err
	})
	h.fails(err, models.Invalid)
	equal(t, "next reference", h.open(h.acme, "next").Reference, models.NewReference(h.acme.Number, 2))
	equal(t, "the same id at another client", h.open(h.other, "same").Reference, models.NewReference(h.other.Number, 1))
}

func TestOpenIncidentsInParallel(t *testing.T) {
	h := newHouse(t)
	const parallel = 32
	references := make([]models.Reference, 2*parallel)
	var all sync.WaitGroup
	for n := range references {
		all.Go(func() {
			id := requestID(n)
			if n >= parallel {
				id = "one and the same"
			}
			err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
				i, err := tx.OpenIncident(incident.Opened{Title: "t", Severity: models.SeverityLow}, h.analyst.Actor(), noon, id, "f")
				references[n] = i.Reference
				return err
			})
			if err != nil {
				t.Errorf("open: %v", err)
			}
		})
	}
	all.Wait()
	seen := map[models.Reference]bool{}
	for _, r := range references {
		seen[r] = true
	}
	equal(t, "distinct references", len(seen), parallel+1)
	for n := range parallel + 1 {
		if r := models.NewReference(h.acme.Number, n+1); !seen[r] {
			t.Errorf("%s was skipped", r)
		}
	}
	for _, r := range references[parallel:] {
		equal(t, "reference of the repeated request", r, references[parallel])
	}
}

func TestIncidentListIsCompleteAndFiltered(t *testing.T) {
	h := newHouse(t)
	want := map[models.Reference]bool{}
	for n := range 23 {
		te := []tenant{h.acme, h.other}[n%2]
		i := h.open(te, requestID(n)) // all updated at the same moment: the reference decides
		if n%3 == 0 {
			h.record(te, &i, h.analyst.Actor(), &incident.Published{Expedited: true})
		}
		want[i.Reference] = true
	}
	count := func(f store.IncidentFilter) int {
		rows := listIncidents(h, f)
		for _, r := range rows {
			equal(t, "client's number", r.Client, r.Reference.ClientNumber())
		}
		return len(rows)
	}
	rows := listIncidents(h, store.IncidentFilter{})
	for n, r := range rows {
		if !want[r.Reference] {
			t.Errorf("%s came twice or should not be there", r.Reference)
		}
		delete(want, r.Reference)
		if n > 0 && rows[n-1].OpenedAt.Before(r.OpenedAt) {
			t.Errorf("%s is not in order", r.Reference)
		}
	}
	equal(t, "missing", len(want), 0)
	equal(t, "published", count(store.IncidentFilter{PublishedOnly: true}), 8)
	equal(t, "investigating", count(store.IncidentFilter{Phase: incident.PhaseInvestigating}), 15)
	equal(t, "turn of the client", count(store.IncidentFilter{Turn: incident.TurnClient}), 8)
	equal(t, "low", count(store.IncidentFilter{Severity: models.SeverityLow}), 0)
	equal(t, "of one client", count(store.IncidentFilter{Client: h.acme.Number}), 12)
}

// listIncidents pages through the list, five at a time, with cursors written and read again.
func listIncidents(h *house, f store.IncidentFilter) []store.IncidentRow {
	h.Helper()
	var all []store.IncidentRow
	var c store.Cursor
	for {
		var rows []store.IncidentRow
		h.ok(h.ForSOC(h.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.Incidents(f, c, 5)
			return err
		}))
		if all = append(all, rows...); len(rows) < 5 {
			return all
		}
		last := rows[len(rows)-1]
		var err error
		c, err = store.ParseCursor(store.Cursor{At: last.OpenedAt, ID: string(last.Reference)}.String())
		h.ok(err)
	}
}

func TestWatchedIncidents(t *testing.T) {
	h := newHouse(t)
	marked, recorded, idle, over := h.open(h.acme, "1"), h.open(h.other, "2"), h.open(h.other, "3"), h.open(h.other, "4")
	h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.MarkRunning(marked.Reference) })
	h.record(h.other, &recorded, h.analyst.Actor(), &incident.Published{Expedited: true})
	h.record(h.other, &recorded, models.System(), &incident.CallRoundStarted{Round: 1})
	h.as(store.SOC, h.other, func(tx *store.Tx) error { return tx.MarkEnded(over.Reference) }) // not yet
	h.record(h.other, &over, h.analyst.Actor(), &incident.Dismissed{Reason: "r"})
	ended := h.open(h.other, "5")
	h.record(h.other, &ended, h.analyst.Actor(), &incident.Dismissed{Reason: "r"})
	h.as(store.SOC, h.other, func(tx *store.Tx) error { return tx.MarkEnded(ended.Reference) })
	var found []string
	var after incident.Incident
	for {
		page, _, err := h.WatchedIncidents(t.Context(), after)
		h.ok(err)
		if len(page) == 0 {
			break
		}
		for _, w := range page {
			i := w.Incident
			found = append(found, fmt.Sprintf("%s %s %t", i.Reference, i.Phase, w.Running))
			if i.Reference == recorded.Reference && i.ID() != recorded.ID() {
				t.Error("the watched incident has another id")
			}
		}
		after = page[len(page)-1].Incident
	}
	slices.Sort(found)
	want := []string{
		string(marked.Reference) + " investigating true", string(recorded.Reference) + " published true",
		string(idle.Reference) + " investigating false", string(over.Reference) + " dismissed true",
	}
	same(t, "watched incidents", found, want)
	err := h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.MarkRunning(idle.Reference) })
	h.fails(err, models.NotFound)
}

func TestReferencesThatAreTakenElsewhereAreSkipped(t *testing.T) {
	h := newHouse(t)
	reference := func(n int) models.Reference { return models.NewReference(h.acme.Number, n) }
	isTaken := map[models.Reference]bool{}
	for _, want := range []models.Reference{reference(1), reference(2), reference(3)} {
		h.as(store.SOC, h.acme, func(tx *store.Tx) error {
			_, unknown, err := tx.SkipReferences(isTaken)
			equal(t, "the reference to find out about", unknown, want)
			return err
		})
		isTaken[want] = want != reference(3)
	}
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		skipped, unknown, err := tx.SkipReferences(isTaken)
		equal(t, "skipped", skipped, 2)
		equal(t, "to find out", unknown, "")
		return err
	})
	equal(t, "the reference given", h.open(h.acme, "1").Reference, reference(3))
}

func TestStatementCounts(t *testing.T) {
	h := newHouse(t)
	a, _ := h.receive(h.acme, "f", "raw", "a")
	count := func(what string, want int64, fn func()) {
		t.Helper()
		before := h.Statements()
		fn()
		equal(t, what, h.Statements()-before, want+3) // begin, take role, commit
	}
	var i incident.Incident
	count("open", 4, func() { i = h.open(h.acme, "open", a.ID) })
	count("record", 3, func() {
		h.record(h.acme, &i, h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "t"}, &incident.Recommended{ID: "r2", Text: "t"})
	})
	count("record and publish", 4, func() { h.record(h.acme, &i, h.analyst.Actor(), &incident.Published{Expedited: true}) })
	count("intend", 1, func() { h.intend(h.acme, i, 1) })
	count("new alert", 3, func() {
		h.as(store.SOC, h.acme, func(tx *store.Tx) error {
			alert := newAlert("g", "t")
			alert.Client = h.acme.Number
			_, _, err := tx.ReceiveAlert(alert, []byte("raw"), "b")
			return err
		})
	})
}

func TestUnusualTextIsKept(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	hostile := "nul \x00 backslash \\u0000 quote \" angle <script> \u2028 end"
	h.record(h.acme, &i, h.analyst.Actor(), &incident.Assessed{Severity: models.SeverityLow, Assessment: incident.Assessment{Title: hostile}})
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		h.ok(tx.VerifyEvents(i.Reference))
		got, err := tx.Incident(i.Reference)
		equal(t, "title", got.Assessment.Title, "nul \uFFFD backslash \\u0000 quote \" angle <script> \u2028 end")
		return err
	})
	a, _ := h.receive(h.acme, "finding \xff\x00", fmt.Sprintf("title \x00 %s", "\xfe"), "a")
	equal(t, "finding", a.FindingID, "finding \uFFFD\uFFFD")
}

func TestRecordedIsSeenByWhoMaySeeTheIncident(t *testing.T) {
	h := newHouse(t)
	var i incident.Incident
	h.as(store.SOC, h.acme, func(tx *store.Tx) (err error) {
		i, err = tx.OpenIncident(incident.Opened{Title: "T", Severity: models.SeverityLow}, h.analyst.Actor(), noon, "recorded", "f")
		return err
	})
	for _, c := range []struct {
		as     store.Audience
		client uuid.UUID
		seen   bool
	}{{store.SOC, uuid.Nil, true}, {store.SOC, h.acme.ID, true}, {store.SOC, h.other.ID, false}, {store.Portal, h.acme.ID, false}, {store.Worker, h.other.ID, false}} {
		seq, err := h.Recorded(h.Context(), c.as, c.client, i.Reference)
		if c.seen && (err != nil || seq != 1) || !c.seen && models.KindOf(err) != models.NotFound {
			t.Errorf("%s of %s: seq %d, %v", c.as, c.client, seq, err)
		}
	}
}

// Among many incidents the few that somebody has to look at are found by an index, in the order they are listed.
func TestRareIncidentsAreFoundByAnIndex(t *testing.T) {
	h := newHouse(t)
	h.open(h.acme, "open")
	h.owner(`insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill, expedited, revision,
			open_tasks, seq, last_hash, state, request_id, fingerprint, opened_at, updated_at)
		select client_id, reference || n, title, severity, phase, case when n % 500 = 0 then 'soc' else 'none' end,
			case when n % 500 = 1 then 'failed' else 'none' end, n % 500 = 2, expedited, revision, case when n % 500 = 3 then 1 else 0 end,
			seq, last_hash, state, 'request ' || n, fingerprint, opened_at + n * interval '1 second', updated_at
		from incidents, generate_series(1, 20000) n`)
	h.owner("analyze incidents")
	yes := true
	for index, f := range map[string]store.IncidentFilter{
		"incidents_with_open_tasks": {OpenTasks: &yes}, "incidents_drills": {Drill: &yes},
		"incidents_by_containment": {Containment: incident.ContainmentFailed}, "incidents_by_turn": {Turn: incident.TurnSOC},
	} {
		h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
			queries, err := tx.Watched(func(tx *store.Tx) error {
				rows, err := tx.Incidents(f, store.Cursor{}, 100)
				if len(rows) < 40 || len(rows) > 41 {
					t.Errorf("%s: %d incidents", index, len(rows))
				}
				return err
			})
			h.ok(err)
			lines, err := tx.Texts("explain " + queries[0].SQL)
			if plan := strings.Join(lines, "\n"); !strings.Contains(plan, index) {
				t.Errorf("%s is not used:\n%s", index, plan)
			}
			return err
		}))
	}
}

// An incident that the database, an older copy, does not know comes back under its reference, and later ones follow it.
func TestARestoredIncidentKeepsItsReference(t *testing.T) {
	h := newHouse(t)
	h.open(h.acme, "first")
	ref := models.NewReference(h.acme.Number, 5)
	opening := incident.NewEvent(incident.Incident{}, noon, models.System(), &incident.Opened{
		ClientID: h.acme.ID, Reference: ref, Title: "Ransom note", Severity: models.SeverityHigh, Alerts: []uuid.UUID{uuid.New()},
	})
	restore := func(te tenant) error {
		return h.ForClient(t.Context(), store.SOC, te.ID, func(tx *store.Tx) error { return tx.RestoreIncident(opening) })
	}
	h.fails(restore(h.other), models.NotFound)
	h.ok(restore(h.acme))
	h.fails(restore(h.acme), models.Conflict)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.VerifyEvents(ref) })
	equal(t, "the next reference", h.open(h.acme, "second").Reference, models.NewReference(h.acme.Number, 6))
}
