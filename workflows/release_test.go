package workflows_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// isolatedStory begins a story of which a device is isolated two minutes after the beginning.
func isolatedStory(t *testing.T) *story {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	return s
}

func TestAnIsolationThatComesLateIsSeenAndReleasedAgain(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.env.RegisterDelayedCallback(func() { s.isolated = true }, time.Hour+2*time.Minute)
	during := s.at(time.Hour + 10*time.Minute)
	s.after(time.Hour+11*time.Minute, models.RoleAnalyst, &incident.CompleteTask{Task: "t1"})
	later := s.at(2 * time.Hour)
	s.closes(3 * time.Hour)
	i := s.run(models.SeverityMedium)
	if during.OpenTask(incident.TaskDrift, "e1") == nil || during.Endpoints[0].Observed != models.HostIsolated {
		t.Errorf("ten minutes after the release: %+v, tasks %+v", during.Endpoints[0], during.Tasks)
	}
	if later.OpenTask(incident.TaskDrift, "e1") != nil || later.Endpoints[0].Observed != models.HostNormal {
		t.Errorf("after the task was completed: %+v, tasks %+v", later.Endpoints[0], later.Tasks)
	}
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
	if i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s", i.Phase)
	}
}

func TestAReleasedDeviceIsLookedAtBeforeClosure(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.env.RegisterDelayedCallback(func() { s.isolated = true }, 10*time.Hour) // when nobody watches any more
	s.closes(20 * time.Hour)
	during := s.at(25 * time.Hour)
	s.after(26*time.Hour, models.RoleAnalyst, &incident.CompleteTask{Task: "t1"})
	i := s.run(models.SeverityMedium)
	if during.Phase != incident.PhaseClosureRequested || during.OpenTask(incident.TaskDrift, "e1") == nil {
		t.Errorf("after the client asked: phase %s, tasks %+v", during.Phase, during.Tasks)
	}
	if i.Phase != incident.PhaseClosed || s.edr[len(s.edr)-1] != "released aid-FILESRV-01" || len(s.edr) != 3 {
		t.Errorf("in the end: phase %s, asked of the EDR %v", i.Phase, s.edr)
	}
}

func TestALookThatTheEDRThrottlesIsRepeatedWhenItSaid(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	begin, looked := s.env.Now(), []time.Duration{}
	s.looks = func() error {
		if looked = append(looked, s.env.Now().Sub(begin).Truncate(time.Minute)); len(looked) > 2 {
			return nil
		}
		return temporal.NewApplicationErrorWithOptions("sentinelone: read host: throttled (HTTP 429)", string(models.Throttled),
			temporal.ApplicationErrorOptions{NextRetryDelay: 25 * time.Minute})
	}
	during, later := s.at(time.Hour+30*time.Minute), s.at(2*time.Hour)
	s.closes(5 * time.Hour)
	s.run(models.SeverityMedium)
	if want := []time.Duration{time.Hour + time.Minute, time.Hour + 26*time.Minute, time.Hour + 51*time.Minute}; !slices.Equal(looked[:3], want) {
		t.Errorf("looked at %s, want %s", looked, want)
	}
	if during.OpenTask(incident.TaskUnconfirmed, "e1") == nil || later.OpenTask(incident.TaskUnconfirmed, "e1") != nil {
		t.Errorf("while it cannot be looked at: tasks %+v, then %+v", during.Tasks, later.Tasks)
	}
}

func TestADeviceThatAnotherIncidentHoldsIsLetGo(t *testing.T) {
	s := isolatedStory(t)
	s.holders = []incident.EndpointID{{Incident: "SI-1042-0003", Endpoint: "e4"}}
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	during := s.at(2 * time.Hour)
	s.closes(3 * time.Hour)
	i := s.run(models.SeverityMedium)
	if e := during.Endpoints[0]; !slices.Equal(e.HeldBy, []models.Reference{"SI-1042-0003"}) || during.Containment() != incident.ContainmentReleased {
		t.Errorf("after the release: %+v, containment %s", e, during.Containment())
	}
	if len(s.edr) != 1 || i.Phase != incident.PhaseClosed {
		t.Errorf("asked of the EDR: %v, phase %s", s.edr, i.Phase)
	}
}

