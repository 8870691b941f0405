package workflows_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// expedites lets the SOC publish an hour after the start.
func (s *story) expedites() { s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{}) }

// moments are when events of a type happened, counted from the start.
func (s *story) moments(t incident.EventType) (at []time.Duration) {
	for _, e := range s.events {
		if e.Type == t {
			at = append(at, e.At.Sub(s.began).Round(time.Second))
		}
	}
	return at
}

func TestALedgerThatCannotBeWrittenStopsNoRound(t *testing.T) {
	s := newStory(t)
	s.placeFails = func(notify.Effect) error {
		if s.since() < time.Hour+90*time.Second {
			return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil) // there is no worker
		}
		return nil
	}
	s.recordFails = func(in activities.RecordInput) error {
		if len(in.Calls) > 0 && s.since() < 3*time.Hour {
			return errors.New("the database does not answer")
		}
		return nil
	}
	s.answers = s.presses("1")
	s.expedites()
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if at := s.moments("acknowledged"); len(at) != 1 || at[0] > time.Hour+10*time.Minute {
		t.Fatalf("acknowledged at %v", at)
	}
	if said := s.said[s.calls[0].Key]; said.By != s.calls[0].Contact {
		t.Errorf("when the ledger can be written again it says %+v", s.said)
	}
}

func TestADatabaseThatIsDownIsWaitedFor(t *testing.T) {
	s := newStory(t)
	s.planFails = func() error {
		if s.since() < 2*time.Hour {
			return errors.New("the database does not answer")
		}
		return nil
	}
	s.answers = s.presses("1")
	s.expedites()
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if at := s.moments("acknowledged"); s.mailsFor(notify.PurposePublished) != 2 || len(at) != 1 || at[0] > 2*time.Hour+time.Minute {
		t.Errorf("%d mails, acknowledged at %v", s.mailsFor(notify.PurposePublished), at)
	}
}

func TestALongListIsCalledToItsEndAndNobodyTwiceAtATime(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = nil
	for n := range 70 {
		c := contact(uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n+1)), n+1)
		c.Phone = fmt.Sprintf("+4930555%05d", n)
		s.directory.Contacts = append(s.directory.Contacts, c)
	}
	s.answers = func(e notify.Effect) {
		if e.Contact == s.directory.Contacts[64].ID {
			s.presses("1")(e)
			return
		}
		s.env.RegisterDelayedCallback(func() { s.hears(models.CallNoAnswer)(e) }, 25*time.Second)
	}
	s.expedites()
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityCritical)
	if i.CallRound != 1 || len(s.calls) != 65 {
		t.Errorf("%d calls in %d rounds, want 65 in one", len(s.calls), i.CallRound)
	}
	if at := s.moments("acknowledged"); len(at) != 1 || at[0] > 2*time.Hour {
		t.Errorf("acknowledged at %v", at)
	}
}

// atOffice is a contact who is reached in office hours only, unless it is critical.
func atOffice(id uuid.UUID, order int) models.Contact {
	c := contact(id, order)
	c.Hours = models.OfficeHours()
	return c
}

// calledAt are the moments at which calls began, in the client's time zone.
func (s *story) calledAt() (at []string) {
	for _, e := range s.events {
		if e.Type == "call_round_started" {
			at = append(at, e.At.In(s.directory.Zone).Format("Mon 15:04"))
		}
	}
	return at
}

func TestACallInsteadOfAMailWaitsForTheContactsHours(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	s.directory.Contacts = []models.Contact{atOffice(first, 1), contact(ciso, 2)}
	s.answers = s.hears(models.CallNoAnswer)
	s.expedites() // 18:30
	s.lostAfter(2*time.Hour, "bounce", published(s.directory.Contacts[0], models.ChannelEmail))
	s.closes(4 * day)
	s.run(models.SeverityMedium)
	if want := []string{"Mon 08:00"}; !slices.Equal(s.calledAt(), want) || len(s.calls) != 1 {
		t.Errorf("called at %v, want %v", s.calledAt(), want)
	}
}

