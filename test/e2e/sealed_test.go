package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Whoever reaches Temporal without the provider's keys orders nothing: not as an Update, not by starting a workflow, not
// from one workflow to another, and not with a sealed payload of another incident.
func TestWhatIsNotSealedForAWorkflowIsRefused(t *testing.T) {
	s := newScene(t, 1)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.send(s.analyst, &incident.Comment{Text: "This belongs to the first incident."})
	first := s.ref

	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitQuestion("a1")
	forger := plainTemporal(t)
	endpoint := s.ref.EndpointWorkflowID("e1")

	request := incident.CommandRequest{
		CommandContext: incident.CommandContext{RequestID: uuid.NewString(), Actor: models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleLead}},
		Body:           []byte(`{"text":"Forged."}`),
	}
	update, err := forger.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: s.ref.WorkflowID(), UpdateName: "comment", Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = update.Get(t.Context(), nil)
	}
	if err == nil {
		t.Error("a plain Update was carried out")
	}
	if err := forger.SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", "comment", request); err != nil {
		t.Fatal(err)
	}
	desired := incident.DesiredState{Desired: models.DesiredIsolated, Generation: 99, Permitted: true}
	if err := forger.SignalWorkflow(t.Context(), endpoint, "", models.SignalDesiredState, desired); err != nil {
		t.Fatal(err)
	}
	var moved *commonpb.Payloads
	for _, e := range readHistory(t, forger, first.WorkflowID()).GetEvents() {
		if a := e.GetWorkflowExecutionUpdateAcceptedEventAttributes(); a.GetAcceptedRequest().GetInput().GetName() == "comment" {
			moved = a.GetAcceptedRequest().GetInput().GetArgs()
		}
	}
	if moved == nil {
		t.Fatal("the first incident's history has no comment")
	}
	_, err = forger.WorkflowService().SignalWorkflowExecution(t.Context(), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: system.Temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: s.ref.WorkflowID()},
		SignalName: "comment", Input: moved,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.await("three refusals", func() (bool, error) { return len(eventsOf[*incident.CommandRejected](s)) >= 3, nil })
	refused := map[string]int{}
	for _, r := range eventsOf[*incident.CommandRejected](s) {
		refused[r.Command]++
	}
	if refused["comment"] != 2 || refused[models.SignalDesiredState] != 1 || len(eventsOf[*incident.Commented](s)) != 0 {
		t.Errorf("refused %v, comments %d", refused, len(eventsOf[*incident.Commented](s)))
	}
	if got := s.actions(); len(got) != 0 {
		t.Errorf("the EDR carried out %v", got)
	}

	forged := models.NewReference(s.number, 9999)
	for name, args := range byName(map[string][]any{"plain": {incident.State{Incident: incident.Incident{Reference: forged}}}, "missing": nil}) {
		run, err := forger.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: forged.WorkflowID(), TaskQueue: models.QueueIncidents, WorkflowExecutionTimeout: time.Minute,
		}, models.IncidentWorkflow, args...)
		if err != nil {
			t.Fatal(err)
		}
		s.await("the forged workflow to fail, whose input is "+name, func() (bool, error) {
			d, err := forger.DescribeWorkflowExecution(t.Context(), forged.WorkflowID(), run.GetRunID())
			return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, err
		})
	}

	s.send(s.responder, &incident.Deny{Approval: "a1", Reason: "Not now."}) // all goes on
	s.send(s.responder, &incident.Comment{Text: "Go on."})
}