func TestADeviceIsolatedLaterForAnotherIncidentIsNoDrift(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.env.RegisterDelayedCallback(func() {
		s.isolated, s.holders = true, []incident.EndpointID{{Incident: "SI-1042-0008", Endpoint: "e2"}}
	}, time.Hour+2*time.Minute)
	during := s.at(time.Hour + 10*time.Minute)
	s.closes(3 * time.Hour)
	i := s.run(models.SeverityMedium)
	if e := during.Endpoints[0]; !slices.Equal(e.HeldBy, []models.Reference{"SI-1042-0008"}) || e.Drifted || len(during.Tasks) > 0 {
		t.Errorf("ten minutes after the release: %+v, tasks %+v", e, during.Tasks)
	}
	if i.Phase != incident.PhaseClosed || len(s.edr) != 2 {
		t.Errorf("phase %s, asked of the EDR: %v", i.Phase, s.edr)
	}
}

func TestAReleaseThatWaitsForALostIsolationIsNoProblem(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	begin := s.env.Now()
	s.changeFails = func() error {
		if at := s.env.Now().Sub(begin); at < time.Hour || at > time.Hour+150*time.Second {
			return nil
		}
		return temporal.NewApplicationErrorWithOptions("an opposite action on the device may still come through", activities.ErrSettling,
			temporal.ApplicationErrorOptions{NextRetryDelay: 150 * time.Second})
	}
	during, later := s.at(time.Hour+2*time.Minute), s.at(time.Hour+10*time.Minute)
	s.closes(3 * time.Hour)
	s.run(models.SeverityMedium)
	if during.Containment() != incident.ContainmentReleasing || len(during.Tasks) > 0 {
		t.Errorf("while it waits: containment %s, tasks %+v", during.Containment(), during.Tasks)
	}
	if later.Containment() != incident.ContainmentReleased || len(s.edr) != 2 {
		t.Errorf("then: containment %s, asked of the EDR %v", later.Containment(), s.edr)
	}
}

// The device is offline, so that its isolation stays under way, and the EDR takes no release until it is through.
func TestAReleaseThatTheEDRTakesLaterStaysTheSameAction(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	begin, tried := s.env.Now(), []time.Duration{}
	s.changeFails = func() error {
		at := s.env.Now().Sub(begin)
		if at < time.Hour || at > 4*time.Hour {
			return nil
		}
		tried = append(tried, at)
		return temporal.NewApplicationErrorWithOptions("cortex: release: throttled code opposite_pending", string(models.Throttled),
			temporal.ApplicationErrorOptions{NextRetryDelay: 15 * time.Second})
	}
	during, later := s.at(time.Hour+3*time.Minute), s.at(4*time.Hour+3*time.Minute)
	s.closes(6 * time.Hour)
	s.run(models.SeverityMedium)
	if during.OpenTask(incident.TaskUnconfirmed, "e1") == nil || later.OpenTask(incident.TaskUnconfirmed, "e1") != nil {
		t.Errorf("while it waits: tasks %+v, then %+v", during.Tasks, later.Tasks)
	}
	if later.Containment() != incident.ContainmentReleased {
		t.Errorf("once it is taken: containment %s", later.Containment())
	}
	for i := range tried[1:] {
		if pause := tried[i+1] - tried[i]; pause > 2*time.Minute {
			t.Errorf("after %s it is tried again after %s", tried[i], pause)
		}
	}
	if want := []string{"SI-1042-0007/isolate/1/e1/edr/1", "SI-1042-0007/release/2/e1/edr/1"}; !slices.Equal(slices.Compact(s.actions), want) {
		t.Errorf("actions %v", s.actions)
	}
}

