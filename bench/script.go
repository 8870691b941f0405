package bench

import (
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// step is a command of one person.
type step struct {
	by      stack.Person
	command incident.Command
}

// script returns the commands of an incident's whole life after its opening, in order.
func (p people) script(n int) []step {
	return []step{
		{p.analyst, assessment(n)},
		{p.analyst, &incident.Recommend{Text: "Reset the account's password and end its other sessions."}},
		{p.analyst, &incident.Publish{}},
		{p.responder, &incident.Acknowledge{Revision: 1}},
		{p.responder, &incident.Comment{Text: "The user is travelling and has confirmed one of the two sign-ins."}},
		{p.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Password reset, sessions ended."}},
		{p.analyst, &incident.Verify{Gone: true, Note: "No sign-in from that address since."}},
		{p.admin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Resolved."}},
		{p.admin, &incident.GiveFeedback{Rating: 5, Comment: "Quick and clear."}},
	}
}
