package workflows_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// leavesAt lets an operator have the incident go on in a new run.
func (s *story) leavesAt(d time.Duration) {
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(models.SignalRenew, nil) }, d)
}

// detachesAt ends the workflows of so many devices, which would keep the story from its end.
func (s *story) detachesAt(d time.Duration, devices int) {
	s.env.RegisterDelayedCallback(func() {
		for n := range devices {
			id := ref.EndpointWorkflowID(fmt.Sprintf("e%d", n+1))
			if err := s.env.SignalWorkflowByID(id, models.SignalDesiredState, incident.DesiredState{Generation: 9, Detach: true}); err != nil {
				s.t.Error(err)
			}
		}
	}, d)
}

// goesOn is the story of the next run: of the same store, ledger and carrier.
func (s *story) goesOn() *story {
	next := newStory(s.t)
	next.events, next.commands, next.requests, next.opened = s.events, s.commands, 1000+s.requests, s.opened
	next.calls, next.mails, next.said, next.directory, next.authority = s.calls, s.mails, s.said, s.directory, s.authority
	next.env.SetStartTime(s.env.Now())
	return next
}

// ledger is what the ledger has of calls.
func (s *story) ledger() (all []notify.Delivery) {
	for _, e := range s.calls {
		all = append(all, notify.Delivery{
			Key: e.Key, Kind: notify.EffectCall, Contact: e.Contact, Endpoint: e.Endpoint, Occurrence: e.Occurrence, State: notify.EffectAccepted,
			VendorID: "CA" + e.Key, AcceptedAt: s.env.Now(), Outcome: string(s.said[e.Key].Outcome),
		})
	}
	return all
}

// lost is the state from which the incident is begun again when its run is lost.
func (s *story) lost() incident.State {
	l := incident.Lost{
		ReadAt: s.env.Now(), Incident: s.replay(s.opened), Policy: models.DefaultPolicy(), Directory: s.directory, Ledger: s.ledger(),
		Events: append([]incident.Event{s.openedEvent()}, s.events...),
	}
	return l.State()
}

// outcomes lists how calls about the incident ended, in order.
func (s *story) outcomes() (all []string) {
	for _, e := range s.events {
		if d, is := e.Data.(*incident.ContactCalled); is {
			all = append(all, fmt.Sprintf("%s %s in round %d", d.Contact.String()[35:], d.Outcome, d.Round))
		}
	}
	return all
}

// The second contact's phone rings when the run ends, and is answered in the next one.
func TestARoundOfCallsGoesOnInTheNextRun(t *testing.T) {
	for name, from := range map[string]func(*testing.T, *story) incident.State{
		"that the last one began":           nextRun,
		"that is begun because one is lost": func(_ *testing.T, s *story) incident.State { return s.lost() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.answers = func(e notify.Effect) {
				if e.Contact == first {
					s.hears(models.CallNoAnswer)(e)
				}
			}
			s.expedites()
			s.leavesAt(time.Hour + 20*time.Second)
			s.run(models.SeverityCritical)
			if len(s.calls) != 2 || s.said[s.calls[1].Key].Outcome != "" {
				t.Fatalf("%d calls before the run ended, said %+v", len(s.calls), s.said)
			}
			next := s.goesOn()
			next.callStands = func(string) models.CallStatus { return models.CallInProgress }
			next.env.RegisterDelayedCallback(func() { next.presses("1")(s.calls[1]) }, 50*time.Second)
			next.closes(8 * time.Hour)
			next.runFrom(from(t, s))
			if len(next.calls) != 2 || len(next.hungUp) != 0 {
				t.Errorf("then %d calls in all, hung up %v", len(next.calls), next.hungUp)
			}
			if got, want := next.outcomes(), []string{"1 no_answer in round 1", "2 acknowledged in round 1"}; !slices.Equal(got, want) {
				t.Errorf("the calls ended as %v, want %v", got, want)
			}
			if said := next.said[s.calls[1].Key]; said.By != ciso || next.count("call_round_ended") != 1 || next.count("call_round_started") != 1 {
				t.Errorf("the ledger says %+v; %d rounds ended", said, next.count("call_round_ended"))
			}
		})
	}
}

