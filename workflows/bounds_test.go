package workflows_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// longText has as many characters as a text may have, of three bytes each.
var longText = strings.Repeat("報", models.MaxText)

// Temporal takes no payload above two mebibytes, and stands still when it gets one.
func TestABurstOfLongCommentsIsRecordedInSmallBatches(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		for n := range 70 {
			s.env.SignalWorkflow("comment", s.request(models.RoleResponder, &incident.Comment{Text: fmt.Sprint(n, " ", longText[:3*(models.MaxText-10)])}))
		}
	}, time.Hour)
	s.goesOnAfter(2 * time.Hour)
	s.run(models.SeverityLow)
	if n := s.count("commented"); n != 70 {
		t.Errorf("%d comments of 70 are recorded", n)
	}
	for n, b := range s.batches {
		if size := len(asJSON(t, b)); size > 300<<10 {
			t.Errorf("batch %d has %d bytes", n, size)
		}
	}
	if len(s.commands) != 71 {
		t.Errorf("%d commands are recorded with their events, want 71", len(s.commands))
	}
}

func TestTheCarriedStateIsBoundedAndAFullIncidentCanStillBeSettled(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		for range 70 {
			s.env.SignalWorkflow("recommend", s.request(models.RoleAnalyst, &incident.Recommend{Text: longText}))
		}
	}, time.Hour)
	s.goesOnAfter(2 * time.Hour)
	start := s.opening(models.SeverityLow)
	i := s.runFrom(start)
	if len(i.Recommendations) != 10 || s.count("command_rejected") != 60 {
		t.Fatalf("%d recommendations were taken and %d rejected, want 10 and 60", len(i.Recommendations), s.count("command_rejected"))
	}
	carried := nextRun(t, s)
	if size := len(asJSON(t, carried)); size > 1<<20 {
		t.Errorf("the next run begins with %d bytes", size)
	}

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = s.events, s.commands, 1000, start.Incident
	after.env.SetStartTime(s.env.Now())
	for n := range 10 {
		after.after(time.Minute, models.RoleResponder, &incident.SettleRecommendation{
			Recommendation: fmt.Sprintf("r%d", n+1), Outcome: incident.Mitigated, Evidence: longText})
	}
	after.after(time.Hour, models.RoleAnalyst, &incident.Recommend{Text: longText})
	after.goesOnAfter(2 * time.Hour)
	after.runFrom(carried)
	last := nextRun(t, after)
	if size := len(asJSON(t, last)); size > 256<<10 {
		t.Errorf("after all was settled the next run begins with %d bytes", size)
	}
	if r := after.replay(start.Incident).Recommendations[0]; r.Text != longText || r.Evidence != longText {
		t.Errorf("the events do not tell the settled recommendation in full: %d and %d bytes", len(r.Text), len(r.Evidence))
	}
}

// nextRun returns the state that the workflow handed to its next run.
func nextRun(t *testing.T, s *story) (carried incident.State) {
	t.Helper()
	var next *workflow.ContinueAsNewError
	if !asCAN(s.env.GetWorkflowError(), &next) {
		t.Fatalf("the workflow did not go on in a new run: %v", s.env.GetWorkflowError())
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &carried); err != nil {
		t.Fatal(err)
	}
	return carried
}

// A store that is always behind a little must not keep the run from ending: the history would grow for ever.
func TestSteadyTalkDoesNotKeepTheRunFromRenewing(t *testing.T) {
	s := newStory(t)
	s.recordFails = func(activities.RecordInput) error { return fmt.Errorf("the store is slow") } // tried again and again
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.goesOnAfter(2 * time.Minute)
	s.run(models.SeverityLow)
	if carried := nextRun(t, s); len(carried.Unrecorded) == 0 || carried.Unrecorded[0].Type != "published" || len(carried.UnrecordedBy) != 1 {
		t.Errorf("the new run begins with %d events that are not in the store, by %d commands", len(carried.Unrecorded), len(carried.UnrecordedBy))
	}
}

