package models_test

import (
	"testing"

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
		{models.PurposePresent, "", false, false, false, true, true},
		{models.PurposeClosed, "", false, false, false, false, false},
	} {
		n := models.Notice{Purpose: c.purpose, Question: c.question}
		got := [5]bool{n.Over(client), n.Over(soc), n.Over(answered), n.Over(closed), n.Over(dismissed)}
		if want := [5]bool{c.client, c.soc, c.answered, c.closed, c.dismissed}; got != want {
			t.Errorf("%s %s: over %v, want %v (turn client, turn soc, answered, closed, dismissed)", c.purpose, c.question, got, want)
		}
	}
}