func TestCompletingTheTaskAboutAnActionThatIsNeverConfirmedSendsAnother(t *testing.T) {
	s := isolatedStory(t)
	s.confirm = func(in activities.EndpointInput) (*activities.EndpointReport, error) {
		if in.Effect.Key != "SI-1042-0007/isolate/1/e1/edr/1" {
			return nil, nil
		}
		seen := activities.EndpointReport{AgentID: in.AgentID, State: models.HostNormal}
		return nil, temporal.NewApplicationErrorWithOptions("the EDR has not confirmed yet", activities.ErrPending,
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Minute, Details: []any{seen}})
	}
	during := s.at(30 * time.Minute)
	s.after(31*time.Minute, models.RoleAnalyst, &incident.CompleteTask{Task: "t1"})
	later := s.at(40 * time.Minute)
	s.containedBy(3 * time.Hour)
	s.run(models.SeverityMedium)
	if during.OpenTask(incident.TaskUnconfirmed, "e1") == nil || later.Containment() != incident.ContainmentContained {
		t.Errorf("tasks %+v, then containment %s", during.Tasks, later.Containment())
	}
	if want := []string{"SI-1042-0007/isolate/1/e1/edr/1", "SI-1042-0007/isolate/1/e1/edr/2", "SI-1042-0007/release/2/e1/edr/1"}; !slices.Equal(slices.Compact(s.actions), want) {
		t.Errorf("actions %v", s.actions)
	}
}

// The store was away while the device was asked for and let go, so that its workflow began with the release.
func TestADeviceLetGoBeforeAnythingWasDoneIsIsolatedLater(t *testing.T) {
	s := isolatedStory(t)
	down := false
	s.recordFails = func(activities.RecordInput) error {
		if down {
			return errors.New("no answer")
		}
		return nil
	}
	s.env.RegisterDelayedCallback(func() { down = true }, 90*time.Second)
	s.after(2*time.Minute+500*time.Millisecond, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "the wrong one"})
	s.env.RegisterDelayedCallback(func() { down = false }, 2*time.Minute+time.Second)
	s.after(time.Hour, models.RoleAnalyst, isolate)
	later := s.at(2 * time.Hour)
	s.containedBy(3 * time.Hour)
	s.run(models.SeverityMedium)
	if later.Containment() != incident.ContainmentContained || len(s.edr) != 2 {
		t.Errorf("an hour after it was asked for again: %s, asked of the EDR %v", later.Containment(), s.edr)
	}
}

// The lost run waited for the look at a released device, which the client's closure needs.
func TestARunStartedAnewClosesAnIncidentThatWaitedForALook(t *testing.T) {
	s := isolatedStory(t)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.closes(3 * time.Hour)
	s.run(models.SeverityMedium)
	verified := slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == "verified" })

	after := newStory(t)
	after.events, after.opened = s.events[:verified+1], s.opened
	after.env.SetStartTime(s.events[verified].At)
	after.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", models.SignalDesiredState, mock.Anything).
		Return(errors.New("it does not run")) // so that it is started
	lost := incident.Lost{
		Incident: after.replay(s.opened), Policy: models.DefaultPolicy(), Directory: after.directory,
		Events: append([]incident.Event{after.openedEvent()}, after.events...),
	}
	if i := after.runFrom(lost.State()); i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s", i.Phase)
	}
}

func TestAPersonReleasesADeviceForAllByItsName(t *testing.T) {
	s := isolatedStory(t)
	s.holders = []incident.EndpointID{{Incident: "SI-1042-0003", Endpoint: "e4"}}
	var told []string
	s.env.OnSignalExternalWorkflow("default-test-namespace", "incident/SI-1042-0003/endpoint/e4", "", models.SignalDeviceReleased, ref).
		Return(func(_, id, _, _ string, by any) error { told = append(told, id); return nil })
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.rejectedAfter(2*time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "all clear", ForAll: "OTHER-01"}, models.Invalid)
	s.after(3*time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "all clear", ForAll: "filesrv-01"})
	s.closes(10 * time.Hour)
	s.run(models.SeverityMedium)
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) || len(told) != 1 {
		t.Errorf("asked of the EDR: %v, told %v", s.edr, told)
	}
}