func TestARepeatOfAForgottenCommandGetsItsFirstResult(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	late := s.request(models.RoleResponder, &incident.Comment{Text: "late"})
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow("comment", late) }, time.Hour)
	s.env.RegisterDelayedCallback(func() {
		for n := range 250 {
			s.env.SignalWorkflow("comment", s.request(models.RoleResponder, &incident.Comment{Text: fmt.Sprint(n)}))
		}
	}, 2*time.Hour)
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow("comment", late) }, 3*time.Hour)
	other := s.request(models.RoleResponder, &incident.Comment{Text: "something else"})
	other.RequestID = late.RequestID
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow("comment", other) }, 3*time.Hour+time.Minute)
	s.goesOnAfter(4 * time.Hour)
	s.run(models.SeverityLow)
	if want := []string{"comment by " + user(models.RoleResponder).ID}; !slices.Equal(s.rejections(), want) {
		t.Errorf("rejected %v, want another comment under its id", s.rejections())
	}
	n := 0
	for _, e := range s.events {
		if c, ok := e.Data.(*incident.Commented); ok && c.Text == "late" {
			n++
		}
	}
	if n != 1 || s.count("commented") != 251 {
		t.Errorf("the comment stands %d times among %d", n, s.count("commented"))
	}
	handed := 0
	for _, b := range s.batches {
		for _, c := range b.Commands {
			if c.RequestID == late.RequestID {
				handed++
			}
		}
	}
	if handed != 1 {
		t.Errorf("the comment was carried out %d times, and only the store's key kept it from standing there as often", handed)
	}
}

// After a reset the store knows events that the workflow does not. What Temporal hands over once more is there already;
// what is new goes behind it.
func TestAfterAResetTheIncidentGoesOnFromWhatTheStoreHas(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityLow)
	reset := start // the state that the reset run begins with
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	kept := s.request(models.RoleResponder, &incident.Comment{Text: "kept"})
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow("comment", kept) }, time.Hour)
	s.after(2*time.Hour, models.RoleAnalyst, &incident.Recommend{Text: "first"})
	s.goesOnAfter(3 * time.Hour)
	s.runFrom(start)
	recorded := slices.Clone(s.events)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened, after.decided = s.events, s.commands, 1000, start.Incident, s.decided
	after.env.SetStartTime(s.env.Now())
	after.after(time.Minute, models.RoleAnalyst, &incident.Expedite{}) // another publication, which is illegal now
	after.env.RegisterDelayedCallback(func() {
		after.env.SignalWorkflow("comment", kept)
		after.env.SignalWorkflow("recommend", after.request(models.RoleAnalyst, &incident.Recommend{Text: "second"}))
	}, 2*time.Minute)
	after.after(8*day, models.RoleResponder, &incident.Comment{Text: "later"})
	after.goesOnAfter(9 * day)
	i := after.runFrom(reset)
	if a, b := asJSON(t, after.events[:len(recorded)]), asJSON(t, recorded); a != b {
		t.Fatalf("recorded events changed\n%s\n%s", a, b)
	}
	var texts []string
	for _, e := range after.events {
		if c, ok := e.Data.(*incident.Commented); ok {
			texts = append(texts, c.Text)
		}
	}
	if !slices.Equal(texts, []string{"kept", "later"}) {
		t.Errorf("comments %q, want each once", texts)
	}
	if len(i.Recommendations) != 2 || i.Recommendations[1].Text != "second" || i.Recommendations[1].ID != "r2" {
		t.Errorf("recommendations %+v", i.Recommendations)
	}
	if i.Revision != 1 || after.count("command_rejected") != 1 {
		t.Errorf("revision %d, %d rejections, want the second publication rejected", i.Revision, after.count("command_rejected"))
	}
}

// A workflow that was reset does not judge a command by its old state: the command says what the store had.
func TestACommandTellsAResetWorkflowThatItIsBehind(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityLow)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.goesOnAfter(time.Hour)
	s.runFrom(start)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = s.events, s.commands, 1000, start.Incident
	after.env.SetStartTime(s.env.Now())
	r := after.request(models.RoleResponder, &incident.Comment{Text: "one"})
	r.Recorded = s.seq()
	late := after.request(models.RoleResponder, &incident.Comment{Text: "two"})
	late.Recorded = s.seq()
	after.env.RegisterDelayedCallback(func() {
		after.give(r, "comment", nil)
		after.env.SignalWorkflow("comment", late)
	}, time.Minute)
	after.goesOnAfter(2 * time.Hour)
	i := after.runFrom(start)
	if !i.IsPublished() || after.count("commented") != 2 || after.count("command_rejected") != 0 {
		t.Errorf("revision %d, %d comments, %d rejections", i.Revision, after.count("commented"), after.count("command_rejected"))
	}
}