func TestAContactWhoMayBeCalledAtOnceDoesNotWaitForAnother(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	s.directory.Contacts = []models.Contact{atOffice(first, 1), contact(ciso, 2)}
	s.answers = s.hears(models.CallNoAnswer)
	s.expedites()
	s.lostAfter(2*time.Hour, "bounce", published(s.directory.Contacts[0], models.ChannelEmail))
	s.lostAfter(3*time.Hour, "bounce", published(s.directory.Contacts[1], models.ChannelEmail))
	s.closes(4 * day)
	s.run(models.SeverityMedium)
	if want := []string{"Fri 20:30", "Mon 08:00"}; !slices.Equal(s.calledAt(), want) || s.calls[0].Contact != ciso {
		t.Errorf("called at %v, want %v; %+v", s.calledAt(), want, s.calls)
	}
}

// raises lets the SOC find an incident to be of a severity, and tell the client a minute later.
func (s *story) raises(at time.Duration, severity models.Severity) {
	s.after(at, models.RoleAnalyst, &incident.Assess{Severity: &severity})
	s.after(at+time.Minute, models.RoleAnalyst, &incident.Revise{Change: "worse", Material: true})
}

func TestRaisedToCriticalWhileACallWaitsForItsHoursIsCalledAtOnce(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	s.directory.Contacts = []models.Contact{atOffice(first, 1), contact(ciso, 2)}
	s.answers = s.presses("1")
	s.expedites()
	s.lostAfter(2*time.Hour, "bounce", published(s.directory.Contacts[0], models.ChannelEmail))
	s.raises(20*time.Hour, models.SeverityCritical)
	s.closes(4 * day)
	s.run(models.SeverityMedium)
	if at := s.calledAt(); len(at) != 1 || !strings.HasPrefix(at[0], "Sat 13:3") {
		t.Errorf("called at %v", at)
	}
}

// instead returns what the client sees: the channel over which a contact is reached after another one failed.
func (s *story) instead() (channels []models.Channel) {
	for _, e := range s.events {
		if d, ok := e.Data.(*incident.NotDelivered); ok {
			channels = append(channels, d.Fallback)
		}
	}
	return channels
}

