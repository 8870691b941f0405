package workflows_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// lost lets a vendor report, some time after the start, that a message it took never reached its reader.
func (s *story) lostAfter(d time.Duration, reason string, n notify.Notification) {
	s.env.RegisterDelayedCallback(func() {
		s.env.SignalWorkflow(models.SignalUndelivered, notify.Undelivered{Effect: notify.MessageEffect(ref, acme, n).Key, Notification: n, Reason: reason})
	}, d)
}

// closes lets the client close the incident.
func (s *story) closes(at time.Duration) {
	s.after(at, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"})
	s.after(at+time.Minute, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
}

func published(contact models.Contact, ch models.Channel) notify.Notification {
	return notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact.ID, Channel: ch}
}

func TestABouncedMailIsMadeUpForAtOnce(t *testing.T) {
	s := newStory(t)
	c := contact(first, 1)
	c.Channels = append(c.Channels, models.ChannelSMS)
	s.directory.Contacts = []models.Contact{c}
	s.answers = s.presses("1")
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.lostAfter(5*time.Minute, "bounce", published(c, models.ChannelEmail))
	s.lostAfter(6*time.Minute, "bounce", published(c, models.ChannelEmail)) // the vendor says it twice
	s.lostAfter(10*time.Minute, "undelivered", published(c, models.ChannelSMS))
	s.closes(20 * time.Minute)
	i := s.run(models.SeverityMedium)
	if len(s.texts) != 1 || s.texts[0].at.Sub(s.events[0].At) > 5*time.Minute {
		t.Errorf("texts %+v, want one at the moment of the bounce", s.texts)
	}
	if len(s.calls) != 1 || i.Acknowledged == nil || i.Acknowledged.Channel != "voice" {
		t.Errorf("when the text failed too: calls %v, acknowledged %+v", s.calls, i.Acknowledged)
	}
	open := 0
	for _, task := range i.Tasks {
		if task.Kind == incident.TaskNotDelivered && !task.Done {
			open++
		}
	}
	if open != 2 {
		t.Errorf("%d tasks for the SOC, want one for the mail and one for the text: %+v", open, i.Tasks)
	}
}

func TestAMissedCallIsFollowedByOneText(t *testing.T) {
	s := newStory(t)
	c := contact(first, 1)
	c.Channels = append(c.Channels, models.ChannelSMS)
	s.directory.Contacts = []models.Contact{c}
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		key := notify.MessageEffect(ref, acme, published(c, models.ChannelSMS)).Key
		s.env.SignalWorkflow(models.SignalTextReply, notify.TextReply{Effect: key, Contact: c.ID})
	}, 10*time.Minute)
	s.closes(30 * time.Minute)
	i := s.run(models.SeverityCritical)
	if len(s.texts) != 1 {
		t.Errorf("%d texts after %d missed calls, want 1", len(s.texts), len(s.calls))
	}
	if i.Acknowledged == nil || i.Acknowledged.Channel != "sms" || i.Acknowledged.How != "reply to text message" {
		t.Errorf("acknowledged %+v", i.Acknowledged)
	}
	for _, e := range s.events {
		if e.Type == "call_round_started" && e.At.After(i.Acknowledged.At) {
			t.Errorf("a round began after the reply")
		}
	}
}

func TestAVoicemailIsToldFromAHangup(t *testing.T) {
	s := newStory(t)
	s.answers = func(e notify.Effect) {
		if e.Contact == first {
			s.tells(e, models.SignalCallProgress, notify.CallProgress{Effect: e.Key, Machine: true})
			s.hears(models.CallCompleted)(e)
			return
		}
		s.presses("1")(e)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.closes(day)
	s.run(models.SeverityCritical)
	machine, human := s.said[s.calls[0].Key], s.said[s.calls[1].Key]
	if machine.Outcome != "voicemail" || human.By != ciso || human.How != "key press 1" {
		t.Errorf("outcomes in the ledger: %+v, %+v", machine, human)
	}
}

// friday is 17:30 on a Friday in Berlin, in the week before the clocks go forward.
var friday = time.Date(2026, 3, 27, 16, 30, 0, 0, time.UTC)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestMessagesWaitForTheContactsHours(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	c := contact(first, 1)
	c.Hours = models.OfficeHours()
	s.directory.Contacts = []models.Contact{c, contact(ciso, 2)}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{}) // 18:30
	s.closes(4 * day)
	s.run(models.SeverityMedium)
	var at []string
	for _, m := range s.mails {
		if m.Purpose == notify.PurposePublished {
			at = append(at, m.at.In(s.directory.Zone).Format("Mon 15:04"))
		}
	}
	slices.Sort(at)
	if want := []string{"Fri 18:30", "Mon 08:00"}; !slices.Equal(at, want) {
		t.Errorf("mailed at %v, want %v", at, want)
	}
}

// The first mail again ignores business hours; the next is due 72 hours later, outside of them.
func TestRemindersKeepBusinessHoursWhateverTheCalendarDoes(t *testing.T) {
	for name, c := range map[string]struct {
		published time.Time // in Berlin
		want      []string
	}{
		"the clock change": {time.Date(2026, 3, 27, 18, 30, 0, 0, berlin(t)), []string{"Fri 2026-03-27 19:00", "Tue 2026-03-31 08:00"}},
		"the leap day":     {time.Date(2028, 2, 25, 18, 30, 0, 0, berlin(t)), []string{"Fri 2028-02-25 19:00", "Tue 2028-02-29 08:00"}},
		"the year's end":   {time.Date(2026, 12, 29, 18, 30, 0, 0, berlin(t)), []string{"Tue 2026-12-29 19:00", "Mon 2027-01-04 08:00"}},
	} {
		s := newStory(t)
		s.env.SetStartTime(c.published.Add(-time.Hour))
		s.directory.Zone, s.directory.Business = berlin(t), models.OfficeHours()
		s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
		s.closes(6 * day)
		s.run(models.SeverityHigh)
		var at []string
		for _, m := range s.mails {
			if m.Purpose == notify.PurposeReminder && m.Contact == first {
				at = append(at, m.at.In(s.directory.Zone).Format("Mon 2006-01-02 15:04"))
			}
		}
		if !slices.Equal(at, c.want) {
			t.Errorf("%s: reminded at %v, want %v", name, at, c.want)
		}
	}
}