// The call has ended, and its end is in the ledger alone, when the run is lost.
func TestACallWhoseEndTheLedgerHasIsNotFollowedAgain(t *testing.T) {
	s := newStory(t)
	s.expedites()
	s.leavesAt(time.Hour + 20*time.Second)
	s.run(models.SeverityCritical)
	s.said[s.calls[0].Key] = notify.CallEnd{Effect: s.calls[0].Key, Outcome: notify.OutcomeVoicemail}
	next := s.goesOn()
	next.answers = next.presses("1")
	next.closes(8 * time.Hour)
	next.runFrom(s.lost())
	if got, want := next.outcomes(), []string{"1 voicemail in round 1", "2 acknowledged in round 1"}; !slices.Equal(got, want) {
		t.Errorf("the calls ended as %v, want %v", got, want)
	}
	if at := next.moments("acknowledged"); len(at) != 1 || at[0] > 10*time.Second || len(next.calls) != 2 {
		t.Errorf("acknowledged at %v after %d calls", at, len(next.calls))
	}
}

// A ledger that says that a contact acknowledged is not the contact's own word.
func TestTheLedgerAloneAcknowledgesNothing(t *testing.T) {
	s := newStory(t)
	s.expedites()
	s.leavesAt(time.Hour + 20*time.Second)
	s.run(models.SeverityCritical)
	s.said[s.calls[0].Key] = notify.CallEnd{Effect: s.calls[0].Key, Outcome: notify.OutcomeAcknowledged, By: first}
	next := s.goesOn()
	next.unsaid = true
	next.answers = next.hears(models.CallNoAnswer)
	during := next.at(5 * time.Minute)
	next.env.RegisterDelayedCallback(func() { next.unsaid, next.answers = false, next.presses("1") }, time.Hour)
	next.closes(8 * time.Hour)
	next.runFrom(s.lost())
	if during.Acknowledged != nil || len(next.rejections()) != 1 {
		t.Errorf("acknowledged %+v, rejected %v", during.Acknowledged, next.rejections())
	}
}

func TestTheCallsAboutAnApprovalGoOnInTheNextRun(t *testing.T) {
	for name, from := range map[string]func(*testing.T, *story) incident.State{
		"that the last one began":           nextRun,
		"that is begun because one is lost": func(_ *testing.T, s *story) incident.State { return s.lost() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.askedOn()
			s.leavesAt(2*time.Minute + 10*time.Second)
			s.detachesAt(3*time.Minute, 1)
			s.run(models.SeverityMedium)
			if len(s.called()) != 1 {
				t.Fatalf("called %v before the run ended", s.called())
			}
			next := s.goesOn()
			next.env.RegisterDelayedCallback(func() { next.presses("1")(s.calls[0]) }, 20*time.Second)
			during := next.at(time.Minute)
			next.leavesAt(2 * time.Minute)
			next.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", mock.Anything, mock.Anything).Return(nil) // it runs
			next.runFrom(from(t, s))
			if a := during.Endpoints[0].Approval; !a.Granted || len(a.Given) != 1 || a.Given[0].By != models.ContactActor(first) || len(next.called()) != 1 {
				t.Errorf("called %v, %+v", next.called(), a)
			}
		})
	}
}

// longFrom lets the history be too long from the moment at which a command's row is looked up: the run ends with what the
// command changes.
func (s *story) longFrom(d time.Duration, role models.Role, c incident.Command) {
	s.env.RegisterDelayedCallback(func() {
		s.saidAt = func() int { s.env.SetContinueAsNewSuggested(true); return s.seq() }
		s.give(s.request(role, c), c.Name(), nil)
	}, d)
}

// The run could end in the task that takes an acknowledgement, before the round's turn.
func TestAPhoneIsHungUpThoughTheRunEndsWithTheAcknowledgement(t *testing.T) {
	s := newStory(t)
	s.expedites()
	s.longFrom(time.Hour+20*time.Second, models.RoleResponder, &incident.Acknowledge{})
	s.run(models.SeverityCritical)
	next := s.goesOn()
	next.closes(8 * time.Hour)
	next.runFrom(nextRun(t, s))
	if hungUp := slices.Concat(s.hungUp, next.hungUp); !slices.Equal(hungUp, []string{"CA" + s.calls[0].Key}) {
		t.Errorf("hung up %v", hungUp)
	}
	if got, want := next.outcomes(), []string{"1 canceled in round 1"}; !slices.Equal(got, want) || len(next.calls) != 1 {
		t.Errorf("the calls ended as %v, want %v", got, want)
	}
}

