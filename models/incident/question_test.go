package incident_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

// reminders asks for each reminder at once when it is due, and returns how long after the question they came.
func reminders(q incident.Question) (offsets []time.Duration) {
	for at, n, due := q.NextReminder(); due; at, n, due = q.NextReminder() {
		offsets = append(offsets, at.Sub(q.AskedAt))
		q.Reminders, q.RemindedAt = n, at
	}
	return offsets
}

func TestSixRemindersOfAQuestionBackOff(t *testing.T) {
	const twentyHours = "19m2.857142857s 57m8.571428571s 2h13m20s 4h45m42.857142857s 9h50m28.571428571s 20h"
	for _, c := range []struct {
		deadline time.Duration
		want     string
	}{
		{90 * 24 * time.Hour, twentyHours},
		{48 * time.Hour, twentyHours},
		{20 * time.Hour, twentyHours},
		{10*time.Hour + 30*time.Minute, "10m 30m 70m 150m 310m 630m"},
		{63 * time.Minute, "1m 3m 7m 15m 31m 63m"},
	} {
		q := incident.Question{ID: "q1", AskedAt: modelstest.T0, Deadline: modelstest.T0.Add(c.deadline)}
		if got, want := reminders(q), spans(t, c.want); !slices.Equal(got, want) {
			t.Errorf("answer wanted within %s: reminders after %v, want %v", c.deadline, got, want)
		}
	}
}

func TestRemindersThatWereHeldBackAreSkipped(t *testing.T) {
	q := incident.Question{ID: "q1", AskedAt: modelstest.T0, Deadline: modelstest.T0.Add(63 * time.Minute)}
	for _, c := range []struct {
		name       string
		sent       int
		remindedAt time.Duration
		number     int // 0 for none
		after      time.Duration
	}{
		{"on time", 1, time.Minute, 2, 3 * time.Minute},
		{"just before the second", 1, 3*time.Minute - 1, 2, 3 * time.Minute},
		{"as the second was due", 1, 3 * time.Minute, 3, 7 * time.Minute},
		{"after the fourth was due", 1, 20 * time.Minute, 5, 31 * time.Minute},
		{"after all were due", 1, 12 * time.Hour, 0, 0},
		{"all were sent", 6, 63 * time.Minute, 0, 0},
	} {
		q.Reminders, q.RemindedAt = c.sent, modelstest.T0.Add(c.remindedAt)
		at, n, due := q.NextReminder()
		if due != (c.number > 0) || n != c.number || due && !at.Equal(modelstest.T0.Add(c.after)) {
			t.Errorf("%s: reminder %d at %s, %t; want %d after %s", c.name, n, at, due, c.number, c.after)
		}
		q.Answer = "yes"
		if _, _, due := q.NextReminder(); due {
			t.Errorf("%s: a reminder is due after the answer", c.name)
		}
		q.Answer = ""
	}
}

func TestRemindersNeverComeTwiceOrLateByTheirOwnTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		deadline := time.Duration(rapid.Int64Range(int64(time.Second), int64(90*24*time.Hour)).Draw(t, "deadline"))
		q := incident.Question{ID: "q1", AskedAt: modelstest.T0, Deadline: modelstest.T0.Add(deadline)}
		if got := reminders(q); len(got) != 6 || got[5] != min(deadline, 20*time.Hour) {
			t.Fatalf("without business hours: %v", got)
		}
		for at, n, due := q.NextReminder(); due; at, n, due = q.NextReminder() {
			if n <= q.Reminders || n > 6 || !at.After(q.RemindedAt) || at.After(q.Deadline) || at.Sub(q.AskedAt) > 20*time.Hour {
				t.Fatalf("reminder %d at %s after reminder %d at %s", n, at, q.Reminders, q.RemindedAt)
			}
			held := time.Duration(rapid.Int64Range(0, int64(20*time.Hour)).Draw(t, "held back"))
			q.Reminders, q.RemindedAt = n, at.Add(held)
		}
	})
}

func question(answers ...string) *incident.AskQuestion {
	return &incident.AskQuestion{Text: "Was this sign-in you?", Answers: answers, Deadline: modelstest.T0.Add(48 * time.Hour)}
}

