package incident

import (
	"slices"

	"github.com/watchfire-mdr/watchfire/models/notify"
)

// HasOutdated reports whether the reason of a notification is gone before it was sent: the client is reminded of
// nothing that is no longer theirs to do.
func (i Incident) HasOutdated(n notify.Notification) bool {
	switch n.Purpose {
	case notify.PurposeReminder:
		return i.Turn != TurnClient || i.IsOver()
	case notify.PurposeQuestion, notify.PurposeQuestionReminder:
		return i.IsOver() || !slices.ContainsFunc(i.Questions, func(q Question) bool {
			return q.IsOpen() && (n.Question == "" || q.ID == n.Question)
		})
	case notify.PurposeStillPresent:
		return i.IsOver()
	case notify.PurposeRisk:
		return !i.isAskedAboutRisks()
	case notify.PurposeApproval:
		return !slices.ContainsFunc(i.Endpoints, func(e Endpoint) bool { return e.Approval.IsAnswerable() })
	case notify.PurposeLease:
		return !slices.ContainsFunc(i.Endpoints, func(e Endpoint) bool { return !e.ReviewDue.IsZero() })
	}
	return false
}