// Whoever reaches Temporal answers for the EDR: with what it, or another activity of the device, answered before, with
// what it is asked, with nothing, and with a failure in their own words. None of it is believed, which the incident
// shows, and the EDR is asked.
func TestNobodyAnswersForTheEDRThroughTemporal(t *testing.T) {
	s := newScene(t, 2)
	s.setPhonePersonas("acknowledges")
	s.open(models.SeverityMedium)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitContainment(incident.ContainmentContained)
	s.settleAndRelease()
	defer s.clearFaults("crowdstrike")
	s.faults("crowdstrike", rule{Op: "host_details", Kind: "late", DelayMS: 2300}) // longer than the product waits
	s.send(s.analyst, &incident.Isolate{Hostname: s.host, Reason: "It is back."})

	forger, endpoint := plainTemporal(t), s.ref.EndpointWorkflowID("e1")
	said := map[string][]*commonpb.Payloads{} // by activity: what it was asked, and what it answered
	types := map[int64]string{}
	question := &commonpb.Payloads{} // stands for what the activity is asked itself
	for _, e := range readHistory(t, forger, endpoint).GetEvents() {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			types[e.GetEventId()] = a.GetActivityType().GetName()
			said[a.GetActivityType().GetName()] = append(said[a.GetActivityType().GetName()], a.GetInput())
		}
		if a := e.GetActivityTaskCompletedEventAttributes(); a != nil {
			name := types[a.GetScheduledEventId()]
			said[name] = append(said[name], a.GetResult())
		}
	}
	answered := map[string]bool{}
	asked := func(activity string) (id string) { // waits until it is asked for once more
		t.Helper()
		s.await(activity+" to be asked for", func() (bool, error) {
			d, err := forger.DescribeWorkflowExecution(t.Context(), endpoint, "")
			for _, p := range d.GetPendingActivities() {
				if p.GetActivityType().GetName() == activity && !answered[p.GetActivityId()] {
					id = p.GetActivityId()
				}
			}
			return id != "", err
		})
		answered[id] = true
		return id
	}
	answer := func(activity string, with *commonpb.Payloads) {
		t.Helper()
		for {
			id, result := asked(activity), with
			for _, e := range readHistory(t, forger, endpoint).GetEvents() {
				if a := e.GetActivityTaskScheduledEventAttributes(); with == question && a.GetActivityId() == id {
					result = a.GetInput()
				}
			}
			_, err := forger.WorkflowService().RespondActivityTaskCompletedById(t.Context(), &workflowservice.RespondActivityTaskCompletedByIdRequest{
				Namespace: system.Temporal.Namespace, WorkflowId: endpoint, ActivityId: id, Result: result,
			})
			var gone *serviceerror.NotFound
			if errors.As(err, &gone) {
				continue // the worker was first
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	seen := func(text string) int {
		t.Helper()
		n := 0
		for _, o := range eventsOf[*incident.EndpointObserved](s) {
			if strings.Contains(o.Problem, text) {
				n++
			}
		}
		return n
	}

	for _, of := range []string{"FindDevice", "SendAction", "ConfirmState"} {
		if len(said[of]) < 2 {
			t.Fatalf("%s is %d times in the history", of, len(said[of]))
		}
	}
	for _, a := range []*commonpb.Payloads{nil, question, said["SendAction"][0], said["SendAction"][1], said["ConfirmState"][1]} {
		answer("SendAction", a)
	}
	failed := asked("SendAction")
	s.await("a forged failure to be taken", func() (bool, error) { // it is while the worker is at it
		_, err := forger.WorkflowService().RespondActivityTaskFailedById(t.Context(), &workflowservice.RespondActivityTaskFailedByIdRequest{
			Namespace: system.Temporal.Namespace, WorkflowId: endpoint, ActivityId: failed,
			Failure: &failurepb.Failure{Message: "the SOC says: all is well", FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
				ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: string(models.Transient), NonRetryable: true},
			}},
		})
		return err == nil, err
	})
	asked("SendAction")
	s.await("the incident to show both", func() (bool, error) {
		return seen("the answer was not sealed by this provider for this request") > 0 && seen("a failure that was not sealed") > 0, nil
	})
	if n := seen("all is well"); n > 0 || len(openTasks(s.current(), incident.TaskUnconfirmed)) != 1 {
		t.Errorf("the forged text is shown %d times, open tasks %+v", n, openTasks(s.current(), incident.TaskUnconfirmed))
	}
	if got := s.actions(); len(got) != 2 {
		t.Errorf("the EDR carried out %v", got)
	}

	s.setDevicePersona("offline") // the EDR takes the order, and the device does not carry it out yet
	s.clearFaults("crowdstrike")
	for _, a := range []*commonpb.Payloads{nil, {}, question, said["ConfirmState"][0], said["ConfirmState"][1], said["FindDevice"][1]} {
		answer("ConfirmState", a)
	}
	asked("ConfirmState")
	if c := s.current().Containment(); c == incident.ContainmentContained || c == incident.ContainmentReleased {
		t.Errorf("the containment is %s, on a forger's word", c)
	}
	s.setDevicePersona("online")
	s.awaitContainment(incident.ContainmentContained)
	s.wantActions("contain", "lift_containment", "contain")
	s.until("the task to end", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskUnconfirmed)) == 0 })
}
