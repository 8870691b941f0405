package incident

import (
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Revision is one immutable, numbered revision of an incident's report: a later finding makes a new revision.
type Revision struct {
	Incident        models.Reference            `json:"incident"`
	Number          int                         `json:"number"` // from 1
	Severity        models.Severity             `json:"severity"`
	Expedited       bool                        `json:"expedited"`
	Assessment      Assessment                  `json:"assessment"`
	Recommendations []Recommendation            `json:"recommendations"`
	ResponseTeam    *ResponseTeamRecommendation `json:"response_team,omitempty"`
	Change          string                      `json:"change,omitempty"` // the news since the revision before
	PublishedAt     time.Time                   `json:"published_at"`
	PublishedBy     models.Actor                `json:"published_by"`
}

// NewRevision makes the revision that event e publishes, from the incident as it is after e.
func NewRevision(i Incident, e Event) Revision {
	r := Revision{
		Incident: i.Reference, Number: i.Revision, Severity: i.Severity, Expedited: i.Expedited,
		Assessment: i.Assessment, Recommendations: i.Recommendations, ResponseTeam: i.ResponseTeam,
		PublishedAt: e.At, PublishedBy: e.Actor,
	}
	if d, ok := e.Data.(*Revised); ok {
		r.Change = d.Change
	}
	return r
}
