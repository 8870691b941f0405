package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/workflows"
)

// at keeps the incident as it is known some time after it was opened.
func (s *story) at(d time.Duration) *incident.Incident {
	var i incident.Incident
	s.env.RegisterDelayedCallback(func() { i = s.replay(s.opening(models.SeverityMedium).Incident) }, d)
	return &i
}

func TestAnActionThatTheEDRCallsFailedIsSentAgain(t *testing.T) {
	s := newStory(t)
	s.confirm = func(in activities.EndpointInput) (*activities.EndpointReport, error) {
		if in.Effect.Key != "SI-1042-0007/isolate/1/e1/edr/1" {
			return nil, nil
		}
		seen := activities.EndpointReport{AgentID: in.AgentID, State: models.HostNormal, Online: true}
		return nil, temporal.NewApplicationErrorWithOptions("mde: isolate: the EDR says that it failed", activities.ErrActionFailed,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{seen}})
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	during, later := s.at(30*time.Minute), s.at(70*time.Minute)
	s.containedBy(3 * time.Hour)
	s.run(models.SeverityMedium)
	if e := during.Endpoints[0]; e.Observed != models.HostNormal || e.Problem == "" || during.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
		t.Errorf("after the failure: %+v, tasks %+v", e, during.Tasks)
	}
	if later.Containment() != incident.ContainmentContained || later.OpenTask(incident.TaskUnconfirmed, "e1") != nil {
		t.Errorf("an hour later: containment %s, tasks %+v", later.Containment(), later.Tasks)
	}
	if want := []string{"SI-1042-0007/isolate/1/e1/edr/1", "SI-1042-0007/isolate/1/e1/edr/2", "SI-1042-0007/release/2/e1/edr/1"}; !slices.Equal(s.actions, want) {
		t.Errorf("actions %v", s.actions)
	}
}

func TestADeviceWhoseStateNobodyTellsIsUnknown(t *testing.T) {
	refused := temporal.NewNonRetryableApplicationError("crowdstrike: read host: config (HTTP 401)", string(models.Config), nil)
	t.Run("after the action was sent", func(t *testing.T) {
		s := newStory(t)
		mute := true
		s.confirm = func(activities.EndpointInput) (*activities.EndpointReport, error) {
			if mute {
				return nil, refused
			}
			return nil, nil
		}
		s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
		s.after(2*time.Minute, models.RoleAnalyst, isolate)
		during := s.at(30 * time.Minute)
		s.env.RegisterDelayedCallback(func() { mute = false }, 31*time.Minute)
		later := s.at(70 * time.Minute)
		s.containedBy(3 * time.Hour)
		s.run(models.SeverityMedium)
		if e := during.Endpoints[0]; e.Observed != models.HostUnknown || during.Containment() != incident.ContainmentFailed || during.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
			t.Errorf("while nobody tells: %+v, tasks %+v", e, during.Tasks)
		}
		if later.Containment() != incident.ContainmentContained || len(slices.Compact(s.actions)) != 2 {
			t.Errorf("then: containment %s, actions %v", later.Containment(), s.actions)
		}
	})
	t.Run("long after it was confirmed", func(t *testing.T) {
		s := newStory(t)
		mute := false
		s.looks = func() error {
			if mute {
				return refused
			}
			return nil
		}
		s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
		s.after(2*time.Minute, models.RoleAnalyst, isolate)
		s.env.RegisterDelayedCallback(func() { mute = true }, 5*time.Hour)
		during := s.at(7 * time.Hour)
		s.env.RegisterDelayedCallback(func() { mute = false }, 7*time.Hour+time.Minute)
		later := s.at(9 * time.Hour)
		s.containedBy(10 * time.Hour)
		s.run(models.SeverityMedium)
		e := during.Endpoints[0]
		if e.Observed != models.HostUnknown || during.Containment() == incident.ContainmentContained || during.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
			t.Errorf("while nobody tells: %+v, tasks %+v", e, during.Tasks)
		}
		if age := during.Endpoints[0].ObservedAt.Sub(during.Endpoints[0].Since); age > 5*time.Hour {
			t.Errorf("the EDR's last word is said to be of %s after the isolation was requested", age)
		}
		if later.Containment() != incident.ContainmentContained || later.OpenTask(incident.TaskUnconfirmed, "e1") != nil {
			t.Errorf("then: containment %s, tasks %+v", later.Containment(), later.Tasks)
		}
	})
}