func TestAPhoneIsHungUpThoughTheRunEndsWithTheApproval(t *testing.T) {
	s := newStory(t)
	s.askedOn()
	s.longFrom(2*time.Minute+10*time.Second, models.RoleAdmin, &incident.Approve{Approval: "a1"})
	s.detachesAt(3*time.Minute, 1)
	s.run(models.SeverityMedium)
	next := s.goesOn()
	next.leavesAt(2 * time.Hour)
	next.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", mock.Anything, mock.Anything).Return(nil) // it runs
	next.runFrom(nextRun(t, s))
	if hungUp := slices.Concat(s.hungUp, next.hungUp); !slices.Equal(hungUp, []string{"CA" + s.calls[0].Key}) {
		t.Errorf("hung up %v", hungUp)
	}
	if left := nextRun(t, next).Rounds; len(left) != 0 {
		t.Errorf("the round goes on: %+v", left)
	}
}

// The contact presses 1 while the carrier, which reported nothing, is asked about the call; then the run could end.
func TestAKeyIsNotLostWhileTheCarrierIsAsked(t *testing.T) {
	s := newStory(t)
	s.expedites()
	s.callStands = func(string) models.CallStatus { return models.CallInProgress }
	s.asking.After(10 * time.Second)
	s.env.RegisterDelayedCallback(func() { s.presses("1")(s.calls[0]) }, time.Hour+43*time.Second)
	s.env.RegisterDelayedCallback(func() { s.env.SetContinueAsNewSuggested(true) }, time.Hour+44*time.Second)
	s.run(models.SeverityCritical)
	next := s.goesOn()
	next.callStands = func(string) models.CallStatus { return models.CallCompleted }
	next.closes(8 * time.Hour)
	next.runFrom(nextRun(t, s))
	if got, want := next.outcomes(), []string{"1 acknowledged in round 1"}; !slices.Equal(got, want) {
		t.Errorf("the calls ended as %v, want %v", got, want)
	}
}

// An incident is begun from the database, and the last run did not hear what the contacts said.
func TestWhatContactsSaidToALostRunIsHeardBeforeAnybodyIsCalled(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAskThenAuto)
	s.answers = func(e notify.Effect) {
		if e.Contact == first {
			s.hears(models.CallNoAnswer)(e)
		}
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.leavesAt(2*time.Minute + 20*time.Second) // both were called, and the second pressed 9
	s.detachesAt(3*time.Minute, 1)
	s.run(models.SeverityMedium)
	if len(s.called()) != 2 {
		t.Fatalf("called %v", s.called())
	}
	next := s.goesOn()
	next.callStands = func(string) models.CallStatus { return models.CallCompleted } // the carrier knows of no key
	state := s.lost()
	state.Missed = []notify.Statement{{Effect: s.calls[1].Key, Key: notify.KeyDeny, Contact: ciso, Seq: s.seq()}}
	next.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", mock.Anything, mock.Anything).Return(nil) // it runs
	next.leavesAt(time.Hour)
	next.runFrom(state)
	if next.count("approval_denied") != 1 || next.count("approval_expired") != 0 || len(next.called()) != 2 {
		t.Errorf("denied %d times, expired %d times, called %v", next.count("approval_denied"), next.count("approval_expired"), next.called())
	}
}

// A fire drill is lost while it calls everybody.
func TestALostFireDrillCallsEverybody(t *testing.T) {
	s := newStory(t)
	s.leavesAt(20 * time.Second)
	start := s.opening(models.SeverityCritical)
	start.Incident.Exercise = models.ExerciseFireDrill
	s.after(time.Second, models.RoleAnalyst, &incident.Expedite{})
	s.runFrom(start)
	if len(s.calls) != 1 {
		t.Fatalf("%d calls before the run was lost", len(s.calls))
	}
	next := s.goesOn()
	next.callStands = func(string) models.CallStatus { return models.CallNoAnswer }
	next.answers = next.presses("1")
	next.runFrom(s.lost())
	var who []uuid.UUID
	for _, e := range next.calls {
		who = append(who, e.Contact)
	}
	if !slices.Equal(who, []uuid.UUID{first, ciso}) || next.count("acknowledged") != 1 {
		t.Errorf("called %v, %d acknowledgements", who, next.count("acknowledged"))
	}
}

