package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestRecordIsIdempotentAndRejectsGaps(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	var all []incident.Event
	for n := range 4 {
		all = append(all, h.events(&i, h.analyst.Actor(), &incident.Recommended{ID: fmt.Sprintf("r%d", n+1), Text: "t"})...)
	}
	record := func(events ...incident.Event) error {
		return h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.Record(i.Reference, events) })
	}
	h.fails(record(all[1]), models.Conflict)
	h.ok(record(all[0], all[1]))
	h.ok(record(all[0], all[1]))
	h.ok(record(all[:3]...)) // overlaps what is there
	h.fails(record(slices.Concat(all, all)...), models.Conflict)
	h.ok(record(all...))
	h.ok(record())
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		events, err := tx.Events(i.Reference, 0, 100)
		h.ok(err)
		equal(t, "events", len(events), 5)
		replayed, err := incident.Replay(events)
		h.ok(err)
		equal(t, "recommendations", len(replayed.Recommendations), 4)
		after, err := tx.Events(i.Reference, 2, 2)
		h.ok(err)
		equal(t, "page after 2", after[0].Seq+after[1].Seq, 3+4)
		return tx.VerifyEvents(i.Reference)
	})
}

func TestRecordRejectsIllegalEvents(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	e := incident.NewEvent(i, noon, h.acme.user.Actor(), &incident.Published{Expedited: true})
	err := h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		return tx.Record(i.Reference, []incident.Event{e})
	})
	h.fails(err, models.Forbidden)
	err = h.ForClient(t.Context(), store.Worker, h.other.ID, func(tx *store.Tx) error {
		return tx.Record(i.Reference, []incident.Event{e})
	})
	h.fails(err, models.NotFound)
}

func TestRevisionsAreKept(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	h.record(h.acme, &i, h.analyst.Actor(),
		&incident.Assessed{Severity: models.SeverityHigh, Assessment: incident.Assessment{Title: "First"}}, &incident.Published{Expedited: true},
		&incident.Assessed{Severity: models.SeverityLow, Assessment: incident.Assessment{Title: "Second"}}, &incident.Revised{Change: "more"})
	h.as(store.Portal, h.acme, func(tx *store.Tx) error {
		all, err := tx.Revisions(i.Reference)
		h.ok(err)
		equal(t, "revisions", len(all), 2)
		equal(t, "first title", all[0].Assessment.Title, "First")
		equal(t, "expedited", all[0].Expedited, true)
		second, err := tx.Revision(i.Reference, 2)
		h.ok(err)
		equal(t, "second title", second.Assessment.Title, "Second")
		equal(t, "change", second.Change, "more")
		equal(t, "severity", second.Severity, models.SeverityLow)
		_, err = tx.Revision(i.Reference, 3)
		h.fails(err, models.NotFound)
		return nil
	})
}

func TestTamperingIsFound(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct{ sql, want string }{
		"a body changed":    {`update events set body = replace(body::text, '"t2"', '"x2"')::json where incident = $1 and seq = 3`, "event 3 "},
		"a hash changed":    {`update events set hash = sha256('x') where incident = $1 and seq = 2`, "event 2 "},
		"a type changed":    {`update events set type = 'closed' where incident = $1 and seq = 4`, "event 4 "},
		"a moment changed":  {`update events set at = at + interval '1 second' where incident = $1 and seq = 4`, "event 4 "},
		"an event removed":  {`delete from events where incident = $1 and seq = 3`, "event 3 "},
		"the tail removed":  {`delete from events where incident = $1 and seq >= 5`, "event 5 "},
		"the first removed": {`delete from events where incident = $1 and seq = 1`, "event 1 "},
		"two events swapped": {`update events e set body = o.body, hash = o.hash, type = o.type, at = o.at from events o
			where e.incident = $1 and o.incident = $1 and e.seq in (4, 5) and o.seq = 9 - e.seq`, "event 4 "},
		"the state changed":    {`update incidents set state = jsonb_set(state, '{severity}', '"low"') where reference = $1`, "event 5 "},
		"a column changed":     {`update incidents set turn = 'client' where reference = $1`, "event 5 "},
		"the head moved back":  {`update incidents set seq = 4 where reference = $1`, "event 5 "},
		"the list changed":     {`update incidents set shown_title = 'x' where reference = $1`, "is shown something else"},
		"chained anew, forged": {`update events set body = '{}', hash = sha256('{}') where incident = $1 and seq = 1`, "event 1 "},
	} {
		t.Run(name, func(t *testing.T) {
			i := h.open(h.acme, name)
			for n := range 4 {
				h.record(h.acme, &i, h.analyst.Actor(), &incident.Recommended{ID: fmt.Sprintf("r%d", n+1), Text: fmt.Sprintf("t%d", n+1)})
			}
			verify := func() error {
				return h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error { return tx.VerifyEvents(i.Reference) })
			}
			h.ok(verify())
			tamper(t, h.ownerURL, c.sql, i.Reference)
			if err := verify(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error naming %q", err, c.want)
			}
		})
	}
}