// The answers of the store are lost while the device is asked for. The workflow of the device is started meanwhile by
// somebody else, as the reconciler does, from what is in the store.
func TestADeviceWhoseWorkflowSomebodyElseStartedIsIsolated(t *testing.T) {
	s := newStory(t)
	lost := false
	s.recordFails = func(in activities.RecordInput) error {
		if !lost {
			return nil
		}
		s.events = append(s.events, slices.DeleteFunc(slices.Clone(in.Events), func(e incident.Event) bool { return e.Seq <= s.seq() })...)
		return errors.New("no answer")
	}
	id := ref.EndpointWorkflowID("e2")
	s.env.RegisterWorkflowWithOptions(func(ctx workflow.Context, in incident.EndpointState) error {
		if in.Endpoint == "e2" {
			return workflows.Endpoint(ctx, in)
		}
		lost = true
		if err := workflow.Sleep(ctx, time.Second); err != nil { // the device is asked for
			return err
		}
		ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: id, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON})
		state := incident.EndpointState{
			Reference: in.Reference, ClientID: in.ClientID, Endpoint: "e2", Hostname: isolate.Hostname, Policy: in.Policy,
			Wanted: incident.DesiredState{Desired: models.DesiredIsolated, Generation: 1},
		}
		if err := workflow.ExecuteChildWorkflow(ctx, models.EndpointWorkflow, state).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
			t.Errorf("it cannot be started: %v", err)
		}
		return workflows.Endpoint(ctx, in)
	}, workflow.RegisterOptions{Name: models.EndpointWorkflow, DisableAlreadyRegisteredCheck: true})
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "PC-1", Reason: "beacon"})
	s.after(time.Minute+500*time.Millisecond, models.RoleAnalyst, isolate)
	s.env.RegisterDelayedCallback(func() { lost = false }, 70*time.Second)
	s.after(2*time.Minute, models.RoleResponder, &incident.Acknowledge{})
	during := s.at(5 * time.Minute)
	s.after(29*time.Minute, models.RoleResponder, &incident.Release{Endpoint: "e2", Reason: "reinstalled"})
	s.containedBy(30 * time.Minute)
	s.run(models.SeverityCritical)
	if e := during.Endpoints[1]; e.Observed != models.HostIsolated || len(s.edr) == 0 {
		t.Errorf("minutes after it was permitted: %+v, asked of the EDR %v", e, s.edr)
	}
}

// Somebody began the workflow of a device from an old state and let it go on in a new run: the incident says what is desired.
func TestADeviceThatGoesOnInANewRunHasTheIncidentSayWhatIsDesired(t *testing.T) {
	s := newStory(t)
	s.env.SetContinuedExecutionRunID("the run before")
	s.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: ref.EndpointWorkflowID("e1"), TaskQueue: models.QueueIncidents})
	var asked []any
	s.env.OnSignalExternalWorkflow(mock.Anything, ref.WorkflowID(), "", mock.Anything, mock.Anything).
		Return(func(_, _, _, signal string, arg any) error {
			if signal == models.SignalEndpointAnew {
				asked = append(asked, arg)
				s.env.RegisterDelayedCallback(func() {
					s.env.SignalWorkflow(models.SignalDesiredState, incident.DesiredState{Generation: 3, Detach: true})
				}, time.Second)
			}
			return nil
		})
	s.env.ExecuteWorkflow(models.EndpointWorkflow, incident.EndpointState{
		Reference: ref, ClientID: s.opening(models.SeverityHigh).Incident.ClientID, Endpoint: "e1", Hostname: "PC-1", Policy: models.DefaultPolicy(),
		Wanted: incident.DesiredState{Generation: 1},
	})
	if len(asked) != 1 || asked[0] != "e1" || s.env.GetWorkflowError() != nil {
		t.Errorf("asked about %v; %v", asked, s.env.GetWorkflowError())
	}
}