func TestNoCallIsPromisedThatNobodyMakes(t *testing.T) {
	s := newStory(t)
	s.expedites()
	s.after(2*time.Hour, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.lostAfter(3*time.Hour, "bounce", published(contact(first, 1), models.ChannelEmail))
	s.closes(8 * time.Hour)
	s.run(models.SeverityMedium)
	if want := []models.Channel{""}; !slices.Equal(s.instead(), want) || len(s.calls) != 0 {
		t.Errorf("instead %q, %d calls", s.instead(), len(s.calls))
	}
}

func TestATextIsNotRecordedTwice(t *testing.T) {
	s := newStory(t)
	c := contact(first, 1)
	c.Channels = []models.Channel{models.ChannelSMS, models.ChannelVoice}
	s.directory.Contacts = []models.Contact{c}
	s.answers = s.hears(models.CallNoAnswer)
	s.expedites()
	s.after(90*time.Minute, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	of := func(ns []sent) (n int) {
		for _, x := range ns {
			if x.Purpose == notify.PurposePublished {
				n++
			}
		}
		return n
	}
	if len(s.calls) < 2 || of(s.texts) != 1 {
		t.Errorf("%d calls, texts %+v", len(s.calls), s.texts)
	}
	if want := []models.Channel{""}; !slices.Equal(s.instead(), want) {
		t.Errorf("after a missed call, instead %q", s.instead())
	}
}

func TestANumberThatTheCarrierRejectsIsTexted(t *testing.T) {
	s := newStory(t)
	c := contact(first, 1)
	c.Channels = append(c.Channels, models.ChannelSMS)
	s.directory.Contacts = []models.Contact{c, contact(ciso, 2)}
	s.placeFails = func(e notify.Effect) error {
		if e.Contact == first {
			return temporal.NewNonRetryableApplicationError("twilio: place call: rejected", string(models.Rejected), nil)
		}
		return nil
	}
	s.answers = s.presses("1")
	s.expedites()
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityCritical)
	if len(s.texts) == 0 || s.texts[0].Contact != first || !slices.Equal(s.instead(), []models.Channel{models.ChannelSMS}) {
		t.Errorf("texts %+v, instead %q", s.texts, s.instead())
	}
	if i.OpenTask(incident.TaskRejected, "phone/"+first.String()) == nil || i.Acknowledged == nil {
		t.Errorf("tasks %+v, acknowledged %+v", i.Tasks, i.Acknowledged)
	}
}

func TestNobodyIsCalledAfterAnAcknowledgementElsewhere(t *testing.T) {
	s := newStory(t)
	var canceled []string
	s.env.SetOnActivityCanceledListener(func(info *activity.Info) { canceled = append(canceled, info.ActivityType.Name) })
	s.placeFails = func(notify.Effect) error {
		return temporal.NewApplicationError("twilio: place call: transient", string(models.Transient))
	}
	s.expedites()
	s.after(time.Hour+5*time.Second, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityCritical)
	if want := []string{"PlaceCall"}; !slices.Equal(canceled, want) {
		t.Errorf("canceled %v: the carrier is asked on", canceled)
	}
	if ended := s.moments("call_round_ended"); len(ended) != 1 || ended[0] > time.Hour+10*time.Second || i.CallRound != 1 {
		t.Errorf("the round ended at %v", ended)
	}
	for key, said := range s.said {
		if said.Outcome != notify.OutcomeCanceled {
			t.Errorf("%s: %s", key, said.Outcome)
		}
	}
}

func TestACallUnderWayIsHungUpAfterAnAcknowledgementElsewhere(t *testing.T) {
	s := newStory(t)
	s.expedites()
	s.after(time.Hour+20*time.Second, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if len(s.calls) != 1 || !slices.Equal(s.hungUp, []string{"CA" + s.calls[0].Key}) {
		t.Fatalf("%d calls, hung up %v", len(s.calls), s.hungUp)
	}
	if said := s.said[s.calls[0].Key].Outcome; said != notify.OutcomeCanceled {
		t.Errorf("the ledger says %q", said)
	}
}

func TestACallInProgressIsNotGivenUp(t *testing.T) {
	s := newStory(t)
	s.callStands = func(string) models.CallStatus { return models.CallInProgress }
	s.answers = func(e notify.Effect) { s.env.RegisterDelayedCallback(func() { s.presses("1")(e) }, 4*time.Minute) }
	s.expedites()
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if len(s.calls) != 1 || s.said[s.calls[0].Key].By != first || len(s.hungUp) != 0 {
		t.Errorf("%d calls, said %+v, hung up %v", len(s.calls), s.said, s.hungUp)
	}
}

func TestAKeyPressCountsAfterTheCallWasGivenUp(t *testing.T) {
	for _, c := range []struct {
		name     string
		contacts int // with one, the round is over when the key is pressed
	}{{"the round goes on", 2}, {"the round is over", 1}} {
		s := newStory(t)
		s.directory.Contacts = s.directory.Contacts[:c.contacts]
		s.callStands = func(string) models.CallStatus { return models.CallQueued } // and the carrier tells nothing more
		s.answers = func(e notify.Effect) {
			if e.Contact != first || e.Occurrence > 1 {
				return
			}
			s.env.RegisterDelayedCallback(func() {
				s.presses("1")(e)
			}, 190*time.Second)
		}
		s.expedites()
		s.closes(8 * time.Hour)
		i := s.run(models.SeverityCritical)
		key := s.calls[0].Key
		if i.Acknowledged == nil || s.said[key].By != first || s.said[key].How != "key press 1" {
			t.Errorf("%s: acknowledged %+v, the ledger says %+v", c.name, i.Acknowledged, s.said[key])
		}
		if len(s.hungUp) == 0 || s.hungUp[0] != "CA"+key || len(s.calls) != c.contacts {
			t.Errorf("%s: %d calls, hung up %v", c.name, len(s.calls), s.hungUp)
		}
		var outcomes []notify.CallOutcome
		for _, e := range s.events {
			if d, ok := e.Data.(*incident.ContactCalled); ok && d.Contact == first {
				outcomes = append(outcomes, d.Outcome)
			}
		}
		if outcomes[0] != notify.OutcomeUnknown {
			t.Errorf("%s: outcomes %v", c.name, outcomes)
		}
	}
}

func TestALateWordOfTheCarrierDoesNotUndoANewerOne(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = s.directory.Contacts[:1]
	s.answers = func(e notify.Effect) {
		if e.Occurrence > 1 {
			return
		}
		s.tells(e, models.SignalCallProgress, notify.CallProgress{Effect: e.Key, Status: models.CallInProgress, Sequence: 2})
		s.tells(e, models.SignalCallProgress, notify.CallProgress{Effect: e.Key, Status: models.CallBusy, Sequence: 1})
		s.env.RegisterDelayedCallback(func() { s.presses("1")(e) }, 20*time.Second)
	}
	s.expedites()
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if len(s.calls) != 1 || s.said[s.calls[0].Key].By != first {
		t.Errorf("%d calls, said %+v", len(s.calls), s.said)
	}
}

func TestAWrongKeyOfTheCarrierIsATaskOfItsOwn(t *testing.T) {
	s := newStory(t)
	s.placeFails = func(notify.Effect) error {
		if s.since() < 90*time.Minute {
			return temporal.NewNonRetryableApplicationError("twilio: place call: config (HTTP 401) code 20003", string(models.Config), nil)
		}
		return nil
	}
	s.answers = s.presses("1")
	s.expedites()
	var during incident.Incident
	s.env.RegisterDelayedCallback(func() { during = s.replay(s.opening(models.SeverityCritical).Incident) }, 80*time.Minute)
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityCritical)
	task := during.OpenTask(incident.TaskConfig, "phone")
	if task == nil || !strings.Contains(task.Detail, "config (HTTP 401) code 20003") || during.OpenTask(incident.TaskVendorDown, "phone") != nil {
		t.Errorf("tasks while the key is wrong: %+v", during.Tasks)
	}
	if i.OpenTask(incident.TaskConfig, "phone") != nil || i.Acknowledged == nil {
		t.Errorf("tasks when it is right again: %+v", i.Tasks)
	}
}

func TestRoundsThatCallTheSameNumberTakeTurns(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.directory.Contacts = s.directory.Contacts[:1]
	for _, h := range []string{"A", "B", "C"} {
		s.after(time.Minute, models.RoleAnalyst, &incident.Isolate{Hostname: "PC-" + h, Reason: "beacon"})
	}
	var free time.Duration // when the line is
	engaged := 0
	s.placeFails = func(notify.Effect) error {
		if s.since() < free {
			engaged++
			return temporal.NewApplicationError("another call of ours to the number is under way", activities.ErrEngaged)
		}
		free = s.since() + 55*time.Second
		return nil
	}
	s.answers = func(e notify.Effect) {
		s.env.RegisterDelayedCallback(func() { s.hears(models.CallNoAnswer)(e) }, 49*time.Second)
	}
	s.expedites()
	var during incident.Incident
	var calls []notify.Effect
	s.env.RegisterDelayedCallback(func() {
		during, calls = s.replay(s.opening(models.SeverityCritical).Incident), slices.Clone(s.calls)
	}, time.Hour+6*time.Minute)
	s.after(time.Hour+7*time.Minute, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	for n := range 3 {
		s.after(time.Hour+time.Duration(n+8)*time.Minute, models.RoleAdmin, &incident.Deny{Approval: fmt.Sprintf("a%d", n+1), Reason: "later"})
	}
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	rung := map[string]bool{}
	for _, c := range calls {
		approval, _ := notify.ApprovalOf(c.Key, ref)
		rung[approval] = true
	}
	for _, about := range []string{"", "a1", "a2", "a3"} {
		if !rung[about] {
			t.Errorf("the calls about %q never reached the phone; the line was engaged %d times", about, engaged)
		}
	}
	for _, task := range during.Tasks {
		if !task.Done {
			t.Errorf("task %+v", task)
		}
	}
}

func TestRaisedToCriticalNeedsANewAcknowledgement(t *testing.T) {
	s := newStory(t)
	s.answers = s.presses("1")
	s.expedites()
	s.after(2*time.Hour, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.raises(3*time.Hour, models.SeverityCritical) // the client reads it a minute later
	s.raises(4*time.Hour, models.SeverityHigh)
	s.raises(5*time.Hour, models.SeverityCritical)
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityMedium)
	if at := s.moments("call_round_started"); !slices.Equal(at, []time.Duration{3*time.Hour + time.Minute}) {
		t.Errorf("called at %v, want once, when it is published as critical", at)
	}
	if s.count("acknowledged") != 2 || i.Acknowledged == nil || i.Acknowledged.Channel != "voice" || i.Acknowledged.Severity != models.SeverityCritical {
		t.Errorf("%d acknowledgements, the last %+v", s.count("acknowledged"), i.Acknowledged)
	}
}

func TestAnAssessmentAloneCallsNobody(t *testing.T) {
	s := newStory(t)
	s.expedites()
	critical := models.SeverityCritical
	s.after(2*time.Hour, models.RoleAnalyst, &incident.Assess{Severity: &critical})
	s.closes(30 * time.Hour)
	s.run(models.SeverityMedium)
	if s.count("call_round_started") != 0 || s.count("reminder_sent") != 0 {
		t.Errorf("%d rounds of calls and %d reminders, by a severity the client was not told", s.count("call_round_started"), s.count("reminder_sent"))
	}
}

func TestLoweredTheRoundStops(t *testing.T) {
	s := newStory(t)
	s.answers = func(e notify.Effect) {
		s.env.RegisterDelayedCallback(func() { s.hears(models.CallNoAnswer)(e) }, 20*time.Second)
	}
	s.expedites()
	low := models.SeverityLow
	s.after(time.Hour+8*time.Second, models.RoleAnalyst, &incident.Assess{Severity: &low})
	s.after(time.Hour+10*time.Second, models.RoleAnalyst, &incident.Revise{Change: "a test of their own"})
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if len(s.calls) != 1 || s.count("call_round_started") != 1 || !slices.Equal(s.hungUp, []string{"CA" + s.calls[0].Key}) {
		t.Errorf("%d calls, hung up %v", len(s.calls), s.hungUp)
	}
}

func TestACallInsteadOfAMailStopsWithAnAcknowledgement(t *testing.T) {
	s := newStory(t)
	s.answers = func(e notify.Effect) {
		s.env.RegisterDelayedCallback(func() { s.hears(models.CallBusy)(e) }, 10*time.Second)
	}
	s.expedites()
	s.lostAfter(2*time.Hour, "bounce", published(s.directory.Contacts[0], models.ChannelEmail))
	s.lostAfter(2*time.Hour+time.Second, "bounce", published(s.directory.Contacts[1], models.ChannelEmail))
	s.after(2*time.Hour+5*time.Second, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	s.closes(8 * time.Hour)
	s.run(models.SeverityMedium)
	if len(s.calls) != 1 || len(s.hungUp) != 1 || s.count("call_round_started") != 1 {
		t.Errorf("%d calls, %d hung up, %d rounds", len(s.calls), len(s.hungUp), s.count("call_round_started"))
	}
}