// A log that grows while it is verified is not altered.
func TestALogThatGrowsIsWhole(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "a long night")
	ref := i.Reference
	done := make(chan bool)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	all.Go(func() {
		defer close(done)
		for n := range 200 {
			h.record(h.acme, &i, h.analyst.Actor(), &incident.Recommended{ID: fmt.Sprintf("r%d", n+1), Text: "t"})
		}
	})
	for {
		h.ok(h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error { return tx.VerifyEvents(ref) }))
		select {
		case <-done:
			return
		default:
		}
	}
}

// tamper changes rows as only the owner can: with the triggers switched off.
func tamper(t *testing.T, ownerURL, sql string, r models.Reference) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := ownerExec(ctx, ownerURL, "alter table events disable trigger user"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ownerExec(ctx, ownerURL, "alter table events enable trigger user"); err != nil {
			t.Error(err)
		}
	}()
	if err := ownerExec(ctx, ownerURL, sql, string(r)); err != nil {
		t.Fatal(err)
	}
}

func TestEvenTheOwnerCannotChangeRecordsByAccident(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	for _, table := range []string{"events", "report_revisions", "client_decisions", "decision_marks", "contact_statements", "alert_payloads", "alert_receipts", "effect_states", "incident_commands"} {
		for _, sql := range []string{"update " + table + " set client_id = client_id", "delete from " + table, "truncate " + table + " cascade"} {
			if err := ownerExec(t.Context(), h.ownerURL, sql); err == nil || !strings.Contains(err.Error(), "WF002") {
				t.Errorf("%s: got %v, want the trigger's error", sql, err)
			}
		}
	}
}

func TestClosingNeedsTheClientsDecision(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	h.record(h.acme, &i, h.analyst.Actor(), &incident.Verified{Gone: true, Note: "clean"})
	user := h.acme.user.Actor()
	h.record(h.acme, &i, user, &incident.ClosureRequested{Decision: "d-1", Outcome: incident.OutcomeResolved, Note: "done"})
	closing := h.events(&i, user, &incident.Closed{Decision: "d-1"})
	record := func() error {
		return h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.Record(i.Reference, closing) })
	}
	h.fails(record(), models.Conflict)

	elsewhere := h.published(h.acme, "elsewhere")
	h.decide(h.acme, elsewhere.Reference, "d-2") // about another incident, under another id
	theirs := h.published(h.other, "theirs")
	h.decide(h.other, theirs.Reference, "d-1") // of another client, under the same id
	h.fails(record(), models.Conflict)

	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { // straight at the table
		return tx.Exec("update incidents set phase = 'closed' where reference = ?", i.Reference)
	}), models.Conflict)
	for name, said := range map[string]struct{ requested, confirmed string }{
		"another outcome": {`{"outcome":"risk_accepted","note":"done"}`, `{"reason":"gone"}`},
		"another note":    {`{"outcome":"resolved","note":"not yet"}`, `{"reason":"gone"}`},
		"another reason":  {`{"outcome":"resolved","note":"done"}`, `{"reason":"never"}`},
	} {
		again := h.published(h.acme, name)
		h.record(h.acme, &again, h.analyst.Actor(), &incident.Verified{Gone: false, Note: "still there"})
		h.record(h.acme, &again, user, &incident.ClosureRequested{Decision: name, Outcome: incident.OutcomeResolved, Note: "done"})
		h.record(h.acme, &again, user, &incident.ClosureConfirmed{Decision: name + " confirmed", Reason: "gone"})
		requested, confirmed := decision(h.acme, again.Reference, name), decision(h.acme, again.Reference, name+" confirmed")
		confirmed.Command, requested.Said.Body, confirmed.Said.Body = "confirm-closure", said.requested, said.confirmed
		h.as(store.Portal, h.acme, func(tx *store.Tx) error { return errors.Join(tx.SaveDecision(requested), tx.SaveDecision(confirmed)) })
		e := h.events(&again, user, &incident.Closed{Decision: name + " confirmed"})
		h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.Record(again.Reference, e) }), models.Conflict)
	}
	h.decide(h.acme, i.Reference, "d-1")
	h.ok(record())
	h.record(h.acme, &i, user, &incident.FeedbackGiven{Rating: 5})
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		got, err := tx.Incident(i.Reference)
		equal(t, "phase", got.Phase, incident.PhaseClosed)
		h.ok(tx.VerifyEvents(i.Reference))
		return err
	})
}

