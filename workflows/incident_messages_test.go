package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// numbers are the occurrences of what a contact was mailed or texted for a purpose, in the order it went out.
func numbers(all []sent, to uuid.UUID, p notify.Purpose) (n []int) {
	for _, m := range all {
		if m.Contact == to && m.Purpose == p {
			n = append(n, m.Occurrence)
		}
	}
	return n
}

func TestAMessageThatCannotGoOutHoldsUpNobodyElsesReminders(t *testing.T) {
	s := newStory(t)
	stuck := contact(first, 1)
	stuck.Channels = []models.Channel{models.ChannelSMS}
	s.directory.Contacts = []models.Contact{stuck, contact(ciso, 2)}
	s.textFails = func() error {
		if s.env.Now().Sub(s.events[0].At) < 30*day {
			return temporal.NewNonRetryableApplicationError("twilio: send text: config", string(models.Config), nil)
		}
		return nil
	}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	var before incident.Incident
	s.env.RegisterDelayedCallback(func() { before = s.replay(s.opening(models.SeverityLow).Incident) }, 30*day)
	for _, task := range []string{"t1", "t2"} {
		s.after(31*day, models.RoleAnalyst, &incident.CompleteTask{Task: task})
	}
	s.closes(40 * day)
	s.run(models.SeverityLow)
	if got, want := numbers(s.mails, ciso, notify.PurposeReminder), []int{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("who can be mailed got reminders %v, want %v", got, want)
	}
	if len(before.Tasks) != 2 {
		t.Errorf("tasks after a month: %+v, want one for the report and one for the reminder", before.Tasks)
	}
	if got, want := numbers(s.texts, first, notify.PurposeReminder), []int{1, 5}; !slices.Equal(got, want) {
		t.Errorf("once texts go out again, reminders %v, want %v", got, want)
	}
}

func TestOneContactsHoursHoldUpNobodyElsesQuestion(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(time.Date(2026, 3, 3, 7, 0, 0, 0, time.UTC))
	late := contact(first, 1)
	late.Hours = models.Hours{{Days: models.Days(), From: 16 * 60, To: 18 * 60}}
	s.directory.Contacts = []models.Contact{late, contact(ciso, 2)}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		q := &incident.AskQuestion{Text: "Was this you?", Deadline: s.env.Now().Add(8 * time.Hour)}
		s.give(s.request(models.RoleAnalyst, q), q.Name(), nil)
	}, time.Hour)
	s.after(9*time.Hour+30*time.Minute, models.RoleResponder, &incident.AnswerQuestion{Question: "q1", Answer: "no"})
	s.closes(12 * time.Hour)
	s.run(models.SeverityMedium)
	if got := len(numbers(s.mails, ciso, notify.PurposeQuestionReminder)); got != 6 {
		t.Errorf("who is reached at any time was mailed %d reminders of the question, want 6", got)
	}
	if got := len(numbers(s.mails, first, notify.PurposeQuestionReminder)); got != 1 {
		t.Errorf("who is reached from 16:00 was mailed %d reminders at once, want 1", got)
	}
}

// told are the mails a contact got, with the time in Berlin.
func (s *story) told(contact uuid.UUID) (mails []string) {
	for _, m := range s.mails {
		if m.Contact == contact {
			mails = append(mails, fmt.Sprintf("%s %s %d", m.at.In(berlin(s.t)).Format("Mon 15:04"), m.Purpose, m.Revision))
		}
	}
	return mails
}

// superseded are the messages to a contact that the ledger has as replaced by a newer one.
func (s *story) superseded(contact uuid.UUID) (mails []string) {
	for _, c := range s.canceled {
		if c.Effect.Contact == contact && c.Reason == notify.ReasonSuperseded {
			mails = append(mails, fmt.Sprintf("%s %d", c.Effect.Purpose, c.Effect.Revision))
		}
	}
	slices.Sort(mails)
	return mails
}

func (s *story) revises(at ...time.Duration) {
	for _, d := range at {
		s.after(d, models.RoleAnalyst, &incident.Revise{Change: "more is known", Material: true})
	}
}

func TestAWeekendsNewsIsOneMailOnMonday(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	office := contact(first, 1)
	office.Hours = models.OfficeHours()
	s.directory.Contacts = []models.Contact{office, contact(ciso, 2)}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.revises(2*time.Hour, 3*time.Hour, 4*time.Hour)
	s.closes(5 * time.Hour)
	s.run(models.SeverityMedium)
	if got, want := s.told(first), []string{"Mon 08:00 closed 4"}; !slices.Equal(got, want) {
		t.Errorf("who has office hours was mailed %v, want %v", got, want)
	}
	if got, want := s.superseded(first), []string{"published 1", "revised 2", "revised 3", "revised 4"}; !slices.Equal(got, want) {
		t.Errorf("superseded in the ledger %v, want each once: %v", got, want)
	}
	want := []string{"Fri 18:30 published 1", "Fri 19:30 revised 2", "Fri 20:30 revised 3", "Fri 21:30 revised 4", "Fri 22:31 closed 4"}
	if got := s.told(ciso); !slices.Equal(got, want) {
		t.Errorf("who is reached at any time was mailed %v, want %v", got, want)
	}
}

func TestACriticalReportIsSentAlthoughLessIsTrueByThen(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.directory.Zone = berlin(t)
	office := contact(first, 1)
	office.Hours, office.HoursForCritical = models.OfficeHours(), true
	s.directory.Contacts = []models.Contact{office, contact(ciso, 2)}
	s.answers = s.presses("1")
	low := models.SeverityLow
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.revises(2 * time.Hour)
	s.after(3*time.Hour, models.RoleAnalyst, &incident.Assess{Severity: &low})
	s.revises(4*time.Hour, 5*time.Hour)
	s.closes(6 * time.Hour)
	s.run(models.SeverityCritical)
	got := s.told(first)
	slices.Sort(got)
	if want := []string{"Mon 08:00 closed 4", "Mon 08:00 revised 2"}; !slices.Equal(got, want) {
		t.Errorf("mailed %v, want %v", got, want)
	}
}

func TestAfterAnOutageOnlyTheNewestGoesOut(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday)
	s.mailFails = func() error {
		if s.env.Now().Sub(friday) < 6*time.Hour {
			return temporal.NewApplicationError("sendgrid: send mail: transient", string(models.Transient))
		}
		return nil
	}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.revises(time.Hour+20*time.Second, 3*time.Hour) // the first while the report is tried
	s.closes(day)
	i := s.run(models.SeverityMedium)
	for _, c := range []uuid.UUID{first, ciso} {
		if got := s.told(c); len(got) != 2 || !strings.HasSuffix(got[0], " revised 3") || !strings.HasSuffix(got[1], " closed 3") {
			t.Errorf("mailed %v, want the last revision and, a day later, that it was closed", got)
		}
		if got, want := slices.Compact(s.superseded(c)), []string{"published 1", "revised 2"}; !slices.Equal(got, want) {
			t.Errorf("superseded in the ledger %v, want %v", got, want)
		}
	}
	for _, task := range i.Tasks {
		if !task.Done {
			t.Errorf("after the outage the SOC still has %+v", task)
		}
	}
}