func TestEndingADriftTaskIsolatesAgain(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.env.RegisterDelayedCallback(func() { s.released = true }, 5*time.Hour)
	s.after(7*time.Hour, models.RoleAnalyst, &incident.CompleteTask{Task: "t1"})
	s.env.RegisterDelayedCallback(func() { s.released = false }, 7*time.Hour)
	s.containedBy(10 * time.Hour)
	s.run(models.SeverityMedium)
	if want := []string{"SI-1042-0007/isolate/1/e1/edr/1", "SI-1042-0007/isolate/1/e1/edr/2", "SI-1042-0007/release/2/e1/edr/1"}; !slices.Equal(s.actions, want) {
		t.Errorf("actions %v, want %v", s.actions, want)
	}
}

func TestAProblemThatStaysIsReportedAgainAfterItsTaskWasCompleted(t *testing.T) {
	s := newStory(t)
	s.changeFails = func() error {
		return temporal.NewNonRetryableApplicationError("crowdstrike: contain: config (HTTP 403)", string(models.Config), nil)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "PC-1", Reason: "beacon"})
	s.after(10*time.Minute, models.RoleOperator, &incident.CompleteTask{Task: "t1"})
	during := s.at(12 * time.Minute)
	s.after(20*time.Minute, models.RoleAnalyst, &incident.Dismiss{Reason: "a test"})
	s.env.RegisterDelayedCallback(func() { s.changeFails = nil }, 15*time.Minute)
	s.after(16*time.Minute, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "not needed"})
	s.run(models.SeverityLow)
	if during.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
		t.Errorf("nobody sees that it still fails: %+v", during.Tasks)
	}
}

func TestADeviceThatWasNeverTouchedIsLeftAlone(t *testing.T) {
	s := newStory(t)
	s.authority.Never = []string{"FILESRV-*"}
	s.after(time.Minute, models.RoleAnalyst, isolate)
	s.after(10*time.Minute, models.RoleAnalyst, isolate) // rejected the first time, and again
	during := s.at(20 * time.Minute)
	s.after(30*time.Minute, models.RoleAnalyst, &incident.Dismiss{Reason: "nothing"})
	i := s.run(models.SeverityMedium)
	if len(s.edr) != 0 {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
	if e := during.Endpoints[0]; e.Generation != 4 || e.Observed != models.HostNormal || during.Containment() != incident.ContainmentNone {
		t.Errorf("containment %s, %+v", during.Containment(), e)
	}
	if i.Phase != incident.PhaseDismissed {
		t.Errorf("phase %s", i.Phase)
	}
}

func TestOneDeviceIsOneEndpoint(t *testing.T) {
	s := newStory(t)
	s.agent = "aid-1"
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.rejectedAfter(3*time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "filesrv-01", Reason: "again"}, models.Conflict)
	s.after(4*time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "FILESRV-01.corp.example", Reason: "the same by its long name"})
	during := s.at(30 * time.Minute)
	s.after(40*time.Minute, models.RoleAnalyst, &incident.Release{Endpoint: "e2", Reason: "the same as e1"})
	s.containedBy(time.Hour)
	s.run(models.SeverityMedium)
	if want := []string{"isolated aid-1", "released aid-1"}; !slices.Equal(s.edr, want) {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
	if e := during.Endpoints[1]; e.Problem == "" || e.AgentID != "" || during.OpenTask(incident.TaskUnconfirmed, "e2") == nil {
		t.Errorf("the second endpoint: %+v, tasks %+v", e, during.Tasks)
	}
}