// Closing over a threat that is still present is an accepted risk, until the date in the client's row.
func TestClosingOverAPresentThreatIsAnAcceptedRisk(t *testing.T) {
	h := newHouse(t)
	user, until := h.acme.user.Actor(), noon.Add(30*24*time.Hour)
	dated := `{"reason":"gone","expires_at":"` + until.Format(time.RFC3339Nano) + `"}`
	closes := func(name string, gone bool, confirmed *incident.ClosureConfirmed, row string) error {
		i := h.published(h.acme, name)
		h.record(h.acme, &i, h.analyst.Actor(), &incident.Verified{Gone: gone, Note: "n"})
		h.record(h.acme, &i, user, &incident.ClosureRequested{Decision: name, Outcome: incident.OutcomeResolved, Note: "done"})
		h.decide(h.acme, i.Reference, name)
		closing := name
		if confirmed != nil {
			closing = name + " confirmed"
			confirmed.Decision = closing
			h.record(h.acme, &i, user, confirmed)
			d := decision(h.acme, i.Reference, closing)
			d.Command, d.Said.Body = "confirm-closure", row
			h.as(store.Portal, h.acme, func(tx *store.Tx) error { return tx.SaveDecision(d) })
		}
		e := h.events(&i, user, &incident.Closed{Decision: closing})
		return h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.Record(i.Reference, e) })
	}
	h.ok(closes("gone", true, nil, ""))
	h.ok(closes("accepted", false, &incident.ClosureConfirmed{Reason: "gone", ExpiresAt: until}, dated))
	h.ok(closes("of before", false, &incident.ClosureConfirmed{Reason: "gone"}, `{"reason":"gone"}`))
	h.ok(closes("of before, for a year", false, &incident.ClosureConfirmed{Reason: "gone", ExpiresAt: until}, `{"reason":"gone"}`))
	h.fails(closes("resolved all the same", false, &incident.ClosureConfirmed{Reason: "gone"}, dated), models.Conflict)
	h.fails(closes("until another date", false, &incident.ClosureConfirmed{Reason: "gone", ExpiresAt: until.Add(time.Hour)}, dated), models.Conflict)

	i := h.published(h.acme, "accepted, and closed as resolved") // straight at the table
	h.record(h.acme, &i, user, &incident.ClosureRequested{Decision: "resolved", Outcome: incident.OutcomeResolved, Note: "done"},
		&incident.ClosureConfirmed{Decision: "confirmed", Reason: "gone", ExpiresAt: until})
	h.decide(h.acme, i.Reference, "resolved")
	d := decision(h.acme, i.Reference, "confirmed")
	d.Command, d.Said.Body = "confirm-closure", dated
	h.as(store.Portal, h.acme, func(tx *store.Tx) error { return tx.SaveDecision(d) })
	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		return tx.Exec(`update incidents set phase = 'closed', state = jsonb_set(state, '{closure,outcome}', '"resolved"') where reference = ?`, i.Reference)
	}), models.Conflict)
	present := h.published(h.acme, "present") // without a confirmation, over a present threat
	h.record(h.acme, &present, h.analyst.Actor(), &incident.Verified{Gone: false, Note: "n"})
	h.record(h.acme, &present, user, &incident.ClosureRequested{Decision: "present", Outcome: incident.OutcomeResolved, Note: "done"})
	h.decide(h.acme, present.Reference, "present")
	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		return tx.Exec("update incidents set phase = 'closed' where reference = ?", present.Reference)
	}), models.Conflict)
}