// The run that was reset had published the incident, and died before it handed the mails over.
func TestAResetRunSendsWhatTheOneBeforeDidNot(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityHigh)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.goesOnAfter(time.Hour)
	s.runFrom(start)

	after := newStory(t)
	published := slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == "published" })
	after.events, after.commands, after.requests, after.opened = s.events[:published+1], s.commands, 1000, start.Incident
	after.env.SetStartTime(s.env.Now())
	r := after.request(models.RoleResponder, &incident.Comment{Text: "one"})
	r.Recorded = published + 2
	after.env.RegisterDelayedCallback(func() { after.give(r, "comment", nil) }, time.Minute)
	after.goesOnAfter(2 * time.Hour)
	after.runFrom(start)
	if n := after.mailsFor(notify.PurposePublished); n != 2 {
		t.Errorf("%d mails about the publication, want one for each contact", n)
	}
}

// Temporal hands a reset run the commands and reports once more that came since. What follows from them must not reach
// the devices: the store knows them, and the incident takes them back.
func TestAResetRunTellsNoDeviceWhatItMustTakeBack(t *testing.T) {
	release := &incident.Release{Endpoint: "e1", Reason: "reinstalled"}
	s := newStory(t)
	start := s.opening(models.SeverityHigh)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	released := s.request(models.RoleAnalyst, release)
	s.signalAfter(time.Hour, released, "release")
	s.after(2*time.Hour, models.RoleAnalyst, isolate)
	s.after(4*time.Hour, models.RoleAnalyst, release)
	s.closes(5 * time.Hour)
	s.runFrom(start)
	observed := func(generation int) func(e incident.Event) bool {
		return func(e incident.Event) bool {
			o, ok := e.Data.(*incident.EndpointObserved)
			return ok && o.Generation == generation
		}
	}
	recorded := 1 + slices.IndexFunc(s.events, observed(3))
	report := s.events[slices.IndexFunc(s.events, observed(2))].Data

	after := newStory(t)
	after.events, after.requests, after.opened = s.events[:recorded:recorded], 1000, start.Incident
	after.commands = slices.DeleteFunc(s.commands, func(c incident.CommandResult) bool { return c.LastSeq > after.seq() })
	after.env.SetStartTime(s.events[recorded-1].At)
	after.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", models.SignalDesiredState, mock.Anything).
		Return(errors.New("it does not run")) // so that it is started
	r := after.request(models.RoleResponder, &incident.Comment{Text: "one"})
	r.Recorded = after.seq()
	after.env.RegisterDelayedCallback(func() { after.give(r, "comment", nil) }, time.Minute)
	after.env.RegisterDelayedCallback(func() { after.env.SignalWorkflow(models.SignalEndpointObserved, report) }, 0)
	after.signalAfter(5*time.Minute, released, "release")
	later := after.at(time.Hour)
	after.after(2*time.Hour, models.RoleAnalyst, release)
	after.closes(3 * time.Hour)
	reset := s.stateAt(start, observed(1)) // when the device was found
	reset.EndpointVersions = map[string]int{"e1": reset.Incident.Endpoints[0].Version()}
	after.runFrom(reset)
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(after.edr, want) {
		t.Errorf("asked of the EDR: %v, want %v", after.edr, want)
	}
	if e := later.Endpoints[0]; e.Desired != models.DesiredIsolated || e.Generation != 3 || e.Observed != models.HostIsolated {
		t.Errorf("the device is %+v", e)
	}
	if releases := after.count("release_requested"); releases != 2 {
		t.Errorf("%d releases, want the one of before and the last", releases)
	}
	if n := len(slices.DeleteFunc(slices.Clone(after.events), func(e incident.Event) bool { return !observed(2)(e) })); n != 1 {
		t.Errorf("the report of the first release stands there %d times", n)
	}
}

func TestAnIncidentWhoseEventsTheStoreRefusesTakesNoCommand(t *testing.T) {
	s := newStory(t)
	broken := true
	s.recordFails = func(activities.RecordInput) error {
		if broken {
			return temporal.NewNonRetryableApplicationError("a gap", activities.ErrRefused, nil)
		}
		return nil
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.rejectedAfter(2*time.Minute, models.RoleResponder, &incident.Comment{Text: "refused"}, models.Unavailable)
	queued := s.request(models.RoleResponder, &incident.Comment{Text: "queued"})
	s.signalAfter(3*time.Minute, queued, "comment")
	s.env.RegisterDelayedCallback(func() { broken = false }, time.Hour)
	s.after(2*time.Hour, models.RoleResponder, &incident.Comment{Text: "after"})
	s.goesOnAfter(3 * time.Hour)
	s.run(models.SeverityLow)
	var texts []string
	for _, e := range s.events {
		if c, ok := e.Data.(*incident.Commented); ok {
			texts = append(texts, c.Text)
		}
	}
	if !slices.Equal(texts, []string{"queued", "after"}) {
		t.Errorf("comments %q", texts)
	}
}
