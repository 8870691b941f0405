package workflows_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
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
	s.closes(40 * day)
	after := s.run(models.SeverityLow)
	if got, want := numbers(s.mails, ciso, notify.PurposeReminder), []int{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("who can be mailed got reminders %v, want %v", got, want)
	}
	if len(before.Tasks) != 1 || before.Tasks[0].Done {
		t.Errorf("tasks after a month: %+v, want one for the settings", before.Tasks)
	}
	if len(after.Tasks) != 1 || !after.Tasks[0].Done {
		t.Errorf("tasks at the end: %+v, want the one, done by itself", after.Tasks)
	}
	if got, want := numbers(s.texts, first, notify.PurposeReminder), []int{1, 5}; !slices.Equal(got, want) {
		t.Errorf("once texts go out again, reminders %v, want %v", got, want)
	}
}

// While our key is refused one message is tried now and then, and not every one; once it is taken all go out.
func TestWhileOurSettingsAreRefusedOneMessageIsTriedForAll(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = nil
	for n := range 20 {
		s.directory.Contacts = append(s.directory.Contacts, contact(uuid.New(), n+1))
	}
	tries := 0
	s.mailFails = func() error {
		if s.env.Now().Sub(s.events[0].At) > 4*time.Hour {
			return nil
		}
		tries++
		return temporal.NewNonRetryableApplicationError("sendgrid: send mail: config (HTTP 401)", string(models.Config), nil)
	}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.closes(day)
	i := s.run(models.SeverityLow)
	if tries < 20+20 || tries > 20+30 { // each once, then one for all: soon again, later every ten minutes for four hours
		t.Errorf("tried %d times, want each of 20 mails once and about 26 more", tries)
	}
	if n := s.mailsFor(notify.PurposePublished); n != 20 {
		t.Errorf("%d mails went out, want one for each contact", n)
	}
	if len(i.Tasks) != 1 || !i.Tasks[0].Done || i.Tasks[0].Effect != "email" {
		t.Errorf("tasks %+v, want one, done by itself", i.Tasks)
	}
	if n := s.count("task_done"); n != 1 {
		t.Errorf("the task ended %d times", n)
	}
}

// A vendor that asks us to come back in an hour is not asked before.
func TestAVendorIsAskedAgainWhenItSaid(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = []models.Contact{contact(first, 1)}
	var tries []time.Time
	s.mailFails = func() error {
		tries = append(tries, s.env.Now())
		if len(tries) > 1 {
			return nil
		}
		return temporal.NewApplicationErrorWithOptions("sendgrid: send mail: throttled (HTTP 429)", string(models.Throttled),
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Hour})
	}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.closes(day)
	s.run(models.SeverityLow)
	if len(tries) < 2 || tries[1].Sub(tries[0]) < time.Hour || tries[1].Sub(tries[0]) > 61*time.Minute {
		t.Errorf("tried at %v, want an hour between", tries)
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

// While the mailer is down, one of all mails is tried at a time, each in its turn, and when one gets through all do.
func TestWhileAVendorIsDownOneMessageIsTriedForAll(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts = nil
	for n := range 10 {
		c := contact(uuid.New(), n+1)
		c.Channels = []models.Channel{models.ChannelEmail}
		s.directory.Contacts = append(s.directory.Contacts, c)
	}
	tried := map[uuid.UUID]int{}
	s.mailFails = func() error {
		if s.since() < 2*time.Hour {
			return temporal.NewApplicationErrorWithOptions("sendgrid: send mail: transient", string(models.Transient),
				temporal.ApplicationErrorOptions{NextRetryDelay: 10 * time.Minute}) // no attempt but ours
		}
		return nil
	}
	s.mailTried = func(n notify.Notification) { tried[n.Contact]++ }
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	during := s.at(90 * time.Minute)
	s.goesOnAfter(4 * time.Hour)
	i := s.run(models.SeverityLow)
	for _, c := range s.directory.Contacts {
		if n := tried[c.ID]; n < 5 || n > 10 {
			t.Errorf("contact %d was mailed with %d attempts in an hour", c.Order, n)
		}
	}
	if down := during.OpenTask(incident.TaskVendorDown, "email"); down == nil || len(during.Tasks) != 1 || i.OpenTask(incident.TaskVendorDown, "email") != nil {
		t.Errorf("tasks while the mailer is down: %+v, and later: %+v", during.Tasks, i.Tasks)
	}
	if n := s.mailsFor(notify.PurposePublished); n != 10 || s.mails[9].at.Sub(s.mails[0].at) > time.Minute {
		t.Errorf("%d mails, want 10 within a minute: %+v", n, s.mails)
	}
}

// The run is renewed while the mailer is down.
func TestARenewedRunDoesNotTryAllMessagesAtOnce(t *testing.T) {
	s := newStory(t)
	s.mailFails = func() error {
		return temporal.NewApplicationErrorWithOptions("sendgrid: send mail: transient", string(models.Transient),
			temporal.ApplicationErrorOptions{NextRetryDelay: 10 * time.Minute})
	}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.goesOnAfter(90 * time.Minute)
	start := s.opening(models.SeverityLow)
	s.runFrom(start)
	carried := nextRun(t, s)

	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = s.events, s.commands, 1000, start.Incident
	after.env.SetStartTime(s.env.Now())
	tried := 0
	after.mailTried = func(notify.Notification) { tried++ }
	after.goesOnAfter(50 * time.Second)
	after.runFrom(carried)
	if len(carried.Notifications) != 2 || tried != 0 {
		t.Errorf("of %d mails that wait %d were tried within a minute", len(carried.Notifications), tried)
	}
}

// While nobody is in the office one message waits for each contact, however often the incident is revised.
func TestNewsThatWaitsForTheContactsHoursIsBounded(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday.Add(day))
	s.directory.Zone = berlin(t)
	for n := range s.directory.Contacts {
		s.directory.Contacts[n].Hours = models.OfficeHours()
	}
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.revises(2*time.Hour, 3*time.Hour, 4*time.Hour, 5*time.Hour)
	s.goesOnAfter(6 * time.Hour)
	s.run(models.SeverityMedium)
	waiting := nextRun(t, s).Notifications
	if len(waiting) != 2 || waiting[0].Revision != 5 || waiting[1].Revision != 5 {
		t.Errorf("the next run begins with the messages %+v, want the last revision to each contact", waiting)
	}
}

