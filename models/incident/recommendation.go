package incident

import (
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Settlement says how the client settled a recommendation.
type Settlement string

// The settlements.
const (
	Mitigated     Settlement = "mitigated"
	RiskAccepted  Settlement = "risk_accepted"
	NotApplicable Settlement = "not_applicable"
)

// MaxRiskAcceptance is how long a risk may be accepted before the question returns.
const MaxRiskAcceptance = 365 * 24 * time.Hour

// Recommendation is advice to the client.
type Recommendation struct {
	ID        string        `json:"id"` // "r1", "r2", … within the incident
	Text      string        `json:"text"`
	At        time.Time     `json:"at"`
	Seq       int           `json:"seq,omitzero"`      // of the event
	Outcome   Settlement    `json:"outcome,omitempty"` // "" until settled
	Evidence  string        `json:"evidence,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"` // of an accepted risk
	SettledBy *models.Actor `json:"settled_by,omitempty"`
	SettledAt time.Time     `json:"settled_at,omitzero"`
	Review    *Review       `json:"review,omitempty"` // the time of the accepted risk is over
}
