package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The EDR was away when the last look was due; the isolation came through after all, and the client had rated already.
func TestTheIncidentWaitsForTheLastLook(t *testing.T) {
	s := isolatedStory(t)
	begin := s.env.Now()
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.closes(time.Hour + 10*time.Minute)
	s.after(time.Hour+12*time.Minute, models.RoleViewer, &incident.GiveFeedback{Rating: 5})
	s.env.RegisterDelayedCallback(func() { s.isolated = true }, time.Hour+30*time.Minute)
	var looked []time.Duration
	s.looks = func() error {
		at := s.env.Now().Sub(begin)
		if at > time.Hour+55*time.Minute && at < 2*time.Hour+5*time.Minute { // ten minutes
			return temporal.NewNonRetryableApplicationError("edr: config (HTTP 401)", string(models.Config), nil)
		}
		looked = append(looked, at)
		return nil
	}
	unseen, later := s.at(2*time.Hour+4*time.Minute), s.at(4*time.Hour)
	s.after(5*time.Hour, models.RoleAnalyst, &incident.CompleteTask{Task: "t2"})
	i := s.run(models.SeverityMedium)
	if unseen.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
		t.Errorf("while it cannot be looked at: tasks %+v", unseen.Tasks)
	}
	if later.OpenTask(incident.TaskDrift, "e1") == nil || later.Endpoints[0].Observed != models.HostIsolated {
		t.Errorf("looked at %s: device %s, tasks %+v", looked, later.Endpoints[0].Observed, later.Tasks)
	}
	if i.Endpoints[0].Observed != models.HostNormal || len(s.edr) != 3 {
		t.Errorf("in the end: %+v, asked of the EDR %v", i.Endpoints[0], s.edr)
	}
}

// Reset while one of two released devices cannot be looked at before closure; the other one was.
func TestAResetIncidentThatWaitsForALookCloses(t *testing.T) {
	s := isolatedStory(t)
	start, begin := s.opening(models.SeverityMedium), s.env.Now()
	s.after(3*time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "PC-2", Reason: "encrypting"})
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e2", Reason: "reinstalled"})
	revise := s.request(models.RoleAnalyst, &incident.Revise{Change: "more", Material: true})
	ask := s.request(models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	verify := s.request(models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	revise2 := s.request(models.RoleAnalyst, &incident.Revise{Change: "still more", Material: true})
	s.signalAfter(4*time.Hour, revise, "revise")
	s.signalAfter(5*time.Hour, revise2, "revise")
	s.signalAfter(20*time.Hour, ask, "request-closure")
	s.signalAfter(20*time.Hour+time.Minute, verify, "verify")
	looks := 0
	s.looks = func() error {
		if at := s.env.Now().Sub(begin); at > 20*time.Hour && at < 26*time.Hour {
			if looks++; looks > 1 {
				return temporal.NewNonRetryableApplicationError("edr: config (HTTP 401)", string(models.Config), nil)
			}
		}
		return nil
	}
	var known []incident.Event
	var commands []incident.CommandResult
	s.env.RegisterDelayedCallback(func() { known, commands = slices.Clone(s.events), slices.Clone(s.commands) }, 25*time.Hour)
	s.runFrom(start)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = slices.Clone(known), commands, 1000, start.Incident
	after.decided = s.decided
	after.env.SetStartTime(known[len(known)-1].At.Add(time.Minute))
	reset := start // to when both were released
	released := 0
	looked := map[string]int{} // by the endpoints' workflows, which go on as they were
	var reports []*incident.EndpointObserved
	for _, e := range known {
		o, ok := e.Data.(*incident.EndpointObserved)
		switch {
		case released < 2:
			if err := reset.Incident.Apply(e); err != nil {
				t.Fatal(err)
			}
		case ok:
			looked[o.Endpoint] = max(looked[o.Endpoint], o.Look)
			reports = append(reports, o)
		}
		if ok && o.Generation == 2 && o.State == models.HostNormal && released < 2 {
			released++
		}
	}
	reset.EndpointVersions = map[string]int{}
	asked := map[string][]int{}
	for _, e := range reset.Incident.Endpoints {
		reset.EndpointVersions[e.ID] = e.Version()
		after.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID(e.ID), "", models.SignalDesiredState, mock.Anything).
			Return(func(_, _, _, _ string, arg any) error {
				d, _ := arg.(incident.DesiredState)
				asked[e.ID] = append(asked[e.ID], d.Look)
				if d.Look > looked[e.ID] {
					looked[e.ID] = d.Look
					after.env.RegisterDelayedCallback(func() {
						after.env.SignalWorkflow(models.SignalEndpointObserved, incident.EndpointObserved{
							Endpoint: e.ID, Generation: 2, AgentID: e.AgentID, State: models.HostNormal, Look: d.Look})
					}, time.Minute)
				}
				return nil
			})
	}
	after.env.RegisterDelayedCallback(func() { // Temporal hands over once more what came since
		after.env.SignalWorkflow("revise", revise)
		after.env.SignalWorkflow("revise", revise2)
		after.env.SignalWorkflow("request-closure", ask)
		after.env.SignalWorkflow("verify", verify)
		for _, o := range reports {
			after.env.SignalWorkflow(models.SignalEndpointObserved, o)
		}
	}, 0)
	later := after.at(4 * day)
	goesOnAfterAComment(after, 5*day)
	after.runFrom(reset)
	if later.Phase != incident.PhaseClosed {
		t.Errorf("days later: phase %s, ready: %v, looks asked for %v", later.Phase, later.ReadyToClose(), asked)
	}
}