// A confirmation that news overtook is gone from the state, and the client's request closes when the threat is gone after
// all. A log of before, in which it counted, is whole as ever.
func TestAConfirmationThatNewsOvertookClosesNothing(t *testing.T) {
	h := newHouse(t)
	user, until := h.acme.user.Actor(), noon.Add(30*24*time.Hour)
	for name, of := range map[string]struct {
		before  bool
		closing string
	}{"as it is now": {false, "as it is now"}, "of before": {true, "of before confirmed"}} {
		i := h.published(h.acme, name)
		confirmed := &incident.ClosureConfirmed{Decision: name + " confirmed", Reason: "gone", ExpiresAt: until}
		if !of.before {
			confirmed.Request = &incident.ClosureRequest{Decision: name, Outcome: incident.OutcomeResolved}
		}
		h.record(h.acme, &i, user, &incident.ClosureRequested{Decision: name, Outcome: incident.OutcomeResolved, Note: "done"}, confirmed)
		h.record(h.acme, &i, h.analyst.Actor(), &incident.Revised{Change: "ransomware", Material: true, AsksAgain: !of.before},
			&incident.Verified{Gone: true, Note: "wiped"})
		h.decide(h.acme, i.Reference, name)
		d := decision(h.acme, i.Reference, name+" confirmed")
		d.Command, d.Said.Body = "confirm-closure", `{"reason":"gone","expires_at":"`+until.Format(time.RFC3339Nano)+`"}`
		h.as(store.Portal, h.acme, func(tx *store.Tx) error { return tx.SaveDecision(d) })
		h.record(h.acme, &i, user, &incident.Closed{Decision: of.closing})
		h.as(store.Worker, h.acme, func(tx *store.Tx) error { return tx.VerifyEvents(i.Reference) })
	}
}

// An incident that is marked as ended comes back when the time of an accepted risk is over, and not before.
func TestExpiredRisks(t *testing.T) {
	h := newHouse(t)
	user := h.acme.user.Actor()
	ends := func(name string, until time.Time) models.Reference {
		i := h.published(h.acme, name)
		h.record(h.acme, &i, h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "t"}, &incident.Verified{Gone: true, Note: "n"})
		h.record(h.acme, &i, user, &incident.RecommendationSettled{Recommendation: "r1", Outcome: incident.RiskAccepted, Reason: "r", ExpiresAt: until})
		h.record(h.acme, &i, h.analyst.Actor(), &incident.Verified{Gone: true, Note: "n"})
		h.record(h.acme, &i, user, &incident.ClosureRequested{Decision: name, Outcome: incident.OutcomeResolved, Note: "done"})
		h.decide(h.acme, i.Reference, name)
		h.record(h.acme, &i, user, &incident.Closed{Decision: name})
		h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.MarkEnded(i.Reference) })
		return i.Reference
	}
	over := ends("over", time.Now().Add(-time.Hour))
	ends("later", time.Now().Add(time.Hour))
	found, err := h.ExpiredRisks(t.Context())
	h.ok(err)
	same(t, "expired", found, []store.Expired{{ClientID: h.acme.ID, Reference: over}})
	h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.MarkWatched(over) })
	if found, err = h.ExpiredRisks(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("watched again, and still listed: %v, %v", found, err)
	}
}

// A number is not an identity: another event under a number that the store has is another history.
func TestRecordTellsAnotherHistoryFromARepeat(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	before := i
	h.recordCommand(h.acme, &i, "request-1", h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "first"}, &incident.Recommended{ID: "r2", Text: "second"})
	record := func(events []incident.Event, commands ...incident.CommandResult) error {
		return h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.Record(i.Reference, events, commands...) })
	}
	diverged := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrDiverged) {
			t.Errorf("%s: got %v, want ErrDiverged", name, err)
		}
	}
	command := func(request string, first, last int) incident.CommandResult {
		return incident.CommandResult{RequestID: request, Command: "c", Fingerprint: "f", FirstSeq: first, LastSeq: last}
	}
	reset := before
	other := h.events(&reset, h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "first"}, &incident.Recommended{ID: "r2", Text: "other"})
	diverged("another text", record(other))
	diverged("and more", record(append(other, h.events(&reset, h.analyst.Actor(), &incident.Recommended{ID: "r3", Text: "t"})...)))
	late := i
	again := h.events(&late, h.analyst.Actor(), &incident.Recommended{ID: "r3", Text: "first"})
	diverged("the same request under another number", record(again, command("request-1", 4, 4)))
	h.ok(record(other[:1])) // byte for byte what is there
	repeated := before
	h.ok(record(h.events(&repeated, h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "first"}, &incident.Recommended{ID: "r2", Text: "second"}), command("request-1", 2, 3)))
	h.ok(record(again, command("request-2", 4, 4)))
	elsewhere := h.open(h.acme, "elsewhere")
	h.recordCommand(h.acme, &elsewhere, "request-1", h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "t"}) // of another incident
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		found, err := tx.Commands(i.Reference, "request-1", "request-2", "request-3")
		h.ok(err)
		same(t, "commands", found, []incident.CommandResult{command("request-1", 2, 3), command("request-2", 4, 4)})
		return tx.VerifyEvents(i.Reference)
	})
}

