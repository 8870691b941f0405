package e2e

import (
	"testing"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
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
	run, err := forger.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: forged.WorkflowID(), TaskQueue: models.QueueIncidents, WorkflowExecutionTimeout: time.Minute,
	}, models.IncidentWorkflow, incident.State{Incident: incident.Incident{Reference: forged}})
	if err != nil {
		t.Fatal(err)
	}
	s.await("the forged workflow to fail", func() (bool, error) {
		d, err := forger.DescribeWorkflowExecution(t.Context(), forged.WorkflowID(), run.GetRunID())
		return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, err
	})

	s.send(s.responder, &incident.Deny{Approval: "a1", Reason: "Not now."}) // all goes on
	s.send(s.responder, &incident.Comment{Text: "Go on."})
}
