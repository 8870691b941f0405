package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// promptly is how soon the real workflow must be at work again: two looks of the reconciler at a workflow that may be
// on its way, and some time for a busy machine.
const promptly = time.Minute

// impostor is a workflow that somebody who reaches Temporal, and nothing else, puts in the place of one of ours.
type impostor struct {
	kind  string
	queue string             // "": ours
	memo  any                // of an incident
	input *commonpb.Payloads // none, or one that is kept in a history
}

// replace ends a workflow and puts an impostor in its place.
func (s *scene) replace(id string, with impostor) {
	s.t.Helper()
	printProgress("  an impostor for %s", id)
	c := plainTemporal(s.t)
	request := &workflowservice.StartWorkflowExecutionRequest{
		Namespace: system.Temporal.Namespace, WorkflowId: id, WorkflowType: &commonpb.WorkflowType{Name: with.kind}, Input: with.input,
		TaskQueue: &taskqueuepb.TaskQueue{Name: models.QueueIncidents}, WorkflowIdReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}
	if with.queue != "" {
		request.TaskQueue.Name = with.queue
	}
	if with.memo != nil {
		request.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"incident": {
			Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"` + uuid.NewString() + `"`),
		}}}
	}
	s.await("an impostor in the place of "+id, func() (bool, error) {
		_ = c.TerminateWorkflow(s.t.Context(), id, "", "") // it may have ended
		request.RequestId = uuid.NewString()
		_, err := c.WorkflowService().StartWorkflowExecution(s.t.Context(), request)
		var exists *serviceerror.WorkflowExecutionAlreadyStarted
		if errors.As(err, &exists) { // the real one was quicker
			return false, nil
		}
		return err == nil, err
	})
}

// inputOf returns the sealed input with which the present run of a workflow began, as everybody reads it who reaches
// Temporal.
func (s *scene) inputOf(id string) *commonpb.Payloads {
	s.t.Helper()
	return readHistory(s.t, plainTemporal(s.t), id).GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput()
}

// wantPromptly checks that something happens soon.
func (s *scene) wantPromptly(what string, f func()) {
	s.t.Helper()
	took := elapsed(f)
	printProgress("  %s after %s", what, took.Round(100*time.Millisecond))
	if took > promptly {
		s.t.Errorf("%s: %s after %s, want at most %s", s.ref, what, took, promptly)
	}
}

// workAsAnybody runs a worker that brings every workflow of a type on a queue to its end at once.
func workAsAnybody(t *testing.T, kind, queue string) {
	t.Helper()
	w := worker.New(plainTemporal(t), queue, worker.Options{})
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: kind})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// reconcile runs watchfire reconcile as the operator does, and returns its answer.
func (s *scene) reconcile(args ...string) string {
	s.t.Helper()
	ask := exec.CommandContext(s.t.Context(), product, append([]string{"reconcile"}, args...)...)
	ask.Env = system.Env()
	answer, err := ask.CombinedOutput()
	if err != nil {
		s.t.Errorf("watchfire reconcile %v: %v: %s", args, err, answer)
	}
	return string(answer)
}

// Nobody has acknowledged a critical incident when an impostor takes its place. The phones ring on all the same, the
// operator hears of it, and what people say counts.
func TestAnImpostorDoesNotSilenceACriticalIncident(t *testing.T) {
	workAsAnybody(t, "Ghost", "anybody's")
	workAsAnybody(t, models.IncidentWorkflow, "anybody's")
	for name, with := range map[string]impostor{
		"without an input":               {kind: models.IncidentWorkflow},
		"with the memo of another":       {kind: models.IncidentWorkflow, memo: true},
		"with a plain input":             {kind: models.IncidentWorkflow, input: &commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{}`)}}}},
		"of a type that ends at once":    {kind: "Ghost", queue: "anybody's"},
		"of its type, and ended by them": {kind: models.IncidentWorkflow, queue: "anybody's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 0)
			s.setPhonePersonas("no_answer", "no_answer", "no_answer")
			s.open(models.SeverityCritical)
			s.assess()
			s.publish()
			s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
			s.replace(s.ref.WorkflowID(), with)
			s.wantPromptly("the operator has an alarm", func() { s.awaitAlarm(models.AlarmNotRunning, string(s.ref)) })
			s.wantPromptly("the calls go on", func() {
				s.await("the second contact's phone to ring", func() (bool, error) { return len(s.callsTo(1)) > 0, nil })
			})
			s.send(s.responder, &incident.Acknowledge{Revision: 1})
			s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
		})
	}
}

