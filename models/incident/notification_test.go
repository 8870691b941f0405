package incident_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestANotificationIsOutdatedWhenItsReasonIsGone(t *testing.T) {
	with := func(p incident.Phase, turn incident.Turn, answer string) incident.Incident {
		return incident.Incident{Phase: p, Turn: turn, Questions: []incident.Question{{ID: "q1", Answer: "no"}, {ID: "q2", Answer: answer}}}
	}
	client, soc := with(incident.PhasePublished, incident.TurnClient, ""), with(incident.PhasePublished, incident.TurnSOC, "")
	answered := with(incident.PhasePublished, incident.TurnClient, "yes")
	closed, dismissed := with(incident.PhaseClosed, incident.TurnClient, ""), with(incident.PhaseDismissed, incident.TurnNone, "")
	for _, c := range []struct {
		purpose                                  notify.Purpose
		question                                 string
		client, soc, answered, closed, dismissed bool
	}{
		{notify.PurposePublished, "", false, false, false, false, false},
		{notify.PurposeRevised, "", false, false, false, false, false},
		{notify.PurposeReminder, "", false, true, false, true, true},
		{notify.PurposeQuestion, "q2", false, false, true, true, true},
		{notify.PurposeQuestion, "q1", true, true, true, true, true},
		{notify.PurposeQuestion, "", false, false, true, true, true}, // makes up for one that did not arrive
		{notify.PurposeQuestion, "q3", true, true, true, true, true},
		{notify.PurposeQuestionReminder, "q2", false, false, true, true, true},
		{notify.PurposeStillPresent, "", false, false, false, true, true},
		{notify.PurposeClosed, "", false, false, false, false, false},
	} {
		n := notify.Notification{Purpose: c.purpose, Question: c.question}
		got := [5]bool{client.HasOutdated(n), soc.HasOutdated(n), answered.HasOutdated(n), closed.HasOutdated(n), dismissed.HasOutdated(n)}
		if want := [5]bool{c.client, c.soc, c.answered, c.closed, c.dismissed}; got != want {
			t.Errorf("%s %s: outdated %v, want %v (turn client, turn soc, answered, closed, dismissed)", c.purpose, c.question, got, want)
		}
	}
}

func TestNewerNotificationsReplaceOlderOnes(t *testing.T) {
	someone, other := uuid.New(), uuid.New()
	notification := func(p notify.Purpose, revision, occurrence int, s models.Severity) notify.Notification {
		return notify.Notification{Purpose: p, Revision: revision, Occurrence: occurrence, Severity: s, Contact: someone, Channel: models.ChannelEmail}
	}
	about := func(question string, n notify.Notification) notify.Notification { n.Question = question; return n }
	to := func(contact uuid.UUID, ch models.Channel, n notify.Notification) notify.Notification {
		n.Contact, n.Channel = contact, ch
		return n
	}
	const low, critical = models.SeverityLow, models.SeverityCritical
	closed := notification(notify.PurposeClosed, 3, 1, low)
	published, worst := notification(notify.PurposePublished, 1, 1, low), notification(notify.PurposePublished, 1, 1, critical)
	revised := notification(notify.PurposeRevised, 3, 1, low)
	for _, c := range []struct {
		name     string
		newer    notify.Notification
		old      notify.Notification
		replaces bool
	}{
		{"a revision the first report", revised, published, true},
		{"a revision one before", revised, notification(notify.PurposeRevised, 2, 1, low), true},
		{"a revision one after", revised, notification(notify.PurposeRevised, 4, 1, low), false},
		{"a revision itself", revised, revised, false},
		{"a revision a reminder", revised, notification(notify.PurposeReminder, 1, 1, low), false},
		{"a revision a question", revised, about("q1", notification(notify.PurposeQuestion, 1, 9, low)), false},
		{"to somebody else", revised, to(other, models.ChannelEmail, published), false},
		{"over another channel", revised, to(someone, models.ChannelSMS, published), false},
		{"a lesser revision a critical report", revised, worst, false},
		{"a critical revision a critical report", notification(notify.PurposeRevised, 3, 1, critical), worst, true},
		{"a critical revision a lesser report", notification(notify.PurposeRevised, 3, 1, critical), published, true},
		{"a lesser revision one that may be critical", revised, notification(notify.PurposePublished, 1, 1, ""), false},
		{"the closure a report", closed, published, true},
		{"the closure a revision", closed, revised, true},
		{"the closure a critical report", closed, worst, false},
		{"the closure a critical revision", closed, notification(notify.PurposeRevised, 2, 1, critical), false},
		{"the closure a report that may be critical", closed, notification(notify.PurposePublished, 1, 1, ""), false},
		{"the closure a reminder", closed, notification(notify.PurposeReminder, 1, 1, critical), true},
		{"the closure a question", closed, about("q1", notification(notify.PurposeQuestion, 1, 9, critical)), true},
		{"the closure a question's reminder", closed, about("q1", notification(notify.PurposeQuestionReminder, 1, 12, low)), true},
		{"the closure an approval", closed, notification(notify.PurposeApproval, 1, 1, low), false},
		{"a reminder one before", notification(notify.PurposeReminder, 2, 2, low), notification(notify.PurposeReminder, 1, 1, critical), true},
		{"a reminder one after", notification(notify.PurposeReminder, 1, 1, low), notification(notify.PurposeReminder, 1, 2, low), false},
		{"a reminder a report", notification(notify.PurposeReminder, 3, 2, low), published, false},
		{"a reminder a question's", notification(notify.PurposeReminder, 3, 9, low), about("q1", notification(notify.PurposeQuestionReminder, 3, 4, low)), false},
		{"a question's reminder one before", about("q1", notification(notify.PurposeQuestionReminder, 1, 12, low)), about("q1", notification(notify.PurposeQuestionReminder, 1, 9, low)), true},
		{"a question's reminder another question's", about("q1", notification(notify.PurposeQuestionReminder, 1, 12, low)), about("q2", notification(notify.PurposeQuestionReminder, 1, 9, low)), false},
		{"a question's reminder the question", about("q1", notification(notify.PurposeQuestionReminder, 1, 12, low)), about("q1", notification(notify.PurposeQuestion, 1, 9, low)), false},
		{"an approval one before", notification(notify.PurposeApproval, 1, 9, low), notification(notify.PurposeApproval, 1, 4, critical), true},
		{"an approval one after", notification(notify.PurposeApproval, 1, 4, low), notification(notify.PurposeApproval, 1, 9, low), false},
		{"an approval a lease", notification(notify.PurposeApproval, 1, 9, low), notification(notify.PurposeLease, 1, 4, low), false},
		{"a lease one before", notification(notify.PurposeLease, 1, 9, low), notification(notify.PurposeLease, 1, 4, low), true},
		{"still present one before", notification(notify.PurposeStillPresent, 1, 9, low), notification(notify.PurposeStillPresent, 1, 4, low), true},
		{"still present a report", notification(notify.PurposeStillPresent, 1, 9, low), published, false},
		{"a question one before", about("q2", notification(notify.PurposeQuestion, 1, 9, low)), about("q1", notification(notify.PurposeQuestion, 1, 4, low)), false},
		{"a report anything", worst, published, false},
	} {
		if got := c.newer.Replaces(c.old); got != c.replaces {
			t.Errorf("%s: replaces %t, want %t", c.name, got, c.replaces)
		}
	}
}