// in returns an incident in a phase, with an open question in all phases that can have one.
func in(t *testing.T, p incident.Phase) incident.Incident {
	i := opened(t, models.SeverityHigh)
	if p == incident.PhaseDismissed {
		mustGive(t, &i, &incident.Dismiss{Reason: "a test machine"}, models.RoleAnalyst)
	}
	if p == incident.PhaseInvestigating || p == incident.PhaseDismissed {
		return i
	}
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	mustGive(t, &i, question("yes", "no"), models.RoleAnalyst)
	if p != incident.PhasePublished {
		mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleAdmin)
	}
	if p == incident.PhaseClosed {
		mustGive(t, &i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
	}
	if i.Phase != p {
		t.Fatalf("phase %s, want %s", i.Phase, p)
	}
	return i
}

func TestQuestionsAreAskedAndAnsweredByTheRightSideAtTheRightTime(t *testing.T) {
	answer := &incident.AnswerQuestion{Question: "q1", Answer: "yes"}
	roles := []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleViewer, models.RoleResponder, models.RoleAdmin}
	for phase, open := range map[incident.Phase]bool{
		incident.PhaseInvestigating: false, incident.PhasePublished: true, incident.PhaseClosureRequested: true, incident.PhaseClosed: false, incident.PhaseDismissed: false,
	} {
		i := in(t, phase)
		for _, role := range roles {
			for _, c := range []struct {
				command incident.Command
				may     []models.Role
			}{
				{question("yes", "no"), []models.Role{models.RoleAnalyst, models.RoleLead}},
				{answer, []models.Role{models.RoleResponder, models.RoleAdmin}},
			} {
				want := models.Kind("")
				if !open {
					want = models.Conflict
				}
				if !slices.Contains(c.may, role) {
					want = models.Forbidden
				}
				if err := i.Can(c.command, ask(role), modelstest.T0); models.KindOf(err) != want || (err == nil) != (want == "") {
					t.Errorf("%s: %s may %s: %v, want %q", phase, role, c.command.Name(), err, want)
				}
			}
		}
	}
}

func TestBadQuestionsAreRejectedWhereTheyAreWrong(t *testing.T) {
	i := in(t, incident.PhasePublished)
	later := modelstest.T0.Add(time.Hour)
	for name, c := range map[string]struct {
		command incident.Command
		role    models.Role
		pointer string // "" when it is right
	}{
		"no text":                  {&incident.AskQuestion{Text: " ", Deadline: later}, models.RoleLead, "/text"},
		"a long text":              {&incident.AskQuestion{Text: strings.Repeat("a", 16<<10+1), Deadline: later}, models.RoleLead, "/text"},
		"eleven answers":           {&incident.AskQuestion{Text: "?", Answers: strings.Split("abcdefghijk", ""), Deadline: later}, models.RoleLead, "/answers"},
		"ten answers":              {&incident.AskQuestion{Text: "?", Answers: strings.Split("abcdefghij", ""), Deadline: later}, models.RoleLead, ""},
		"an empty answer":          {&incident.AskQuestion{Text: "?", Answers: []string{"yes", ""}, Deadline: later}, models.RoleLead, "/answers/1"},
		"a long answer":            {&incident.AskQuestion{Text: "?", Answers: []string{strings.Repeat("a", 501)}, Deadline: later}, models.RoleLead, "/answers/0"},
		"no deadline":              {&incident.AskQuestion{Text: "?"}, models.RoleLead, "/deadline"},
		"a deadline now":           {&incident.AskQuestion{Text: "?", Deadline: modelstest.T0}, models.RoleLead, "/deadline"},
		"the shortest deadline":    {&incident.AskQuestion{Text: "?", Deadline: modelstest.T0.Add(1)}, models.RoleLead, ""},
		"the longest deadline":     {&incident.AskQuestion{Text: "?", Deadline: modelstest.T0.Add(90 * 24 * time.Hour)}, models.RoleLead, ""},
		"a longer deadline":        {&incident.AskQuestion{Text: "?", Deadline: modelstest.T0.Add(90*24*time.Hour + 1)}, models.RoleLead, "/deadline"},
		"an answer to nothing":     {&incident.AnswerQuestion{Answer: "yes"}, models.RoleAdmin, "/question"},
		"no answer":                {&incident.AnswerQuestion{Question: "q1", Answer: "\n"}, models.RoleAdmin, "/answer"},
		"an answer of its own":     {&incident.AnswerQuestion{Question: "q1", Answer: "perhaps"}, models.RoleAdmin, "/answer"},
		"an allowed answer":        {&incident.AnswerQuestion{Question: "q1", Answer: "no"}, models.RoleAdmin, ""},
		"an answer in other words": {&incident.AnswerQuestion{Question: "q1", Answer: "Yes"}, models.RoleAdmin, "/answer"},
	} {
		var e *models.Error
		err := i.Can(c.command, ask(c.role), modelstest.T0)
		switch {
		case c.pointer == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.pointer != "" && (!errors.As(err, &e) || e.Kind != models.Invalid || e.Field != c.pointer):
			t.Errorf("%s: %v, want a pointer to %s", name, err, c.pointer)
		}
	}
}

