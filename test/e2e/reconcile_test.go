package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// operator is the operator's own address, to which alarms are posted.
var operator = &mailbox{}

// mailbox keeps what is posted to it.
type mailbox struct {
	once   sync.Once
	server *httptest.Server
	mu     sync.Mutex
	alarms []models.Alarm
}

func (m *mailbox) address() string {
	m.once.Do(func() {
		m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var bulletin struct{ Alarms []models.Alarm }
			body, err := io.ReadAll(r.Body)
			if err != nil || json.Unmarshal(body, &bulletin) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.alarms = append(m.alarms, bulletin.Alarms...)
		}))
	})
	return m.server.URL
}

// about returns how often an alarm stood in bulletins: as one that began, and as one that ended.
func (m *mailbox) about(alarm uuid.UUID) (begun, ended int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.alarms {
		switch {
		case a.ID != alarm:
		case a.EndedAt.IsZero():
			begun++
		default:
			ended++
		}
	}
	return begun, ended
}

// alarms returns the alarms of a kind about a subject since the scene began, as the operator sees them, the newest
// first. On a busy machine what failed may fail once more, which is another alarm.
func (s *scene) alarms(kind models.AlarmKind, subject string) ([]models.Alarm, error) {
	var page struct{ Items []models.Alarm }
	err := s.operator.Get(s.t.Context(), "/operator/alarms?all=true&limit=200", &page)
	return slices.DeleteFunc(page.Items, func(a models.Alarm) bool {
		return a.Kind != kind || a.Subject != subject || !a.LastSeen.After(s.began)
	}), err
}

func (s *scene) awaitAlarm(kind models.AlarmKind, subject string) {
	s.t.Helper()
	s.await("the alarm "+string(kind)+" about "+subject, func() (bool, error) {
		all, err := s.alarms(kind, subject)
		return len(all) > 0, err
	})
}

// awaitAlarmEnded waits until an alarm has ended and the operator was told so, and checks that they were told once of
// the beginning and of the end of each.
func (s *scene) awaitAlarmEnded(kind models.AlarmKind, subject string) {
	s.t.Helper()
	s.await("the end of the alarm "+string(kind)+" about "+subject, func() (bool, error) {
		all, err := s.alarms(kind, subject)
		if err != nil || len(all) == 0 || all[0].EndedAt.IsZero() {
			return false, err
		}
		_, ended := operator.about(all[0].ID)
		return ended > 0, nil
	})
	all, err := s.alarms(kind, subject)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range all {
		if begun, ended := operator.about(a.ID); begun > 1 || ended > 1 {
			s.t.Errorf("the operator was told %d times of the alarm %s about %s and %d times of its end, want once each", begun, kind, subject, ended)
		}
	}
}

// terminate ends a workflow as an operator can.
func (s *scene) terminate(id string) {
	s.t.Helper()
	printProgress("  terminate %s", id)
	if err := temporal(s.t).TerminateWorkflow(s.t.Context(), id, "", "a test"); err != nil {
		s.t.Fatalf("terminate %s: %v", id, err)
	}
}

// wipe removes workflows from the engine with everything it knows of them.
func (s *scene) wipe(ids ...string) {
	s.t.Helper()
	c := temporal(s.t)
	for _, id := range ids {
		printProgress("  wipe %s", id)
		_, err := c.WorkflowService().DeleteWorkflowExecution(s.t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: system.Temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
		})
		if err != nil {
			s.t.Fatalf("wipe %s: %v", id, err)
		}
	}
}