// A client's contacts are not to be asked more than can be carried until the store takes the questions.
func TestQuestionsThatWaitAreBounded(t *testing.T) {
	s := newStory(t)
	deadline := s.env.Now().Add(30 * day)
	ask := func(n int) *incident.AskQuestion {
		return &incident.AskQuestion{Text: fmt.Sprint("question ", n), Deadline: deadline}
	}
	down := false
	s.recordFails = func(activities.RecordInput) error {
		if down {
			return errors.New("no answer")
		}
		return nil
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() { down = true }, time.Hour)
	for n := range 50 {
		s.after(time.Hour+time.Millisecond, models.RoleAnalyst, ask(n))
	}
	s.rejectedAfter(time.Hour+2*time.Millisecond, models.RoleAnalyst, ask(50), models.Conflict)
	s.after(time.Hour+3*time.Millisecond, models.RoleResponder, &incident.Comment{Text: "we cannot answer yet"})
	s.env.RegisterDelayedCallback(func() { down = false }, time.Hour+time.Second)
	s.after(2*time.Hour, models.RoleAnalyst, ask(50))
	s.goesOnAfter(3 * time.Hour)
	s.run(models.SeverityLow)
	if n := s.count("question_asked"); n != 51 || s.mailsFor(notify.PurposeQuestion) != 2*51 {
		t.Errorf("%d questions are asked, and %d mails sent about them", n, s.mailsFor(notify.PurposeQuestion))
	}
}

// A mailer that refuses our key while another takes the mails is shown, once, until it takes mails again.
func TestAMailerThatRefusesOurKeyIsATask(t *testing.T) {
	s := newStory(t)
	s.refusedMailer = "sendgrid"
	s.env.RegisterDelayedCallback(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refusedMailer = ""
	}, 5*day)
	s.after(time.Hour, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		for n, e := range s.events {
			if opened, ok := e.Data.(*incident.TaskOpened); ok && (opened.Kind != incident.TaskConfig || !strings.Contains(opened.Detail, "sendgrid")) {
				t.Errorf("event %d opens %+v", n, opened)
			}
		}
		if opened, done := s.count("task_opened"), s.count("task_done"); opened != 1 || done != 0 {
			t.Errorf("while the key is refused %d tasks were opened and %d done, want one that stays", opened, done)
		}
	}, 4*day)
	s.closes(20 * day)
	i := s.run(models.SeverityHigh)
	if len(i.Tasks) != 1 || !i.Tasks[0].Done {
		t.Errorf("tasks %+v, want one, done by itself", i.Tasks)
	}
	if n := s.mailsFor(notify.PurposePublished); n != 2 {
		t.Errorf("%d mails went out, want one for each contact", n)
	}
}
