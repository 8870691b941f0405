package workflows_test

import (
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

const day = 24 * time.Hour

func TestNinetyDaysOfWaitingWithReminders(t *testing.T) {
	s := newStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.after(95*day, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "cleaned"})
	s.after(96*day, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	s.after(97*day, models.RoleViewer, &incident.GiveFeedback{Rating: 5})
	i := s.run(models.SeverityLow)
	if i.Phase != incident.PhaseClosed || i.Feedback == nil {
		t.Fatalf("phase %s, feedback %v", i.Phase, i.Feedback)
	}
	if got := s.count("reminder_sent"); got != 13 { // 95 days less an hour, weekly
		t.Errorf("%d reminders in 95 days, want 13", got)
	}
	if got, want := s.mailsFor(notify.PurposeReminder), 2*13; got != want {
		t.Errorf("%d reminder mails, want %d", got, want)
	}
	if s.mailsFor(notify.PurposePublished) != 2 || s.mailsFor(notify.PurposeClosed) != 2 || len(s.calls) != 0 {
		t.Errorf("mails %v, calls %v", s.mails, s.calls)
	}
}

func TestClosureBelongsToTheClient(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	request := &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"}
	for n, role := range []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleViewer} {
		s.rejectedAfter(time.Duration(n+2)*time.Minute, role, request, models.Forbidden)
	}
	s.rejectedAfter(10*time.Minute, models.RoleAnalyst, &incident.Publish{}, models.Conflict)
	forged := s.request(models.RoleAdmin, request)
	s.decided[forged.RequestID] = false
	s.signalAfter(20*time.Minute, forged, "request-closure")
	var before int
	s.env.RegisterDelayedCallback(func() { before = s.count("closure_requested") }, 25*time.Minute)
	s.after(30*time.Minute, models.RoleAdmin, request)
	s.after(40*time.Minute, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	i := s.run(models.SeverityMedium)
	if before != 0 || s.count("command_rejected") != 1 {
		t.Errorf("a forged request: %d closures requested, %d refusals recorded", before, s.count("command_rejected"))
	}
	if i.Phase != incident.PhaseClosed {
		t.Fatalf("phase %s", i.Phase)
	}
	closed := s.events[slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == "closed" })]
	if closed.Actor != user(models.RoleAdmin) {
		t.Errorf("closed by %+v", closed.Actor)
	}
}

func TestASecondRequestWithTheSameIDHasNoSecondEffect(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	r := s.request(models.RoleResponder, &incident.Comment{Text: "is this the scanner?"})
	s.env.RegisterDelayedCallback(func() { s.give(r, "comment", nil) }, 2*time.Minute)
	s.signalAfter(3*time.Minute, r, "comment")
	s.after(4*time.Minute, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeFalsePositive, Note: "scanner"})
	s.after(5*time.Minute, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "scanner"})
	s.run(models.SeverityLow)
	if got := s.count("commented"); got != 1 {
		t.Errorf("%d comments, want 1", got)
	}
}