// Its round of calls goes on with it.
func TestATerminatedCriticalIncidentIsStartedAgain(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	s.terminate(s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.awaitAcknowledgement()
	s.awaitContainment(incident.ContainmentContained)
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.wantCalls(1, 1, 0)
	s.wantMails(notify.PurposePublished)
	s.wantActions("contain")
	s.wantAgreement()
	s.settleAndRelease()
	s.closeIncident()
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.wantActions("contain", "lift_containment")
}

// A terminated incident is published, and nobody was told or called yet, because all vendors were down.
func TestAnIncidentTerminatedBeforeAnybodyWasToldTellsEverybodyOnce(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("no_answer", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.faults("sendgrid", outage("refuse"))
	s.faults("smtp", outage("refuse"))
	s.faults("twilio", rule{Op: "place_call", Kind: "refuse"})
	s.publish()
	s.until("the first round of calls", func(i incident.Incident) bool { return i.CallRound == 1 })
	s.wipe(s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.clearFaults("sendgrid", "smtp", "twilio")
	s.awaitAcknowledgement()
	s.await("every mail", func() (bool, error) { return len(s.mails()) >= 3, nil })
	s.wantMails(notify.PurposePublished)
	s.wantOrderlyCalls()
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.wantAgreement()
}

// Everything that the engine knew of an incident is gone.
func TestAWipedIncidentAndItsDeviceAreStartedAgain(t *testing.T) {
	s := newScene(t, 2)
	s.setPhonePersonas("acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitAcknowledgement()
	s.awaitContainment(incident.ContainmentContained)
	s.wipe(s.ref.EndpointWorkflowID("e1"), s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.wantAgreement()
	s.wantCalls(1, 0, 0)
	s.wantActions("contain")
	s.settleAndRelease()
	s.closeIncident()
	s.wantActions("contain", "lift_containment")
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
}

func TestAClosedIncidentIsStartedAgainForItsLastMailsAndItsRating(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.awaitAcknowledgement()
	s.await("every mail", func() (bool, error) { return len(s.mails()) >= 3, nil })
	s.send(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Reset."})
	s.faults("sendgrid", outage("refuse"))
	s.faults("smtp", outage("refuse"))
	s.send(s.admin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Server restored."})
	s.send(s.analyst, &incident.Verify{Gone: true, Note: "Quiet for an hour."})
	s.until("the closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed })
	s.terminate(s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	if n := len(s.mails()); n != 3 {
		t.Errorf("%d mails went out while both mailers refused, want none but the first three", n-3)
	}
	s.clearFaults("sendgrid", "smtp")
	s.await("every mail", func() (bool, error) { return len(s.mails()) >= 6, nil })
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.rate()
}

// A run that is lost may have begun with a device and not have recorded it. Its workflow must not pass for the one of
// the next device, which gets the same id.
func TestAnEndpointThatWasNeverRecordedStandsInNobodysWay(t *testing.T) {
	s := newScene(t, 0)
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	_, err := temporal(t).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: s.ref.EndpointWorkflowID("e1"), TaskQueue: models.QueueIncidents,
	}, models.EndpointWorkflow, incident.EndpointState{
		Reference: s.ref, ClientID: s.current().ClientID, Endpoint: "e1", Hostname: "OTHER-" + s.host, Policy: models.DefaultPolicy(),
		Wanted: incident.DesiredState{Desired: models.DesiredIsolated, Generation: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.terminate(s.ref.WorkflowID())
	s.await("the incident's workflow to run again", func() (bool, error) {
		d, err := temporal(t).DescribeWorkflowExecution(t.Context(), s.ref.WorkflowID(), "")
		return err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, err
	})
	s.isolate()
	s.awaitContainment(incident.ContainmentContained)
	s.wantActions("contain")
	s.settleAndRelease()
	s.closeIncident()
}

func TestATerminatedEndpointIsStartedAgain(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("acknowledges")
	s.open(models.SeverityHigh)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitContainment(incident.ContainmentContained)
	id := s.ref.EndpointWorkflowID("e1")
	s.terminate(id)
	s.awaitAlarm(models.AlarmNotRunning, id)
	s.awaitAlarmEnded(models.AlarmNotRunning, id)
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
}

// The first contact's phone rings when the incident is lost. Its round goes on with that call.
func TestAnIncidentTerminatedDuringACallGoesOnWithIt(t *testing.T) {
	s := newScene(t, 2)
	s.ringFor(10 * time.Minute) // of simulated time: half a minute
	s.setPhonePersonas("no_answer", "acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	s.terminate(s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.awaitAcknowledgement()
	s.wantCalls(1, 1, 0)
	if i := s.current(); i.CallRound != 1 {
		t.Errorf("it was in round %d, want the first", i.CallRound)
	}
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.wantWholeLog()
}

// The incident is lost while the first contact's phone rings because of an approval. The calls go on with the same call.
func TestCallsAboutAnApprovalOfATerminatedIncidentGoOn(t *testing.T) {
	s := newScene(t, 1) // whose numbers no call of the test before uses
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.ringFor(10 * time.Minute) // of simulated time: half a minute
	s.setPhonePersonas("no_answer", "approves")
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.isolate()
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	s.terminate(s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.awaitContainment(incident.ContainmentContained)
	if n := len(s.callsTo(0)); n != 1 {
		t.Errorf("the first contact was called %d times, want 1", n)
	}
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
}

// Two persons must agree. One has, and the third contact's phone is off the hook, when the incident is lost. The calls that
// follow begin with the second contact, who did not answer, so that the key of the third comes before their turn.
func TestAKeyInACallOfALostIncidentAboutAnApprovalCounts(t *testing.T) {
	s := newScene(t, 2)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk, authority.AssetSelector{Class: models.ClassWorkstation})
	s.setPhonePersonas("approves", "no_answer", "approves")
	s.faults("twilio", rule{Op: "voice", Kind: "delay", Times: 3}, // the first call goes on without delay
		rule{Op: "voice", Kind: "delay", DelayMS: 12_000, Times: 1})
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.isolate()
	s.await("the third contact to pick up", func() (bool, error) {
		return slices.ContainsFunc(s.callsTo(2), func(c call) bool { return c.Answered != nil }), nil
	})
	if a := s.current().Endpoints[0].Approval; len(a.Given) != 1 || a.Granted {
		t.Errorf("the approval is %+v, want one consent, which is not enough", a)
	}
	s.terminate(s.ref.WorkflowID())
	s.awaitAlarm(models.AlarmNotRunning, string(s.ref))
	s.awaitAlarmEnded(models.AlarmNotRunning, string(s.ref))
	s.awaitContainment(incident.ContainmentContained)
	var by []string
	for _, c := range s.current().Endpoints[0].Approval.Given {
		by = append(by, c.By.ID+" by "+c.Via)
	}
	if want := []string{"contact:" + s.contacts[0].ID.String() + " by voice", "contact:" + s.contacts[2].ID.String() + " by voice"}; !slices.Equal(by, want) {
		t.Errorf("consents are of %v, want %v", by, want)
	}
	s.signAuthority(authority.DecideAuto)
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
	for n := range s.contacts {
		if calls := s.callsTo(n); len(calls) != 1 || n != 1 && len(calls[0].Keys) != 2 {
			t.Errorf("the calls to contact %d are %+v, want one, with two keys if they answered", n+1, calls)
		}
	}
}

// A workflow of a type that no worker knows stands for one that no worker can replay.
func TestAWorkflowWhoseTaskFailsAgainAndAgainIsAnAlarm(t *testing.T) {
	s := newScene(t, 2)
	s.open(models.SeverityLow)
	c := temporal(t)
	s.await("a broken workflow in the incident's place", func() (bool, error) {
		_ = c.TerminateWorkflow(t.Context(), s.ref.WorkflowID(), "", "a test") // it may be gone already
		_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: s.ref.WorkflowID(), TaskQueue: models.QueueIncidents, WorkflowExecutionErrorWhenAlreadyStarted: true,
			WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		}, "Broken")
		var exists *serviceerror.WorkflowExecutionAlreadyStarted
		if errors.As(err, &exists) {
			return false, nil
		}
		return err == nil, err
	})
	s.awaitAlarm(models.AlarmStuck, string(s.ref))
	if answer := readiness(t); !strings.Contains(answer, "503") || !strings.Contains(answer, `"alarms":"failing"`) {
		t.Errorf("/readyz answers %s while an alarm is open", answer)
	}
	s.terminate(s.ref.WorkflowID())
	s.awaitAlarmEnded(models.AlarmStuck, string(s.ref))
	s.send(s.analyst, &incident.Dismiss{Reason: "a test"})
}

// A workflow under the reference of an incident is another incident's.
func TestAForeignWorkflowIsNotTakenForTheIncidents(t *testing.T) {
	s := newScene(t, 1)
	s.open(models.SeverityLow)
	c := temporal(t)
	next := models.NewReference(s.number, 1+numberOf(t, s.ref))
	ghost, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: next.WorkflowID(), TaskQueue: "nobody's"}, "Ghost")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.TerminateWorkflow(t.Context(), ghost.GetID(), ghost.GetRunID(), "the test is over") })
	s.open(models.SeverityLow)
	if s.ref == next {
		t.Errorf("the reference %s was given though the engine knows it", next)
	}
	s.awaitAlarm(models.AlarmReferenceSkipped, fmt.Sprintf("client %d", s.number))
	s.assess()
	s.awaitAlarmEnded(models.AlarmReferenceSkipped, fmt.Sprintf("client %d", s.number))
}

// numberOf returns the running number in a reference.
func numberOf(t *testing.T, r models.Reference) (n int) {
	t.Helper()
	var client int
	if _, err := fmt.Sscanf(string(r), "SI-%d-%d", &client, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADeadWorkerShowsWithinSeconds(t *testing.T) {
	s := newScene(t, 0)
	s.await("the system to be ready", func() (bool, error) { return strings.HasPrefix(readiness(t), "200"), nil })
	s.killWorker()
	took := elapsed(func() {
		s.await("/readyz to say that no worker runs", func() (bool, error) { return strings.Contains(readiness(t), `"workers":"failing"`), nil })
	})
	printProgress("  /readyz said so after %s", took.Round(100*time.Millisecond))
	s.awaitAlarm(models.AlarmNoWorker, "worker")
	s.startWorker()
	s.awaitAlarmEnded(models.AlarmNoWorker, "worker")
	s.await("the system to be ready again", func() (bool, error) { return strings.HasPrefix(readiness(t), "200"), nil })
}

// A worker that is stopped, and not dead, keeps its long polls and the tasks that were handed to it. The test prints
// how long a critical call waits when one of two workers is stopped just before the publication.
func TestAStoppedWorkerHoldsNoCriticalCallForLong(t *testing.T) {
	newClientScene(t, func(*models.Policy) {}).startWorker()
	stopped := system.Workers[len(system.Workers)-2]
	for range 3 {
		s := newClientScene(t, func(*models.Policy) {}) // whose numbers nobody else has called
		s.open(models.SeverityCritical)
		s.assess()
		signalProcess(t, stopped.PID(), syscall.SIGSTOP)
		took := elapsed(func() {
			s.post(s.analyst, "/incidents/"+string(s.ref)+"/publish", &incident.Publish{}, nil)
			s.await("the first call", func() (bool, error) { return len(s.calls()) > 0, nil })
		})
		printProgress("  one of two workers stopped: the first call after %s", took.Round(100*time.Millisecond))
		signalProcess(t, stopped.PID(), syscall.SIGCONT)
		s.awaitAcknowledgement()
		s.wantOrderlyCalls()
	}
}

func signalProcess(t *testing.T, pid int, what syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, what); err != nil {
		t.Errorf("signal a process: %v", err)
	}
}