func TestAReminderIsTakenBackWhenItsReasonIsGone(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	c := contact(first, 1)
	c.Hours = models.OfficeHours()
	s.directory.Contacts = []models.Contact{c}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	// The reminder of Friday 19:00 waits for Monday; on Saturday the client answers, and it is the SOC's turn.
	s.after(20*time.Hour, models.RoleResponder, &incident.Comment{Text: "we are on it"})
	s.closes(4 * day)
	s.run(models.SeverityHigh)
	for _, m := range s.mails {
		if m.Purpose == notify.PurposeReminder && m.at.Before(friday.Add(4*day)) {
			t.Errorf("reminded at %s although it was not their turn", m.at)
		}
	}
	if len(s.canceled) == 0 || !strings.Contains(s.canceled[0].Effect.Key, "/reminder/") {
		t.Errorf("canceled in the ledger: %v", s.canceled)
	}
}

func TestAQuestionIsAskedAgainSixTimesInTwentyHours(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = s.directory.Contacts[:1]
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		q := &incident.AskQuestion{Text: "Was this you?", Answers: []string{"yes", "no"}, Deadline: s.env.Now().Add(2 * day)}
		s.give(s.request(models.RoleAnalyst, q), q.Name(), nil)
	}, time.Hour)
	var overdue incident.Incident
	s.env.RegisterDelayedCallback(func() { overdue = s.replay(s.opening(models.SeverityCritical).Incident) }, 3*day)
	s.rejectedAfter(3*day+time.Hour, models.RoleResponder, &incident.AnswerQuestion{Question: "q1", Answer: "perhaps"}, models.Invalid)
	s.after(3*day+2*time.Hour, models.RoleResponder, &incident.AnswerQuestion{Question: "q1", Answer: "no"})
	s.answers = s.presses("1")
	s.closes(4 * day)
	i := s.run(models.SeverityCritical)
	var gaps []time.Duration
	last := time.Time{}
	for _, e := range s.events {
		if e.Type == "question_asked" {
			last = e.At
		}
		if e.Type == "question_reminded" {
			gaps = append(gaps, e.At.Sub(last).Round(time.Minute))
			last = e.At
		}
	}
	want := []time.Duration{19 * time.Minute, 38 * time.Minute, 76 * time.Minute, 152 * time.Minute, 305 * time.Minute, 610 * time.Minute}
	if !slices.Equal(gaps, want) {
		t.Errorf("pauses between reminders %v, want %v", gaps, want)
	}
	if got := s.mailsFor(notify.PurposeQuestionReminder); got != 6 || s.mailsFor(notify.PurposeQuestion) != 1 {
		t.Errorf("%d reminders of the question were mailed", got)
	}
	if overdue.OpenTask(incident.TaskQuestionUnanswered, "q1") == nil {
		t.Errorf("after the deadline the SOC has %+v", overdue.Tasks)
	}
	if i.OpenTask(incident.TaskQuestionUnanswered, "q1") != nil || i.Questions[0].Answer != "no" {
		t.Errorf("after the answer: tasks %+v, questions %+v", i.Tasks, i.Questions)
	}
}

func TestAFireDrillReachesEverybodyOnceAndEnds(t *testing.T) {
	for _, exercise := range []models.Exercise{models.ExerciseFireDrill, models.ExerciseSimulatedFireDrill} {
		s := newStory(t)
		if exercise == models.ExerciseFireDrill {
			s.answers = s.presses("1")
		}
		s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
		run := s.opening(models.SeverityCritical)
		run.Incident.Exercise = exercise
		i := s.runFrom(run)
		if i.Phase != incident.PhaseDismissed || s.count("call_round_started") != 1 || s.count("reminder_sent") != 0 {
			t.Errorf("%s: phase %s, %d rounds, %d reminders", exercise, i.Phase, s.count("call_round_started"), s.count("reminder_sent"))
		}
		if len(s.calls) != 2 || s.calls[0].Contact == s.calls[1].Contact {
			t.Errorf("%s: calls %+v, want one to each contact", exercise, s.calls)
		}
		for _, c := range s.calls {
			if c.Simulated != exercise.IsSimulated() {
				t.Errorf("%s phones: a call with simulated %t", exercise, c.Simulated)
			}
		}
		if want := map[models.Exercise]int{models.ExerciseFireDrill: 2}[exercise]; s.count("acknowledged") != want {
			t.Errorf("%s: %d acknowledgements, want %d", exercise, s.count("acknowledged"), want)
		}
	}
}

func TestWaitingForATurnIsNoOutageOfTheVendor(t *testing.T) {
	s := newStory(t)
	s.mailFails = func() error {
		if s.env.Now().Sub(s.events[0].At) < time.Hour {
			return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil) // as when it never began
		}
		return nil
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.closes(2 * time.Hour)
	i := s.run(models.SeverityLow)
	if len(i.Tasks) != 0 || s.mailsFor(notify.PurposePublished) != 2 {
		t.Errorf("tasks %+v, %d mails", i.Tasks, s.mailsFor(notify.PurposePublished))
	}
}
