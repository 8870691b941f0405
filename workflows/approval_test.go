package workflows_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

var isolate = &incident.Isolate{Hostname: "FILESRV-01", Reason: "encrypting"}

// containedBy ends a story in which one device was isolated: it is released, and the client closes.
func (s *story) containedBy(at time.Duration) {
	s.after(at, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.closes(at + time.Hour)
}

func (s *story) when(t incident.EventType) time.Duration {
	n := slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == t })
	if n < 0 {
		return -1
	}
	return s.events[n].At.Sub(s.events[0].At)
}

func TestAnIsolationThatIsToBeAskedWaitsForAKeyPress(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	var before []string
	s.answers = func(e notify.Effect) {
		before = slices.Clone(s.edr)
		s.presses("1")(e)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.containedBy(time.Hour)
	i := s.run(models.SeverityMedium)
	if len(before) != 0 {
		t.Errorf("the EDR was asked for %v before anybody approved", before)
	}
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) {
		t.Fatalf("asked of the EDR: %v", s.edr)
	}
	if len(s.calls) != 1 || s.calls[0].Purpose != notify.PurposeApproval || s.mailsFor(notify.PurposeApproval) != 2 {
		t.Errorf("calls %+v, %d mails about the approval", s.calls, s.mailsFor(notify.PurposeApproval))
	}
	given := s.events[slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == "approval_given" })]
	if given.Actor.ID != "contact:"+first.String() {
		t.Errorf("the answer names %+v", given.Actor)
	}
	if i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s", i.Phase)
	}
}

func TestNobodyAnsweringAnApprovalLeavesTheDeviceAloneAndIsAskedAgain(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.rejectedAfter(2*time.Hour, models.RoleAdmin, &incident.Approve{Approval: "a1"}, models.Conflict) // it has expired
	var alone []string
	s.env.RegisterDelayedCallback(func() { alone = slices.Clone(s.edr) }, 71*time.Hour)
	s.after(73*time.Hour+30*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"})
	during := s.at(10 * time.Hour)
	s.containedBy(80 * time.Hour)
	i := s.run(models.SeverityHigh)
	if len(alone) != 0 || len(s.edr) != 2 {
		t.Errorf("before the second asking %v, in the end %v", alone, s.edr)
	}
	var asked []time.Duration
	for _, e := range s.events {
		if e.Type == "containment_ruled" {
			asked = append(asked, e.At.Sub(s.events[0].At).Round(time.Hour))
		}
	}
	if expired := s.when("approval_expired").Round(time.Hour); len(asked) < 2 || expired != time.Hour || asked[1] != 73*time.Hour {
		t.Errorf("expired after %s, asked at %v; want 1h, and again 72h later", expired, asked)
	}
	if i := during; i.OpenTask(incident.TaskApprovalUnanswered, "a1") == nil || !strings.Contains(i.OpenTask(incident.TaskApprovalUnanswered, "a1").Detail, "asked again") {
		t.Errorf("the SOC is not told that nobody answered: %+v", i.Tasks)
	}
	if i.OpenTask(incident.TaskApprovalUnanswered, "a1") != nil {
		t.Errorf("the task stays: %+v", i.Tasks)
	}
}

func TestAskThenAutoIsDoneWhenEverybodyWasTried(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAskThenAuto)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.containedBy(2 * time.Hour)
	s.run(models.SeverityMedium)
	if len(s.calls) != 2 {
		t.Errorf("%d calls before it was done, want one to each contact", len(s.calls))
	}
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
	if at := s.when("approval_expired"); at < 0 || at > 10*time.Minute {
		t.Errorf("it expired after %s, want right after the calls", at)
	}
}

func TestNeverIsNeverDoneAndSaysWhy(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAuto)
	s.authority.Never = []string{"FILESRV-*"}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.closes(time.Hour)
	i := s.run(models.SeverityMedium)
	if len(s.edr) != 0 || i.OpenTask(incident.TaskDenied, "e1") == nil {
		t.Errorf("asked of the EDR: %v, tasks %+v", s.edr, i.Tasks)
	}
	if r := i.Endpoints[0].Approval.Ruling; r.Rule != "do-not-isolate list: FILESRV-*" || i.Phase != incident.PhaseClosed {
		t.Errorf("ruling %+v, phase %s", r, i.Phase)
	}
}