// mailsAboutAQuestion lets a run of a version be reset, and a question be asked before it knows what the store has. It
// returns how many mails are about the question.
func TestAQuestionIsMailedOnceAfterAReset(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityHigh)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	kept := s.request(models.RoleResponder, &incident.Comment{Text: "kept"})
	s.signalAfter(time.Hour, kept, "comment")
	s.goesOnAfter(2 * time.Hour)
	s.runFrom(start)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = slices.Clone(s.events), s.commands, 1000, start.Incident
	after.env.SetStartTime(s.env.Now())
	after.env.RegisterDelayedCallback(func() {
		after.env.SignalWorkflow("comment", kept)
		after.env.SignalWorkflow("ask-question", after.request(models.RoleAnalyst, &incident.AskQuestion{Text: "who?", Deadline: after.env.Now().Add(10 * day)}))
	}, time.Minute)
	after.goesOnAfter(2 * time.Hour)
	reset := s.stateAt(start, func(e incident.Event) bool { return e.Type == "published" })
	after.runFrom(reset)
	if after.count("question_asked") != 1 {
		t.Errorf("%d questions", after.count("question_asked"))
	}
	if n := after.mailsFor(notify.PurposeQuestion); n != 2 {
		t.Errorf("%d mails about the question to two contacts", n)
	}
}

// Whoever resets an incident to its beginning, without what came since, silences nobody: it is told that the store has more,
// which is no news when it is told again. Whoever lets it go on in a new run before it is told silences nobody either: that
// one asks.
func TestAResetIncidentThatHearsNothingGoesOnFromTheStore(t *testing.T) {
	for what, told := range map[string]func(after *story, seq int){
		"it is told": func(after *story, seq int) {
			for _, at := range []time.Duration{time.Minute, time.Hour} {
				after.env.RegisterDelayedCallback(func() { after.env.SignalWorkflow(models.SignalStoreAhead, seq) }, at)
			}
		},
		"it asks": func(after *story, _ int) { after.env.SetContinuedExecutionRunID("the run before") },
	} {
		t.Run(what, func(t *testing.T) { goesOnFromTheStore(t, told) })
	}
}

