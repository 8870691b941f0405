package incident

import (
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Approve gives one person's consent to isolate or release an endpoint.
type Approve struct {
	Approval string `json:"approval"`
}

// Name returns "approve".
func (*Approve) Name() string         { return "approve" }
func (*Approve) roles() []models.Role { return deciderRoles }
func (*Approve) closesRisk()          {}
func (c *Approve) validate(time.Time) error {
	return models.CheckText("/approval", c.Approval, 16, true)
}
func (c *Approve) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&ApprovalGiven{Approval: c.Approval, Person: ask.Person, Via: ask.Via, Voided: ask.Voided}}
}

// Deny denies one person's consent to isolate or release an endpoint.
type Deny struct {
	Approval string `json:"approval"`
	Reason   string `json:"reason" text:"lines"`
}

// Name returns "deny".
func (*Deny) Name() string         { return "deny" }
func (*Deny) roles() []models.Role { return deciderRoles }
func (*Deny) closesRisk()          {}

func (c *Deny) validate(time.Time) error {
	return models.FirstError([]error{models.CheckText("/approval", c.Approval, 16, true), models.CheckText("/reason", c.Reason, models.MaxText, true)})
}

func (c *Deny) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&ApprovalDenied{Approval: c.Approval, Person: ask.Person, Via: ask.Via, Reason: c.Reason}}
}

// ExtendIsolation keeps an endpoint isolated for another lease, on the client's word. The SOC may send it about a
// device that is kept at closure.
type ExtendIsolation struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason" text:"lines"`
}

// Name returns "extend-isolation".
func (*ExtendIsolation) Name() string         { return "extend-isolation" }
func (*ExtendIsolation) roles() []models.Role { return handlerRoles }
func (*ExtendIsolation) closesRisk()          {}

func (c *ExtendIsolation) validate(time.Time) error {
	return models.FirstError([]error{models.CheckText("/endpoint", c.Endpoint, 16, true), models.CheckText("/reason", c.Reason, models.MaxText, true)})
}

func (c *ExtendIsolation) events(Incident, CommandContext) []EventData {
	return []EventData{&LeaseExtended{Endpoint: c.Endpoint, Reason: c.Reason}}
}