// The store has a later history while the first contact's phone rings: the call goes on, and nothing is written twice.
func TestACallGoesOnThoughTheIncidentFollowsTheStore(t *testing.T) {
	s := newStory(t)
	s.answers = func(e notify.Effect) {
		if e.Contact == first {
			s.env.RegisterDelayedCallback(func() { s.hears(models.CallNoAnswer)(e) }, 20*time.Second)
			return
		}
		s.presses("1")(e)
	}
	s.expedites()
	s.env.RegisterDelayedCallback(func() {
		s.events = append(s.events, incident.NewEvent(s.replay(s.opened), s.env.Now(), user(models.RoleAnalyst), &incident.Commented{Text: "kept"}))
		s.env.SignalWorkflow(models.SignalStoreAhead, s.seq()+5)
	}, time.Hour+10*time.Second)
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if len(s.hungUp) != 0 || len(s.calls) != 2 {
		t.Errorf("%d calls, hung up %v", len(s.calls), s.hungUp)
	}
	if got, want := s.outcomes(), []string{"1 no_answer in round 1", "2 acknowledged in round 1"}; !slices.Equal(got, want) {
		t.Errorf("the calls ended as %v, want %v", got, want)
	}
	if n := s.count("contact_messaged"); n != len(s.mails) {
		t.Errorf("%d mails are written %d times", len(s.mails), n)
	}
}

// The incident ends while a phone rings, and then follows a store that knows nothing of that: it comes to its end.
func TestNoRoundKeepsAnIncidentThatIsOver(t *testing.T) {
	s := newStory(t)
	s.callStands = func(string) models.CallStatus { return models.CallInProgress }
	start := s.opening(models.SeverityCritical)
	start.Incident.Exercise = models.ExerciseFireDrill
	s.opened = start.Incident
	s.after(time.Second, models.RoleAnalyst, &incident.Expedite{})
	s.after(50*time.Second, models.RoleAnalyst, &incident.Dismiss{Reason: "enough"})
	s.env.RegisterDelayedCallback(func() {
		s.events = append(s.events, incident.NewEvent(s.replay(s.opened), s.env.Now(), user(models.RoleAnalyst), &incident.Recommended{ID: "r9", Text: "kept"}))
	}, 49*time.Second)
	s.runFrom(start)
	if at := s.since(); at > day || s.count("dismissed") != 1 {
		t.Errorf("it came to its end after %s, dismissed %d times", at, s.count("dismissed"))
	}
}

// Many are asked about many devices. What is carried stays small, and the ledger knows the rest.
func TestTheCarriedRoundsAreBounded(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = nil
	for n := range 150 {
		c := contact(modelstest.ContactID(n+1), n+1)
		c.Phone = fmt.Sprintf("+4930555%05d", n)
		s.directory.Contacts = append(s.directory.Contacts, c)
	}
	s.authority = rules(authority.DecideAsk)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	for n := range 8 {
		s.after(2*time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: fmt.Sprintf("PC-%d", n), Reason: "beacon"})
	}
	s.leavesAt(2*time.Minute + 10*time.Second)
	s.detachesAt(3*time.Minute, 8)
	s.run(models.SeverityMedium)
	contacts, named := 0, map[string]bool{}
	for _, r := range nextRun(t, s).Rounds {
		contacts += len(r.Contacts)
		named[r.Approval] = true
	}
	if contacts == 0 || contacts > 1000 || len(named) != 8 {
		t.Errorf("%d contacts of the calls about %d approvals are carried", contacts, len(named))
	}
}

func TestWhoIsInTurn(t *testing.T) {
	a, b, c := modelstest.ContactID(1), modelstest.ContactID(2), modelstest.ContactID(3)
	policy := models.Policy{BusyTries: 1}
	r := notify.CallRound{Contacts: []uuid.UUID{a, b, c}}
	ends := map[uuid.UUID][]notify.CallOutcome{
		a: {notify.OutcomeBusy, notify.OutcomeBusy},
		b: {notify.OutcomeEngaged, notify.OutcomeEngaged, notify.OutcomeBusy, notify.OutcomeNoAnswer},
		c: {notify.OutcomeEngaged, notify.OutcomeBusy},
	}
	var got []uuid.UUID
	for {
		to, ok := r.InTurn(policy)
		if !ok {
			break
		}
		try := r.Tried[to].Try
		if try == len(ends[to]) {
			t.Fatalf("%s is called %d times: %v", to, try+1, got)
		}
		got = append(got, to)
		r.Note(to, notify.LastCall{Try: try + 1, Outcome: ends[to][try]})
	}
	if want := []uuid.UUID{a, a, b, b, c, c, b, b}; !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
}
