package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
)

// numbers are the occurrences of what a contact was mailed or texted for a purpose, in the order it went out.
func numbers(all []sent, to uuid.UUID, p models.Purpose) (n []int) {
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
	s.after(time.Hour, models.RoleAnalyst, &models.Expedite{})
	var before models.Incident
	s.env.RegisterDelayedCallback(func() { before = s.replay(s.opening(models.SeverityLow).Incident) }, 30*day)
	for _, task := range []string{"t1", "t2"} {
		s.after(31*day, models.RoleAnalyst, &models.CompleteTask{Task: task})
	}
	s.closes(40 * day)
	s.run(models.SeverityLow)
	if got, want := numbers(s.mails, ciso, models.PurposeReminder), []int{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("who can be mailed got reminders %v, want %v", got, want)
	}
	if len(before.Tasks) != 2 {
		t.Errorf("tasks after a month: %+v, want one for the report and one for the reminder", before.Tasks)
	}
	if got, want := numbers(s.texts, first, models.PurposeReminder), []int{1, 5}; !slices.Equal(got, want) {
		t.Errorf("once texts go out again, reminders %v, want %v", got, want)
	}
}

func TestOneContactsHoursHoldUpNobodyElsesQuestion(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(time.Date(2026, 3, 3, 7, 0, 0, 0, time.UTC))
	late := contact(first, 1)
	late.Hours = models.Hours{{Days: models.Days(), From: 16 * 60, To: 18 * 60}}
	s.directory.Contacts = []models.Contact{late, contact(ciso, 2)}
	s.after(time.Minute, models.RoleAnalyst, &models.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		q := &models.AskQuestion{Text: "Was this you?", Deadline: s.env.Now().Add(8 * time.Hour)}
		s.give(s.order(models.RoleAnalyst, q), q.Name(), nil)
	}, time.Hour)
	s.after(9*time.Hour+30*time.Minute, models.RoleResponder, &models.AnswerQuestion{Question: "q1", Answer: "no"})
	s.closes(12 * time.Hour)
	s.run(models.SeverityMedium)
	if got := len(numbers(s.mails, ciso, models.PurposeQuestionReminder)); got != 6 {
		t.Errorf("who is reached at any time was mailed %d reminders of the question, want 6", got)
	}
	if got := len(numbers(s.mails, first, models.PurposeQuestionReminder)); got != 1 {
		t.Errorf("who is reached from 16:00 was mailed %d reminders at once, want 1", got)
	}
}