func TestRecordedCommandIsForThoseWhoSeeTheIncident(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	h.recordCommand(h.acme, &i, "request-1", h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "t"})
	want := &incident.CommandResult{RequestID: "request-1", Command: "c", Fingerprint: "f", FirstSeq: 2, LastSeq: 2}
	look := func(as store.Audience, te uuid.UUID, request string) (*incident.CommandResult, error) {
		found, err := h.RecordedCommand(t.Context(), as, te, i.Reference, request)
		if err == nil {
			equal(t, "seq", found.Seq, i.Seq)
		}
		return found.Known, err
	}
	_, err := look(store.Portal, h.acme.ID, "request-1")
	h.fails(err, models.NotFound) // not published
	got, err := look(store.SOC, uuid.Nil, "request-1")
	h.ok(err)
	same(t, "for the SOC", got, want)
	h.record(h.acme, &i, h.analyst.Actor(), &incident.Published{Expedited: true})
	for _, request := range []string{"request-1", "unknown"} {
		got, err = look(store.Portal, h.acme.ID, request)
		h.ok(err)
		equal(t, "a request that is not the client's", got == nil, true)
	}
	h.decide(h.acme, i.Reference, "request-2")
	h.recordCommand(h.acme, &i, "request-2", h.acme.user.Actor(), &incident.Commented{Text: "t"})
	got, err = look(store.Portal, h.acme.ID, "request-2")
	h.ok(err)
	same(t, "for the client", got, &incident.CommandResult{RequestID: "request-2", Command: "c", Fingerprint: "f", FirstSeq: 4, LastSeq: 4})
	_, err = look(store.Portal, h.other.ID, "request-1")
	h.fails(err, models.NotFound)
}

// Whoever writes as the workers do closes nothing with a decision that was refused or taken back, and keeps nobody from
// closing by refusing one that was used.
func TestADecisionClosesOnceAndWhenItStands(t *testing.T) {
	refuse := func(h *house, seq int) {
		h.as(store.Portal, h.acme, func(tx *store.Tx) error { return tx.RefuseDecision("d-1", seq) })
	}
	gone := &incident.Verified{Gone: true, Note: "clean"}
	requested := &incident.ClosureRequested{Decision: "d-1", Outcome: incident.OutcomeResolved, Note: "done"}
	for name, c := range map[string]struct {
		happens func(*house, *incident.Incident)
		closes  bool
	}{
		"it was refused": {func(h *house, i *incident.Incident) {
			h.record(h.acme, i, h.analyst.Actor(), gone)
			refuse(h, i.Seq)
			h.record(h.acme, i, h.acme.user.Actor(), requested)
		}, false},
		"it was refused and said again": {func(h *house, i *incident.Incident) {
			h.record(h.acme, i, h.analyst.Actor(), gone)
			refuse(h, i.Seq)
			h.decide(h.acme, i.Reference, "d-1")
			h.record(h.acme, i, h.acme.user.Actor(), requested)
		}, true},
		"it was withdrawn": {func(h *house, i *incident.Incident) {
			h.record(h.acme, i, h.acme.user.Actor(), requested)
			h.record(h.acme, i, h.acme.user.Actor(), &incident.ClosureWithdrawn{Reason: "no"})
			h.record(h.acme, i, h.analyst.Actor(), gone)
			h.record(h.acme, i, h.acme.user.Actor(), requested)
		}, false},
		"it was used, and refused under another name": {func(h *house, i *incident.Incident) {
			h.record(h.acme, i, h.analyst.Actor(), gone)
			h.record(h.acme, i, h.acme.user.Actor(), requested)
			refuse(h, i.Seq)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			i := h.published(h.acme, "open")
			h.decide(h.acme, i.Reference, "d-1")
			c.happens(h, &i)
			closing := h.events(&i, h.acme.user.Actor(), &incident.Closed{Decision: "d-1"})
			err := h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error { return tx.Record(i.Reference, closing) })
			if (err == nil) != c.closes {
				t.Errorf("closing ended with %v", err)
			}
		})
	}
}