func TestAnotherNameForADeviceOnTheListIsNoWayAroundIt(t *testing.T) {
	s := newStory(t)
	s.authority, s.device = rules(authority.DecideAuto), "dc01.corp.example"
	s.authority.Never = []string{"dc01.corp.example"}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.closes(time.Hour)
	i := s.run(models.SeverityMedium)
	if len(s.edr) != 0 || i.Endpoints[0].Approval.Ruling.Decision != authority.DecideNever {
		t.Errorf("asked of the EDR: %v, ruling %+v", s.edr, i.Endpoints[0].Approval.Ruling)
	}
	if e := i.Endpoints[0]; e.Name() != "dc01.corp.example" || e.Hostname != "FILESRV-01" {
		t.Errorf("the approver is shown %q for %q", e.Name(), e.Hostname)
	}
}

func TestARuleByTagHoldsWhereTheEDRTellsNoTags(t *testing.T) {
	s := newStory(t)
	s.authority, s.tagless = rules(authority.DecideAuto), true
	s.authority.Rules = append(s.authority.Rules, authority.Rule{Name: "vip", Action: models.DesiredIsolated, Tags: []string{"vip"}, Decision: authority.DecideNever})
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.closes(time.Hour)
	i := s.run(models.SeverityMedium)
	if r := i.Endpoints[0].Approval.Ruling; len(s.edr) != 0 || r.Decision != authority.DecideNever || r.Rule != "vip (the EDR does not tell tags)" {
		t.Errorf("asked of the EDR: %v, ruling %+v", s.edr, r)
	}
}

func TestTwoPersonsAreTwoPeople(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAuto)
	s.authority.TwoPersons = []authority.AssetSelector{{Host: "FILESRV-*"}}
	c := contact(first, 1)
	c.Email = "Admin@acme.example" // the same human as the admin's login
	s.directory.Contacts = []models.Contact{c}
	s.answers = s.presses("1")
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.rejectedAfter(10*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"}, models.Conflict)
	var one []string
	s.env.RegisterDelayedCallback(func() { one = slices.Clone(s.edr) }, 20*time.Minute)
	s.after(30*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"})
	s.after(2*time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "reinstalled"}) // one word; the key press is the other
	s.closes(3 * time.Hour)
	s.run(models.SeverityMedium)
	if len(one) != 0 {
		t.Errorf("with one person's word, as a contact and as a user: %v", one)
	}
	if want := []string{"isolated aid-FILESRV-01", "released aid-FILESRV-01"}; !slices.Equal(s.edr, want) {
		t.Errorf("with two: %v", s.edr)
	}
}