func TestQuestionsHandTheTurnOver(t *testing.T) {
	i := in(t, incident.PhasePublished) // q1 is asked
	mustGive(t, &i, &incident.Comment{Text: "who asks?"}, models.RoleAdmin)
	berlin := modelstest.Zone(t, "Europe/Berlin")
	later := modelstest.T0.Add(time.Hour)
	if _, err := give(&i, &incident.AskQuestion{Text: "Which VPN?", Deadline: later.Add(time.Hour).In(berlin)}, ask(models.RoleLead), later); err != nil {
		t.Fatal(err)
	}
	if q := i.Questions[1]; q.ID != "q2" || !q.AskedAt.Equal(later) || q.Deadline != later.Add(time.Hour) || !q.IsOpen() || q.Answers == nil {
		t.Fatalf("asked %+v", q)
	}
	if i.Turn != incident.TurnClient || !i.TurnSince.Equal(later) {
		t.Fatalf("asked: turn %s since %s", i.Turn, i.TurnSince)
	}
	before := i
	mustGive(t, &i, &incident.AnswerQuestion{Question: "q2", Answer: "the old one, from home"}, models.RoleResponder)
	if q := i.Questions[1]; q.Answer != "the old one, from home" || q.AnsweredBy.ID != "user-responder" || !q.AnsweredAt.Equal(modelstest.T0) {
		t.Fatalf("answered %+v", q)
	}
	if before.Questions[1].Answer != "" {
		t.Fatal("an answer changed the incident as it was before")
	}
	if i.Turn != incident.TurnClient {
		t.Fatalf("turn %s although q1 is open", i.Turn)
	}
	mustGive(t, &i, &incident.AnswerQuestion{Question: "q1", Answer: "no"}, models.RoleAdmin)
	if i.Turn != incident.TurnSOC {
		t.Fatalf("turn %s although all is answered", i.Turn)
	}
	for _, id := range []string{"q1", "q3"} {
		if err := i.Can(&incident.AnswerQuestion{Question: id, Answer: "no"}, ask(models.RoleAdmin), modelstest.T0); models.KindOf(err) != models.Conflict {
			t.Errorf("an answer to %s: %v", id, err)
		}
	}
	mustGive(t, &i, question(), models.RoleAnalyst)
	if id := i.Questions[2].ID; id != "q3" {
		t.Errorf("the third question is %s", id)
	}
}

func TestOnlyTheSystemRemindsAndAQuestionOverdueCanBeAnswered(t *testing.T) {
	i := in(t, incident.PhasePublished)
	apply := func(by models.Actor, d incident.EventData) error {
		return i.Apply(incident.NewEvent(i, modelstest.T0.Add(time.Hour), by, d))
	}
	for _, d := range []incident.EventData{&incident.QuestionReminded{Question: "q1", Number: 3}, &incident.QuestionOverdue{Question: "q1"}} {
		for _, role := range []models.Role{models.RoleLead, models.RoleAdmin} {
			if err := apply(ask(role).Actor, d); models.KindOf(err) != models.Forbidden {
				t.Errorf("%s by a %s: %v", d.Type(), role, err)
			}
		}
		if err := apply(models.System(), d); err != nil {
			t.Fatal(err)
		}
	}
	q := i.Questions[0]
	if q.Reminders != 3 || !q.RemindedAt.Equal(modelstest.T0.Add(time.Hour)) || !q.Overdue || !q.IsOpen() || i.Turn != incident.TurnClient {
		t.Fatalf("question %+v, turn %s", q, i.Turn)
	}
	mustGive(t, &i, &incident.AnswerQuestion{Question: "q1", Answer: "no"}, models.RoleAdmin)
	for _, d := range []incident.EventData{&incident.QuestionReminded{Question: "q1", Number: 4}, &incident.QuestionOverdue{Question: "q1"}, &incident.QuestionOverdue{Question: "q2"}} {
		if err := apply(models.System(), d); models.KindOf(err) != models.Conflict {
			t.Errorf("%s of a question that is not open: %v", d.Type(), err)
		}
	}
}

func spans(t *testing.T, words string) (out []time.Duration) {
	for _, w := range strings.Fields(words) {
		d, err := time.ParseDuration(w)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}