// Nobody works for the queue of an impostor, so that it neither fails nor ends.
func TestAnImpostorThatGoesOnIsAnAlarm(t *testing.T) {
	s := newScene(t, 1)
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.replace(s.ref.WorkflowID(), impostor{kind: models.IncidentWorkflow, queue: "nobody's"})
	s.wantPromptly("the operator has an alarm", func() { s.awaitAlarm(models.AlarmConflict, string(s.ref)) })
	comment := &incident.Comment{Text: "Is anybody there?"}
	if status := s.post(s.analyst, "/incidents/"+string(s.ref)+"/comment", comment, nil); status != http.StatusAccepted {
		t.Errorf("a comment was answered with %d, want 202", status)
	}
	if answer := s.reconcile(); !strings.Contains(answer, "none of our workflows") || !strings.Contains(answer, "-restart "+string(s.ref)) {
		t.Errorf("watchfire reconcile answers %s", answer)
	}
	s.reconcile("-restart", string(s.ref))
	s.awaitAlarmEnded(models.AlarmConflict, string(s.ref))
	s.await("the comment", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) == 1, nil })
	s.wantAgreement()
}

// No worker runs while an impostor stands in the incident's place, so that commands wait in it.
func TestCommandsThatAnImpostorGotAreCarriedOut(t *testing.T) {
	s := newScene(t, 1)
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.send(s.responder, &incident.Comment{Text: "before"})
	s.killWorker()
	if status := s.post(s.analyst, "/incidents/"+string(s.ref)+"/comment", &incident.Comment{Text: "queued for the real one"}, nil); status != http.StatusAccepted {
		t.Errorf("a comment was answered with %d, want 202", status)
	}
	s.replace(s.ref.WorkflowID(), impostor{kind: models.IncidentWorkflow})
	for _, c := range []incident.Command{&incident.Acknowledge{Revision: 1}, &incident.Comment{Text: "told to the impostor"}} {
		if status := s.post(s.responder, "/incidents/"+string(s.ref)+"/"+c.Name(), c, nil); status != http.StatusAccepted {
			t.Errorf("%s was answered with %d, want 202", c.Name(), status)
		}
	}
	s.startWorker()
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.wantPromptly("the acknowledgement stands", func() {
		s.until("the acknowledgement", func(i incident.Incident) bool { return i.Acknowledged != nil })
	})
	s.await("the comments", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) >= 3, nil })
	s.send(s.responder, &incident.Comment{Text: "after"})
	s.wantEveryCommentOnce(4)
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
}

// The client is asked about an isolation when an impostor takes the place of the device's workflow.
func TestAnImpostorDoesNotKeepADeviceFromBeingIsolated(t *testing.T) {
	workAsAnybody(t, "Ghost", "anybody's")
	for name, with := range map[string]impostor{
		"without an input":            {kind: models.EndpointWorkflow},
		"of a type that ends at once": {kind: "Ghost", queue: "anybody's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2)
			s.setPhonePersonas("no_answer", "no_answer", "no_answer")
			defer s.signAuthority(authority.DecideAuto)
			s.signAuthority(authority.DecideAsk)
			s.askAboutIsolation()
			id := s.ref.EndpointWorkflowID("e1")
			s.replace(id, with)
			s.awaitAlarm(models.AlarmNotRunning, id)
			s.awaitAlarmEnded(models.AlarmNotRunning, id)
			s.replace(id, with)
			s.send(s.responder, &incident.Approve{Approval: "a1"})
			s.wantPromptly("the device is isolated", func() { s.awaitContainment(incident.ContainmentContained) })
			s.settleAndRelease()
			s.wantActions("contain", "lift_containment")
		})
	}
}