func TestCriticalIsCalledUntilAHumanPressesOne(t *testing.T) {
	s := newStory(t)
	s.answers = func(e notify.Effect) {
		if e.Contact == first {
			s.hears(models.CallCompleted)(e) // a voicemail
			return
		}
		s.presses("1")(e)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(day, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	s.after(day+time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	i := s.run(models.SeverityCritical)
	if i.Acknowledged == nil || i.Acknowledged.How != "key press 1" || i.Acknowledged.By.ID != "contact:"+ciso.String() {
		t.Fatalf("acknowledged: %+v", i.Acknowledged)
	}
	if len(s.calls) != 2 {
		t.Errorf("%d calls, want one to each contact: %v", len(s.calls), s.calls)
	}
}

func TestBusyIsTriedAgainThreeTimes(t *testing.T) {
	s := newStory(t)
	s.answers = func(e notify.Effect) {
		if e.Contact == first {
			s.hears(models.CallBusy)(e)
			return
		}
		s.presses("1")(e)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(day, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	s.after(day+time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	s.run(models.SeverityCritical)
	if len(s.calls) != 5 {
		t.Errorf("%d calls, want 4 to the busy contact and 1 to the next", len(s.calls))
	}
}

func TestEscalationNeverGivesUp(t *testing.T) {
	s := newStory(t)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(6*time.Hour, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.after(7*time.Hour, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	s.after(8*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	var rounds int
	s.env.RegisterDelayedCallback(func() { rounds = s.count("call_round_started") }, 6*time.Hour-time.Second)
	i := s.run(models.SeverityCritical)
	if rounds < 5+10 || rounds > 5+12 { // five at once, then every half hour for nearly six hours
		t.Errorf("%d rounds in six hours", rounds)
	}
	if s.count("call_round_started") != rounds {
		t.Errorf("a round began after the acknowledgement")
	}
	opened := slices.ContainsFunc(i.Tasks, func(t incident.Task) bool { return t.Kind == incident.TaskNobodyReached && t.Done })
	if !opened {
		t.Errorf("tasks: %+v", i.Tasks)
	}
}

func TestAMailVendorThatIsDownShowsAndIsWaitedFor(t *testing.T) {
	s := newStory(t)
	s.mailFails = func() error {
		if s.env.Now().Sub(s.events[0].At) < time.Hour {
			return temporal.NewApplicationError("sendgrid: send mail: transient", string(models.Transient))
		}
		return nil
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	var during []incident.Task
	s.env.RegisterDelayedCallback(func() { during = s.replay(s.opening(models.SeverityLow).Incident).Tasks }, 30*time.Minute)
	s.after(2*time.Hour, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	s.after(3*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	i := s.run(models.SeverityLow)
	if len(during) != 1 || during[0].Effect != "email" || during[0].Kind != incident.TaskVendorDown || during[0].Done {
		t.Errorf("tasks while the vendor is down: %+v", during)
	}
	if s.mailsFor(notify.PurposePublished) != 2 {
		t.Errorf("mails: %v", s.mails)
	}
	for _, task := range i.Tasks {
		if !task.Done {
			t.Errorf("task still open at the end: %+v", task)
		}
	}
}

func TestAnAddressThatTheVendorRejectsBecomesATask(t *testing.T) {
	s := newStory(t)
	s.mailFails = func() error {
		return temporal.NewNonRetryableApplicationError("sendgrid: send mail: rejected", string(models.Rejected), nil)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Hour, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	s.after(2*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	i := s.run(models.SeverityLow)
	if i.OpenTask(incident.TaskRejected, "") == nil || i.Phase != incident.PhaseClosed {
		t.Errorf("tasks %+v, phase %s", i.Tasks, i.Phase)
	}
}

func TestIsolationIsConfirmedByTheEDRAndReleasedBeforeClosure(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "FILESRV-01", Reason: "encrypting"})
	s.after(2*time.Minute, models.RoleAnalyst, &incident.Expedite{})
	request := &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"}
	s.rejectedAfter(time.Hour, models.RoleAdmin, request, models.Conflict)
	s.after(2*time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.after(3*time.Hour, models.RoleAdmin, request)
	s.after(4*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	i := s.run(models.SeverityHigh)
	if i.Phase != incident.PhaseClosed || i.Containment() != incident.ContainmentReleased {
		t.Fatalf("phase %s, containment %s", i.Phase, i.Containment())
	}
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
}

func TestAnEDRWithoutCredentialsIsTriedAgainWhenTheTaskIsDone(t *testing.T) {
	s := newStory(t)
	broken := true
	s.changeFails = func() error {
		if broken {
			return temporal.NewNonRetryableApplicationError("crowdstrike: contain: config (HTTP 403)", string(models.Config), nil)
		}
		return nil
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "PC-1", Reason: "beacon"})
	var during incident.Incident
	s.env.RegisterDelayedCallback(func() {
		during, broken = s.replay(s.opening(models.SeverityLow).Incident), false
	}, 10*time.Minute)
	s.after(11*time.Minute, models.RoleOperator, &incident.CompleteTask{Task: "t1"})
	var soon incident.Incident
	s.env.RegisterDelayedCallback(func() { soon = s.replay(s.opening(models.SeverityLow).Incident) }, 12*time.Minute)
	s.after(20*time.Minute, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "clean"})
	s.after(30*time.Minute, models.RoleAnalyst, &incident.Dismiss{Reason: "a test"})
	s.run(models.SeverityLow)
	if during.Containment() != incident.ContainmentFailed || during.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
		t.Errorf("before: containment %s, tasks %+v", during.Containment(), during.Tasks)
	}
	if soon.Containment() != incident.ContainmentContained {
		t.Errorf("a minute after the task was done: containment %s", soon.Containment())
	}
}

func TestDismissedEndsAtOnce(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Dismiss{Reason: "the client's own scanner"})
	if i := s.run(models.SeverityCritical); i.Phase != incident.PhaseDismissed || len(s.mails)+len(s.calls) != 0 {
		t.Errorf("phase %s, mails %v, calls %v", i.Phase, s.mails, s.calls)
	}
}

func TestContinueAsNewLosesNothing(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Hour, models.RoleResponder, &incident.Comment{Text: "one"})
	repeat := s.request(models.RoleResponder, &incident.Comment{Text: "two"})
	s.env.RegisterDelayedCallback(func() {
		for range 3 {
			s.env.SignalWorkflow("comment", s.request(models.RoleResponder, &incident.Comment{Text: "burst"}))
		}
		s.give(repeat, "comment", nil)
	}, 2*time.Hour)
	s.recorded = func() { // the history grows too long while the burst is being worked on
		if s.count("commented") == 2 {
			s.env.RegisterDelayedCallback(func() { s.env.SetContinueAsNewSuggested(true) }, 0)
		}
	}
	s.after(3*time.Hour, models.RoleResponder, &incident.Acknowledge{}) // a task without signals may be the last one
	start := s.opening(models.SeverityMedium)
	s.runFrom(start)
	var next *workflow.ContinueAsNewError
	if !asCAN(s.env.GetWorkflowError(), &next) {
		t.Fatalf("the workflow did not go on in a new run: %v", s.env.GetWorkflowError())
	}
	var carried incident.State
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &carried); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	before, comments := s.replay(start.Incident), s.count("commented")
	s.mu.Unlock()
	for _, e := range carried.Unrecorded {
		if e.Seq <= before.Seq { // recorded, and the workflow does not know it yet
			continue
		}
		comments++
		if err := before.Apply(e); err != nil {
			t.Fatalf("a carried event does not follow those recorded: %v", err)
		}
	}
	if comments != 5 {
		t.Fatalf("%d comments recorded or carried, want 5", comments)
	}
	if a, b := asJSON(t, carried.Incident), asJSON(t, before); a != b {
		t.Fatalf("the carried state differs from what was recorded\ncarried  %s\nrecorded %s", a, b)
	}

	after := newStory(t)
	after.events, after.requests = s.events, 1000
	after.env.SetStartTime(s.env.Now())
	after.env.RegisterDelayedCallback(func() { after.give(repeat, "comment", nil) }, time.Minute)
	after.after(8*day, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	after.after(8*day+time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	after.env.ExecuteWorkflow(models.IncidentWorkflow, carried)
	if err := after.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	i := after.replay(start.Incident)
	if i.Phase != incident.PhaseClosed || after.count("commented") != 5 {
		t.Errorf("phase %s, %d comments after the repeat", i.Phase, after.count("commented"))
	}
	if after.mailsFor(notify.PurposePublished) != 0 {
		t.Errorf("published mails were sent again after the new run began")
	}
}

func TestARejectedSignalSaysOnceWhoseItWasAndWhich(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	r := s.request(models.RoleResponder, &incident.Approve{Approval: "a1"})
	other := s.request(models.RoleAdmin, &incident.Deny{Approval: "a1", Reason: "no"})
	other.RequestID = r.RequestID // a key that was used for two requests
	s.signalAfter(10*time.Minute, r, "approve")
	s.signalAfter(11*time.Minute, r, "approve")
	s.signalAfter(12*time.Minute, other, "deny")
	s.after(30*time.Minute, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeFalsePositive, Note: "n"})
	s.after(40*time.Minute, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	s.run(models.SeverityLow)
	var refused []incident.CommandRejected
	for _, e := range s.events {
		if d, ok := e.Data.(*incident.CommandRejected); ok {
			refused = append(refused, *d)
		}
	}
	const reason = "open approval a1 not found"
	want := []incident.CommandRejected{
		{Command: "approve", Reason: reason, RequestID: r.RequestID, By: user(models.RoleResponder)},
		{Command: "deny", Reason: reason, RequestID: r.RequestID, By: user(models.RoleAdmin)},
	}
	if !slices.Equal(refused, want) {
		t.Errorf("refused: %+v, want %+v", refused, want)
	}
}