func goesOnFromTheStore(t *testing.T, told func(after *story, seq int)) {
	t.Helper()
	s := newStory(t)
	start := s.opening(models.SeverityCritical)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, &incident.Recommend{Text: "Isolate it."})
	s.goesOnAfter(10 * time.Minute)
	s.runFrom(start)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = slices.Clone(s.events), s.commands, 1000, start.Incident
	after.answers = after.presses("1")
	after.env.SetStartTime(s.env.Now())
	told(after, len(s.events))
	later := after.at(2 * time.Hour)
	after.goesOnAfter(3 * time.Hour)
	after.runFrom(start)
	if later.Acknowledged == nil || len(later.Recommendations) != 1 || after.count("published") != 1 {
		t.Errorf("two hours later it is %s, acknowledged %+v, with the recommendations %+v", later.Phase, later.Acknowledged, later.Recommendations)
	}
}

// The run that was reset was renewed before the store answered.
func TestARenewedRunThatIsRebasedMailsOnce(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityHigh)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Hour, models.RoleResponder, &incident.Comment{Text: "kept"})
	s.goesOnAfter(2 * time.Hour)
	s.runFrom(start)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = slices.Clone(s.events), s.commands, 1000, start.Incident
	after.env.SetStartTime(s.env.Now())
	after.goesOnAfter(2 * time.Hour)
	reset := s.stateAt(start, func(e incident.Event) bool { return e.Type == "published" })
	c := &incident.AskQuestion{Text: "who?", Deadline: after.env.Now().Add(10 * day)}
	r := after.request(models.RoleAnalyst, c)
	events, err := reset.Incident.Decide(c, r.CommandContext, after.env.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := reset.Incident.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	reset.Unrecorded = events
	reset.UnrecordedBy = []incident.CommandResult{{RequestID: r.RequestID, Command: "ask-question", FirstSeq: events[0].Seq, LastSeq: events[len(events)-1].Seq}}
	after.runFrom(reset)
	if n := after.mailsFor(notify.PurposeQuestion); n != 2 || after.count("question_asked") != 1 {
		t.Errorf("%d mails about %d question to two contacts", n, after.count("question_asked"))
	}
}

// goesOnAfterAComment lets the run be renewed by the comment of a moment.
func goesOnAfterAComment(s *story, d time.Duration) {
	s.env.RegisterDelayedCallback(func() {
		s.env.SetContinueAsNewSuggested(true)
		s.give(s.request(models.RoleResponder, &incident.Comment{Text: "x"}), "comment", nil)
	}, d)
}

// A person completes a task while the store takes nothing.
func TestARetryLetsNoUnrecordedStateOut(t *testing.T) {
	s := isolatedStory(t)
	s.env.RegisterDelayedCallback(func() { s.released = true }, 5*time.Hour)
	down := false
	s.recordFails = func(activities.RecordInput) error {
		if down {
			return errors.New("no answer")
		}
		return nil
	}
	s.env.RegisterDelayedCallback(func() { s.released, down = false, true }, 7*time.Hour)
	s.after(7*time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "so be it"})
	s.after(7*time.Hour+time.Second, models.RoleAnalyst, &incident.CompleteTask{Task: "t1"})
	n, requested := 0, 0
	s.env.RegisterDelayedCallback(func() { n, requested, down = len(s.edr), s.count("release_requested"), false }, 7*time.Hour+2*time.Second)
	s.closes(9 * time.Hour)
	s.run(models.SeverityMedium)
	if n > 1 && requested == 0 {
		t.Errorf("asked of the EDR %v while the store had no request for a release", s.edr[:n])
	}
}

// stateAt returns the state of a run that is reset to the first event of a kind.
func (s *story) stateAt(start incident.State, isLast func(incident.Event) bool) incident.State {
	s.t.Helper()
	for _, e := range s.events[:1+slices.IndexFunc(s.events, isLast)] {
		if err := start.Incident.Apply(e); err != nil {
			s.t.Fatal(err)
		}
	}
	return start
}