// The client has approved an isolation, and the EDR is down. Somebody begins the device's workflow anew as it was
// before the approval.
func TestADeviceThatIsBegunFromAnOldStateIsIsolated(t *testing.T) {
	s := newScene(t, 2)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.askAboutIsolation()
	id := s.ref.EndpointWorkflowID("e1")
	before := s.inputOf(id)
	s.faults("crowdstrike", outage("refuse"))
	s.send(s.responder, &incident.Approve{Approval: "a1"})
	s.until("the trouble with the EDR", func(i incident.Incident) bool { return i.OpenTask(incident.TaskUnconfirmed, "e1") != nil })
	s.replace(id, impostor{kind: models.EndpointWorkflow, input: before})
	s.clearFaults("crowdstrike")
	s.wantPromptly("the device is isolated", func() { s.awaitContainment(incident.ContainmentContained) })
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
}

// Somebody begins the workflow of a critical incident anew as it was when it was opened, while the first contact's phone
// rings. They may also have it go on in a new run, before it is told.
func TestAnIncidentThatIsBegunFromAnOldStateGoesOnFromTheStore(t *testing.T) {
	t.Run("in its first run", func(t *testing.T) { beginFromAnOldState(t, false) })
	t.Run("and in a second one", func(t *testing.T) { beginFromAnOldState(t, true) })
}

func beginFromAnOldState(t *testing.T, renewed bool) {
	t.Helper()
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.open(models.SeverityCritical)
	before := s.inputOf(s.ref.WorkflowID())
	opened := time.Now()
	s.assess()
	s.await("the incident to be some seconds old", func() (bool, error) { return time.Since(opened) > 8*time.Second, nil })
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	s.replace(s.ref.WorkflowID(), impostor{kind: models.IncidentWorkflow, input: before})
	if renewed {
		if err := temporal(t).SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", models.SignalRenew, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.wantPromptly("the calls go on", func() {
		s.await("the second contact's phone to ring", func() (bool, error) { return len(s.callsTo(1)) > 0, nil })
	})
	s.send(s.responder, &incident.Acknowledge{Revision: 1})
	if n := len(s.callsTo(0)); n != 1 {
		t.Errorf("the first contact was called %d times, want once", n)
	}
	s.wantWholeLog()
}

// Nobody was told of a new contact yet when an impostor takes the place of the notice, on a queue for which nobody works.
// Later changes wait behind it, until the operator ends it.
func TestAnImpostorInANoticesPlaceIsAnAlarm(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	const waiting = "told_at is null"
	hurry := func() { // not wait a minute for the next notice
		runSQL(t, system.OwnerURL(), "update contact_changes set noticed_at = noticed_at - interval '1 hour' where client_id = $1", s.contacts[0].ClientID)
	}
	s.await("the first notices", func() (bool, error) { hurry(); return len(s.changes(waiting)) == 0, nil })
	add := func(order int, name string) string {
		email := fmt.Sprintf("%s@client%d.example", name, s.number)
		s.post(s.operator, fmt.Sprintf("/clients/%d/contacts", s.number), map[string]any{
			"name": name, "language": "en", "order": order, "email": email, "severities": models.Severities(), "channels": []models.Channel{models.ChannelEmail},
		}, nil)
		return email
	}
	admin := fmt.Sprintf("admin@client%d.example", s.number)
	before := len(s.notices(admin))
	s.killWorker()
	emails := []string{add(3, "ines")}
	id := fmt.Sprintf("contact-notice/%d/%s", s.number, s.changes(waiting)[0])
	s.replace(id, impostor{kind: "Ghost", queue: "nobody's"})
	s.startWorker()
	emails = append(emails, add(4, "bo"))
	s.wantPromptly("the operator has an alarm", func() { s.awaitAlarm(models.AlarmConflict, id) })
	if n := len(s.changes(waiting)); n != 2 {
		t.Errorf("%d changes wait behind the impostor, want 2", n)
	}
	s.terminate(id)
	s.wantPromptly("everybody is told", func() {
		s.await("the notices", func() (bool, error) { hurry(); return len(s.changes(waiting)) == 0, nil })
	})
	for _, email := range emails {
		if n := len(s.notices(email)); n != 1 {
			t.Errorf("%s was told %d times, want once", email, n)
		}
	}
	if n := len(s.notices(admin)) - before; n != 1 {
		t.Errorf("the admin was told %d times, want once of both", n)
	}
	s.awaitAlarmEnded(models.AlarmConflict, id)
}