func TestAReleaseForAllIsSeenAtOnceByTheOtherIncident(t *testing.T) {
	s := isolatedStory(t)
	s.env.RegisterDelayedCallback(func() {
		s.released = true
		if err := s.env.SignalWorkflowByID(ref.EndpointWorkflowID("e1"), models.SignalDeviceReleased, models.Reference("SI-1042-0003")); err != nil {
			t.Error(err)
		}
	}, 10*time.Minute)
	during := s.at(11 * time.Minute)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "so be it"})
	s.closes(3 * time.Hour)
	s.run(models.SeverityMedium)
	task := during.OpenTask(incident.TaskDrift, "e1")
	if task == nil || !strings.Contains(task.Detail, "SI-1042-0003") {
		t.Errorf("a minute after it was told: %+v", during.Tasks)
	}
	if len(s.edr) != 2 { // it is normal already, and the EDR leaves it at that
		t.Errorf("asked of the EDR: %v", s.edr)
	}
}

func TestADeviceSetUpAnewUnderItsOldNameIsIsolatedOnAPersonsWord(t *testing.T) {
	s := newStory(t)
	s.agent = "old"
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.changeFails = func() error {
		if s.agent == "new" {
			return nil
		}
		return temporal.NewApplicationErrorWithOptions("mde: the device is gone, and agent new has its name now", string(models.Rejected),
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{"successor", "new"}})
	}
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.env.RegisterDelayedCallback(func() { s.agent = "new" }, 5*time.Minute)
	before := s.at(30 * time.Minute)
	s.after(31*time.Minute, models.RoleAnalyst, &incident.CompleteTask{Task: "t1"})
	after := s.at(time.Hour)
	s.containedBy(2 * time.Hour)
	s.run(models.SeverityMedium)
	if e := before.Endpoints[0]; e.Successor != "new" || before.OpenTask(incident.TaskUnconfirmed, "e1") == nil {
		t.Errorf("before anybody said so: %+v, tasks %+v", e, before.Tasks)
	}
	if e := after.Endpoints[0]; e.AgentID != "new" || e.Approval == nil || after.Containment() != incident.ContainmentContained {
		t.Errorf("then: %+v, containment %s", e, after.Containment())
	}
	if want := []string{"isolated new", "released new"}; !slices.Equal(s.edr, want) {
		t.Errorf("asked of the EDR: %v, want %v", s.edr, want)
	}
}

func TestADeviceKeptAtClosureStaysUnderItsLeaseUntilItIsReleased(t *testing.T) {
	for _, role := range []models.Role{models.RoleResponder, models.RoleAnalyst} {
		t.Run(string(role), func(t *testing.T) {
			s := isolatedStory(t)
			s.after(10*time.Hour, models.RoleAdmin, &incident.KeepIsolated{Endpoint: "e1", Reason: "evidence"})
			s.closes(11 * time.Hour)
			closed := s.at(13 * time.Hour)
			var asked int
			s.env.RegisterDelayedCallback(func() { asked = s.mailsFor(notify.PurposeLease) }, 90*time.Hour)
			s.after(89*time.Hour, models.RoleViewer, &incident.GiveFeedback{Rating: 5})
			s.after(91*time.Hour, role, &incident.ExtendIsolation{Endpoint: "e1", Reason: "not yet"})
			s.rejectedAfter(92*time.Hour, role, &incident.Comment{Text: "x"}, models.Conflict)
			late := 60 * day // long after the time for feedback
			s.after(late, role, &incident.Release{Endpoint: "e1", Reason: "handed over"})
			i := s.run(models.SeverityMedium)
			if closed.Phase != incident.PhaseClosed || closed.Containment() != incident.ContainmentContained {
				t.Fatalf("closed as %s, containment %s", closed.Phase, closed.Containment())
			}
			if asked != 2 {
				t.Errorf("%d mails asked about the lease after 80 hours, want one to each of two contacts", asked)
			}
			if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) || i.Containment() != incident.ContainmentReleased {
				t.Errorf("asked of the EDR: %v, containment %s", s.edr, i.Containment())
			}
			if s.when("lease_extended") < 90*time.Hour {
				t.Error("the lease was not extended")
			}
		})
	}
}