// The second of two users who come at once is looked up again, with the first.
func TestWhomTheFirstInvitedIsNoSecondPerson(t *testing.T) {
	s := newStory(t)
	s.authority, s.invited = rules(authority.DecideAuto), true
	s.authority.TwoPersons = []authority.AssetSelector{{Host: "FILESRV-*"}}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.after(10*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"})
	s.rejectedAfter(10*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"}, models.Conflict)
	s.rejectedAfter(12*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"}, models.Conflict)
	var one []string
	s.env.RegisterDelayedCallback(func() { one, s.invited = slices.Clone(s.edr), false }, 13*time.Minute) // the provider invited them
	s.after(14*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"})
	s.after(2*time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.after(2*time.Hour+time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a2"})
	s.closes(3 * time.Hour)
	s.run(models.SeverityMedium)
	if len(one) != 0 || len(s.edr) != 2 {
		t.Errorf("with one person's word: %v, with two: %v", one, s.edr)
	}
}

func TestTheClientCanDeny(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.answers = s.presses("9")
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.closes(time.Hour)
	i := s.run(models.SeverityMedium)
	if len(s.edr) != 0 || i.OpenTask(incident.TaskDenied, "a1") == nil || len(s.calls) != 1 {
		t.Errorf("asked of the EDR %v, calls %d, tasks %+v", s.edr, len(s.calls), i.Tasks)
	}
	if i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s: %v", i.Phase, i.ReadyToClose())
	}
}

func TestAnIsolationIsReviewedEveryThreeDays(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.after(74*time.Hour, models.RoleAdmin, &incident.ExtendIsolation{Endpoint: "e1", Reason: "still being examined"})
	var asked int
	s.env.RegisterDelayedCallback(func() { asked = s.mailsFor(notify.PurposeLease) }, 140*time.Hour)
	s.containedBy(150 * time.Hour)
	s.run(models.SeverityMedium)
	if asked != 2 || s.mailsFor(notify.PurposeLease) != 4 {
		t.Errorf("%d mails before the second review, %d in the end; want 2 and 4 (two contacts)", asked, s.mailsFor(notify.PurposeLease))
	}
	if len(s.edr) != 2 {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
}

func TestAReleaseInTheVendorsConsoleIsNoticed(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.env.RegisterDelayedCallback(func() { s.released = true }, 5*time.Hour)
	var during incident.Incident
	s.env.RegisterDelayedCallback(func() {
		during = s.replay(s.opening(models.SeverityMedium).Incident)
		s.released = false
	}, 7*time.Hour)
	s.containedBy(10 * time.Hour)
	i := s.run(models.SeverityMedium)
	if during.OpenTask(incident.TaskDrift, "e1") == nil || !during.Endpoints[0].Drifted || during.Containment() == incident.ContainmentContained {
		t.Errorf("an hour later: containment %s, %+v", during.Containment(), during.Tasks)
	}
	if len(s.edr) != 2 {
		t.Errorf("it was put right behind somebody's back: %v", s.edr)
	}
	if i.OpenTask(incident.TaskDrift, "e1") != nil {
		t.Errorf("the task stays although it is isolated again: %+v", i.Tasks)
	}
}

func TestAnApprovalWaitsUntilTheClientCanSeeTheIncident(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.answers = s.presses("1")
	s.after(time.Minute, models.RoleAnalyst, isolate)
	var before incident.Incident
	s.env.RegisterDelayedCallback(func() { before = s.replay(s.opening(models.SeverityMedium).Incident) }, 9*time.Minute)
	s.after(10*time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.containedBy(time.Hour)
	i := s.run(models.SeverityMedium)
	if before.OpenTask(incident.TaskApprovalWaiting, "a1") == nil || before.Endpoints[0].Approval.IsAnswerable() {
		t.Errorf("before it is published: tasks %+v, approval %+v", before.Tasks, before.Endpoints[0].Approval)
	}
	if len(s.calls) != 1 || s.when("approval_given") < 9*time.Minute {
		t.Errorf("%d calls, approved after %s", len(s.calls), s.when("approval_given"))
	}
	if i.OpenTask(incident.TaskApprovalWaiting, "a1") != nil || len(s.edr) != 2 {
		t.Errorf("tasks %+v, asked of the EDR %v", i.Tasks, s.edr)
	}
}

func TestAskThenAutoIsNotDoneWhenNobodyCouldBeTried(t *testing.T) {
	for name, change := range map[string]func(*story){
		"nobody has a phone": func(s *story) {
			for n := range s.directory.Contacts {
				s.directory.Contacts[n].Channels = []models.Channel{models.ChannelEmail}
			}
		},
		"the carrier takes no calls": func(s *story) {
			s.placeFails = func(notify.Effect) error {
				return temporal.NewNonRetryableApplicationError("twilio: place call: config (HTTP 401)", string(models.Config), nil)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.authority = rules(authority.DecideAskThenAuto)
			change(s)
			s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.after(2*time.Minute, models.RoleAnalyst, isolate)
			during := s.at(5 * time.Hour)
			s.after(6*time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "not needed"})
			s.closes(8 * time.Hour)
			i := s.run(models.SeverityMedium)
			if len(s.edr) != 0 {
				t.Errorf("asked of the EDR: %v", s.edr)
			}
			if during.OpenTask(incident.TaskApprovalUnanswered, "a1") == nil {
				t.Errorf("the SOC is not told: %+v", during.Tasks)
			}
			if i.OpenTask(incident.TaskApprovalUnanswered, "a1") != nil || i.Phase != incident.PhaseClosed {
				t.Errorf("after it was taken back: phase %s, %+v", i.Phase, i.Tasks)
			}
		})
	}
}

func TestAnApprovalAskedAtNightIsAskedAgainWhenSomebodyCanAnswer(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)) // a Monday
	s.authority = rules(authority.DecideAsk)
	for n := range s.directory.Contacts {
		s.directory.Contacts[n].Hours = models.OfficeHours()
	}
	s.answers = s.presses("1")
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.containedBy(24 * time.Hour)
	s.run(models.SeverityHigh)
	if len(s.calls) == 0 || len(s.edr) == 0 {
		t.Fatalf("%d calls, asked of the EDR %v", len(s.calls), s.edr)
	}
	if at := s.when("approval_given"); at < 4*time.Hour+58*time.Minute || at > 5*time.Hour+10*time.Minute {
		t.Errorf("approved %s after 03:01, want soon after 08:00", at)
	}
	if s.mailsFor(notify.PurposeApproval) != 2 {
		t.Errorf("%d mails about it", s.mailsFor(notify.PurposeApproval))
	}
}

func TestAVersionSignedWhileAnApprovalWaitsDecides(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.env.RegisterDelayedCallback(func() { s.authority.Version, s.authority.Never = 2, []string{"FILESRV-*"} }, 10*time.Minute)
	s.after(20*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"})
	during := s.at(30 * time.Minute)
	s.closes(time.Hour)
	i := s.run(models.SeverityMedium)
	if len(s.edr) != 0 {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
	if a := during.Endpoints[0].Approval; a.Denied == nil || a.Ruling.Version != 2 || during.OpenTask(incident.TaskDenied, "e1") == nil {
		t.Errorf("approval %+v, tasks %+v", a, during.Tasks)
	}
	if i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s", i.Phase)
	}
}

// The device's workflow is lost while a release waits for the client's word: the isolation goes on.
func TestADeviceWhoseReleaseWaitsIsStartedAgainWithItsIsolation(t *testing.T) {
	s := newStory(t)
	start := s.opening(models.SeverityMedium)
	s.opened = start.Incident
	apply := func(by models.Actor, data incident.EventData) {
		t.Helper()
		e := incident.NewEvent(start.Incident, s.opened.OpenedAt, by, data)
		if err := start.Incident.Apply(e); err != nil {
			t.Fatal(err)
		}
		s.events = append(s.events, e)
	}
	rule := func(d authority.Decision) {
		t.Helper()
		e := start.Incident.Endpoints[0]
		apply(models.System(), &incident.ContainmentRuled{
			Endpoint: "e1", Generation: e.Generation, Approval: fmt.Sprint("a", e.Generation), AgentID: e.AgentID, Asset: e.Asset(),
			Ruling: authority.Ruling{Decision: d, Persons: 1}, ApproveFor: start.Policy.ApproveFor, Lease: start.Policy.Lease,
		})
	}
	apply(user(models.RoleAnalyst), &incident.Published{Expedited: true})
	apply(user(models.RoleAnalyst), &incident.IsolationRequested{Endpoint: "e1", Hostname: "FILESRV-01", Reason: "encrypting"})
	apply(models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "aid-1", DeviceName: "FILESRV-01", State: models.HostNormal})
	rule(authority.DecideAuto)
	start.EndpointVersions = map[string]int{"e1": start.Incident.Endpoints[0].Version()} // its workflow knows that much
	apply(user(models.RoleAnalyst), &incident.ReleaseRequested{Endpoint: "e1", Reason: "reinstalled"})
	rule(authority.DecideAsk)

	s.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", models.SignalDesiredState, mock.Anything).
		Return(errors.New("it does not run")).Once() // so that it is started
	var waiting []string
	s.env.RegisterDelayedCallback(func() { waiting = slices.Clone(s.edr) }, 10*time.Minute)
	s.after(10*time.Minute, models.RoleAdmin, &incident.Approve{Approval: start.Incident.Endpoints[0].Approval.ID})
	s.closes(2 * time.Hour)
	s.runFrom(start)
	if want := []string{"isolated aid-1"}; !slices.Equal(waiting, want) || len(s.edr) != 2 {
		t.Errorf("asked of the EDR %v while the release waits, want %v; then %v", waiting, want, s.edr)
	}
}

func TestWhileAReleaseWaitsTheIsolationIsLookedAfter(t *testing.T) {
	s := newStory(t)
	s.authority.Rules[1].Decision = authority.DecideAsk
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.after(time.Hour, models.RoleAnalyst, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	var leases int
	s.env.RegisterDelayedCallback(func() { leases, s.released = s.mailsFor(notify.PurposeLease), true }, 80*time.Hour)
	during := s.at(82 * time.Hour)
	s.env.RegisterDelayedCallback(func() { s.released = false }, 83*time.Hour)
	s.after(90*time.Hour, models.RoleAnalyst, &incident.Comment{Text: "still waiting"})
	s.after(100*time.Hour, models.RoleAdmin, &incident.KeepIsolated{Endpoint: "e1", Reason: "scrapped"})
	s.closes(101 * time.Hour)
	s.after(170*time.Hour+30*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a2"}) // it was asked for again
	s.run(models.SeverityMedium)
	if leases == 0 {
		t.Error("the client was not asked to extend the isolation")
	}
	if during.OpenTask(incident.TaskDrift, "e1") == nil {
		t.Errorf("nobody looked whether it is still isolated: %+v", during.Tasks)
	}
}
