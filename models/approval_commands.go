package models

import "time"

// Approve is one person's word that an endpoint may be isolated or released.
type Approve struct {
	Approval string `json:"approval"`
}

// Name returns "approve".
func (*Approve) Name() string               { return "approve" }
func (*Approve) roles() []Role              { return deciderRoles }
func (c *Approve) validate(time.Time) error { return CheckText("/approval", c.Approval, 16, true) }
func (c *Approve) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&ApprovalGiven{Approval: c.Approval, Person: ask.Person, Via: ask.Via}}
}

// Deny is one person's word that an endpoint may not be isolated or released.
type Deny struct {
	Approval string `json:"approval"`
	Reason   string `json:"reason"`
}

// Name returns "deny".
func (*Deny) Name() string  { return "deny" }
func (*Deny) roles() []Role { return deciderRoles }

func (c *Deny) validate(time.Time) error {
	return FirstError([]error{CheckText("/approval", c.Approval, 16, true), CheckText("/reason", c.Reason, MaxText, true)})
}

func (c *Deny) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&ApprovalDenied{Approval: c.Approval, Person: ask.Person, Via: ask.Via, Reason: c.Reason}}
}

// ExtendIsolation is the client's word that an endpoint stays isolated for another while.
type ExtendIsolation struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// Name returns "extend-isolation".
func (*ExtendIsolation) Name() string  { return "extend-isolation" }
func (*ExtendIsolation) roles() []Role { return deciderRoles }

func (c *ExtendIsolation) validate(time.Time) error {
	return FirstError([]error{CheckText("/endpoint", c.Endpoint, 16, true), CheckText("/reason", c.Reason, MaxText, true)})
}

func (c *ExtendIsolation) events(Incident, CommandContext) []EventData {
	return []EventData{&LeaseExtended{Endpoint: c.Endpoint, Reason: c.Reason}}
}
