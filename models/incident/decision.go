package incident

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/watchfire-mdr/watchfire/models"
)

// Fingerprint returns a hash of a command's name and canonical body, to tell a repeat from another request.
func Fingerprint(name string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(name)) // never fails
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// IsDecision reports whether a command of a side speaks for the client, so that the client's own row in the database
// must back it.
func IsDecision(by models.Side) bool { return by == models.SideClient }

// ClosesRisk reports whether a command closes a risk when the client sends it. In runs from before every word of the
// client was backed, these were.
func ClosesRisk(c Command) bool {
	_, is := c.(interface{ closesRisk() })
	return is
}

// Answers returns the Seq of the event that a command of the client answers, 0 for none in particular. A decision that
// was made before that event was made about something else. Only what the SOC or the system did is answered: the store
// may not have yet what the client itself did a moment ago.
func Answers(c Command, i Incident) int {
	if a, is := c.(interface{ answers(Incident) int }); is {
		return a.answers(i)
	}
	return 0
}

// AgreedBefore returns who has agreed already to what a command approves, nil for every other command.
func AgreedBefore(c Command, i Incident) []models.Actor {
	approve, is := c.(*Approve)
	if !is {
		return nil
	}
	p, err := i.openApproval(approve.Approval)
	if err != nil { // the command will be rejected for it
		return nil
	}
	return p.Approval.Givers()
}

// Givers returns who has agreed, nil for no approval.
func (a *Approval) Givers() (all []models.Actor) {
	if a == nil {
		return nil
	}
	for _, c := range a.Given {
		all = append(all, c.By)
	}
	return all
}

// CountsAsOne is why somebody's consent is no second one.
func CountsAsOne() error {
	return models.Errorf(models.Conflict, "you and whoever approved before count as one person, because one of you invited the other, "+
		"or one user invited both; somebody whom the provider invited, or a contact, must approve, too")
}

func (c *Acknowledge) answers(i Incident) int    { return i.AlarmSeq }
func (c *RequestClosure) answers(i Incident) int { return i.ReportSeq }
func (c *Approve) answers(i Incident) int        { return approvalSeq(i, c.Approval) }
func (c *Deny) answers(i Incident) int           { return approvalSeq(i, c.Approval) }
func (c *KeepIsolated) answers(i Incident) int   { return isolateSeq(i, c.Endpoint) }
func (c *Release) answers(i Incident) int        { return isolateSeq(i, c.Endpoint) }

// A confirmation is about the SOC's word that the threat is still present, and the report as it was then.
func (c *ConfirmClosure) answers(i Incident) int {
	if v := i.Verification; v != nil && !v.Gone {
		return max(i.ReportSeq, v.Seq)
	}
	return i.ReportSeq
}

func (c *ExtendIsolation) answers(i Incident) int {
	if p := i.Endpoint(c.Endpoint); p != nil {
		return p.LeaseSeq
	}
	return 0
}

func (c *AnswerQuestion) answers(i Incident) int {
	for _, q := range i.Questions {
		if q.ID == c.Question {
			return q.Seq
		}
	}
	return 0
}

func (c *SettleRecommendation) answers(i Incident) int {
	for _, r := range i.Recommendations {
		if r.ID == c.Recommendation {
			return max(r.Seq, r.Review.seq())
		}
	}
	return 0
}

func (c *SettleRisk) answers(i Incident) int {
	if i.Closure == nil {
		return 0
	}
	return i.Closure.Review.seq()
}

// seq returns the Seq of the event that asked first, 0 for no review.
func (r *Review) seq() int {
	if r == nil {
		return 0
	}
	return r.Seq
}

func approvalSeq(i Incident, approval string) int {
	if p := i.EndpointOfApproval(approval); p != nil {
		return p.Approval.AskedSeq
	}
	return 0
}

func isolateSeq(i Incident, endpoint string) int {
	if p := i.Endpoint(endpoint); p != nil {
		return p.IsolateSeq
	}
	return 0
}
