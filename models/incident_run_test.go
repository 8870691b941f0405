package models_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestANoticeIsOverWhenItsReasonIsGone(t *testing.T) {
	with := func(p models.Phase, turn models.Turn, answer string) models.Incident {
		return models.Incident{Phase: p, Turn: turn, Questions: []models.Question{{ID: "q1", Answer: "no"}, {ID: "q2", Answer: answer}}}
	}
	client, soc := with(models.PhasePublished, models.TurnClient, ""), with(models.PhasePublished, models.TurnSOC, "")
	answered := with(models.PhasePublished, models.TurnClient, "yes")
	closed, dismissed := with(models.PhaseClosed, models.TurnClient, ""), with(models.PhaseDismissed, models.TurnNone, "")
	for _, c := range []struct {
		purpose                                  models.Purpose
		question                                 string
		client, soc, answered, closed, dismissed bool
	}{
		{models.PurposePublished, "", false, false, false, false, false},
		{models.PurposeRevised, "", false, false, false, false, false},
		{models.PurposeReminder, "", false, true, false, true, true},
		{models.PurposeQuestion, "q2", false, false, true, true, true},
		{models.PurposeQuestion, "q1", true, true, true, true, true},
		{models.PurposeQuestion, "", false, false, true, true, true}, // makes up for one that did not arrive
		{models.PurposeQuestion, "q3", true, true, true, true, true},
		{models.PurposeQuestionReminder, "q2", false, false, true, true, true},
		{models.PurposeStillPresent, "", false, false, false, true, true},
		{models.PurposeClosed, "", false, false, false, false, false},
	} {
		n := models.Notification{Purpose: c.purpose, Question: c.question}
		got := [5]bool{n.Over(client), n.Over(soc), n.Over(answered), n.Over(closed), n.Over(dismissed)}
		if want := [5]bool{c.client, c.soc, c.answered, c.closed, c.dismissed}; got != want {
			t.Errorf("%s %s: over %v, want %v (turn client, turn soc, answered, closed, dismissed)", c.purpose, c.question, got, want)
		}
	}
}

func TestWhatANewerNoticeReplaces(t *testing.T) {
	someone, other := uuid.New(), uuid.New()
	notice := func(p models.Purpose, revision, occurrence int, s models.Severity) models.Notification {
		return models.Notification{Purpose: p, Revision: revision, Occurrence: occurrence, Severity: s, Contact: someone, Channel: models.ChannelEmail}
	}
	about := func(question string, n models.Notification) models.Notification { n.Question = question; return n }
	to := func(contact uuid.UUID, ch models.Channel, n models.Notification) models.Notification {
		n.Contact, n.Channel = contact, ch
		return n
	}
	const low, critical = models.SeverityLow, models.SeverityCritical
	closed := notice(models.PurposeClosed, 3, 1, low)
	published, worst := notice(models.PurposePublished, 1, 1, low), notice(models.PurposePublished, 1, 1, critical)
	revised := notice(models.PurposeRevised, 3, 1, low)
	for _, c := range []struct {
		name     string
		newer    models.Notification
		old      models.Notification
		replaces bool
	}{
		{"a revision the first report", revised, published, true},
		{"a revision one before", revised, notice(models.PurposeRevised, 2, 1, low), true},
		{"a revision one after", revised, notice(models.PurposeRevised, 4, 1, low), false},
		{"a revision itself", revised, revised, false},
		{"a revision a reminder", revised, notice(models.PurposeReminder, 1, 1, low), false},
		{"a revision a question", revised, about("q1", notice(models.PurposeQuestion, 1, 9, low)), false},
		{"to somebody else", revised, to(other, models.ChannelEmail, published), false},
		{"over another channel", revised, to(someone, models.ChannelSMS, published), false},
		{"a lesser revision a critical report", revised, worst, false},
		{"a critical revision a critical report", notice(models.PurposeRevised, 3, 1, critical), worst, true},
		{"a critical revision a lesser report", notice(models.PurposeRevised, 3, 1, critical), published, true},
		{"a lesser revision one that may be critical", revised, notice(models.PurposePublished, 1, 1, ""), false},
		{"the closure a report", closed, published, true},
		{"the closure a revision", closed, revised, true},
		{"the closure a critical report", closed, worst, false},
		{"the closure a critical revision", closed, notice(models.PurposeRevised, 2, 1, critical), false},
		{"the closure a report that may be critical", closed, notice(models.PurposePublished, 1, 1, ""), false},
		{"the closure a reminder", closed, notice(models.PurposeReminder, 1, 1, critical), true},
		{"the closure a question", closed, about("q1", notice(models.PurposeQuestion, 1, 9, critical)), true},
		{"the closure a question's reminder", closed, about("q1", notice(models.PurposeQuestionReminder, 1, 12, low)), true},
		{"the closure an approval", closed, notice(models.PurposeApproval, 1, 1, low), false},
		{"a reminder one before", notice(models.PurposeReminder, 2, 2, low), notice(models.PurposeReminder, 1, 1, critical), true},
		{"a reminder one after", notice(models.PurposeReminder, 1, 1, low), notice(models.PurposeReminder, 1, 2, low), false},
		{"a reminder a report", notice(models.PurposeReminder, 3, 2, low), published, false},
		{"a reminder a question's", notice(models.PurposeReminder, 3, 9, low), about("q1", notice(models.PurposeQuestionReminder, 3, 4, low)), false},
		{"a question's reminder one before", about("q1", notice(models.PurposeQuestionReminder, 1, 12, low)), about("q1", notice(models.PurposeQuestionReminder, 1, 9, low)), true},
		{"a question's reminder another question's", about("q1", notice(models.PurposeQuestionReminder, 1, 12, low)), about("q2", notice(models.PurposeQuestionReminder, 1, 9, low)), false},
		{"a question's reminder the question", about("q1", notice(models.PurposeQuestionReminder, 1, 12, low)), about("q1", notice(models.PurposeQuestion, 1, 9, low)), false},
		{"a report anything", worst, published, false},
	} {
		if got := c.newer.Replaces(c.old); got != c.replaces {
			t.Errorf("%s: replaces %t, want %t", c.name, got, c.replaces)
		}
	}
}
