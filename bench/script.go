package bench

import (
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
)

// step is one person's command.
type step struct {
	by      stack.Person
	command models.Command
}

// script is an incident's whole life, as both sides work on it after it was opened.
func (p people) script(n int) []step {
	return []step{
		{p.analyst, assessment(n)},
		{p.analyst, &models.Recommend{Text: "Reset the account's password and end its other sessions."}},
		{p.analyst, &models.Publish{}},
		{p.responder, &models.Acknowledge{Revision: 1}},
		{p.responder, &models.Comment{Text: "The user is travelling and has confirmed one of the two sign-ins."}},
		{p.responder, &models.SettleRecommendation{Recommendation: "r1", Outcome: models.Mitigated, Evidence: "Password reset, sessions ended."}},
		{p.analyst, &models.Verify{Gone: true, Note: "No sign-in from that address since."}},
		{p.admin, &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "Resolved."}},
		{p.admin, &models.GiveFeedback{Rating: 5, Comment: "Quick and clear."}},
	}
}