// The device was found, and the report of it comes to the new run before that knows of the device.
func TestADeviceThatWasFoundBeforeAResetIsIsolated(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityHigh)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	r := s.request(models.RoleAnalyst, isolate)
	s.signalAfter(2*time.Minute, r, "isolate")
	s.containedBy(3 * time.Hour)
	s.runFrom(start)
	requested := 1 + slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == "isolation_requested" })
	s.commands = slices.DeleteFunc(s.commands, func(c incident.CommandResult) bool { return c.LastSeq > s.events[requested-1].Seq })

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = slices.Clone(s.events[:requested]), s.commands, 1000, start.Incident
	after.env.SetStartTime(s.events[requested-1].At)
	report := incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "aid-FILESRV-01", State: models.HostNormal, Online: true}
	permitted := false
	after.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", models.SignalDesiredState, mock.Anything).
		Return(func(_, _, _, _ string, arg any) error { // it goes on as it was, and has told what it found
			d, _ := arg.(incident.DesiredState)
			permitted = permitted || d.Permitted
			if d.Look > 0 && !d.Permitted {
				after.env.RegisterDelayedCallback(func() { after.env.SignalWorkflow(models.SignalEndpointObserved, report) }, time.Second)
			}
			return nil
		})
	after.env.RegisterDelayedCallback(func() { after.env.SignalWorkflow(models.SignalEndpointObserved, report) }, time.Second)
	after.env.RegisterDelayedCallback(func() { after.env.SignalWorkflow("isolate", r) }, 2*time.Second)
	after.goesOnAfter(2 * time.Hour)
	after.runFrom(s.stateAt(start, func(e incident.Event) bool { return e.Type == "published" }))
	if after.count("containment_ruled") != 1 || !permitted {
		t.Errorf("%d rulings, permitted: %t", after.count("containment_ruled"), permitted)
	}
}

// What the incident was told is lost: it asks once more, for a device that waits for its ruling and for one that is
// isolated.
func TestADeviceIsReportedAnewWhenTheIncidentAsks(t *testing.T) {
	s := newStory(t)
	s.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: ref.EndpointWorkflowID("e1"), TaskQueue: models.QueueIncidents})
	state := incident.EndpointState{Reference: ref, ClientID: acme, Endpoint: "e1", Hostname: "FILESRV-01", Policy: models.DefaultPolicy(),
		Wanted: incident.DesiredState{Desired: models.DesiredIsolated, Generation: 1}}
	var told []incident.EndpointObserved
	s.env.OnSignalExternalWorkflow(mock.Anything, ref.WorkflowID(), "", models.SignalEndpointObserved, mock.Anything).
		Return(func(_, _, _, _ string, arg any) error {
			o, _ := arg.(incident.EndpointObserved)
			told = append(told, o)
			return nil
		})
	desire := func(at time.Duration, d incident.DesiredState) {
		d.Desired, d.Generation = models.DesiredIsolated, 1
		s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(models.SignalDesiredState, d) }, at)
	}
	var found, isolated []incident.EndpointObserved
	desire(time.Minute, incident.DesiredState{Look: 1})
	s.env.RegisterDelayedCallback(func() { found = slices.Clone(told) }, 2*time.Minute)
	desire(3*time.Minute, incident.DesiredState{Look: 1, Permitted: true})
	desire(20*time.Minute, incident.DesiredState{Look: 2, Permitted: true})
	s.env.RegisterDelayedCallback(func() { isolated = slices.Clone(told[len(found):]) }, 30*time.Minute)
	desire(40*time.Minute, incident.DesiredState{Look: 2, Permitted: true, Detach: true})
	s.env.ExecuteWorkflow(models.EndpointWorkflow, state)
	if err := s.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].AgentID == "" || found[1].AgentID != found[0].AgentID {
		t.Errorf("before the ruling it was told %+v, want the device twice", found)
	}
	looks := slices.DeleteFunc(isolated, func(o incident.EndpointObserved) bool { return o.State != models.HostIsolated })
	if len(looks) < 2 || looks[len(looks)-1].Look != 2 || len(s.edr) != 1 {
		t.Errorf("then it was told %+v, and the EDR was asked for %v; want the last report for look 2, and one action", isolated, s.edr)
	}
}
