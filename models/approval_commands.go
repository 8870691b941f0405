package models

import "time"

// Approve is one person's word that an endpoint may be isolated or released.
type Approve struct {
	Approval string `json:"approval"`
}

// Name returns "approve".
func (*Approve) Name() string               { return "approve" }
func (*Approve) roles() []Role              { return decider }
func (c *Approve) validate(time.Time) error { return text("/approval", c.Approval, 16, true) }
func (c *Approve) events(_ Incident, ask Ask) []EventData {
	return []EventData{&ApprovalGiven{Approval: c.Approval, Person: ask.Person, Via: ask.Via}}
}

// Refuse is one person's word that an endpoint may not be isolated or released.
type Refuse struct {
	Approval string `json:"approval"`
	Reason   string `json:"reason"`
}

// Name returns "refuse".
func (*Refuse) Name() string  { return "refuse" }
func (*Refuse) roles() []Role { return decider }

func (c *Refuse) validate(time.Time) error {
	return first([]error{text("/approval", c.Approval, 16, true), text("/reason", c.Reason, maxText, true)})
}

func (c *Refuse) events(_ Incident, ask Ask) []EventData {
	return []EventData{&ApprovalRefused{Approval: c.Approval, Person: ask.Person, Via: ask.Via, Reason: c.Reason}}
}

// Extend is the client's word that an endpoint stays isolated for another while.
type Extend struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// Name returns "extend".
func (*Extend) Name() string  { return "extend" }
func (*Extend) roles() []Role { return decider }

func (c *Extend) validate(time.Time) error {
	return first([]error{text("/endpoint", c.Endpoint, 16, true), text("/reason", c.Reason, maxText, true)})
}

func (c *Extend) events(Incident, Ask) []EventData {
	return []EventData{&LeaseExtended{Endpoint: c.Endpoint, Reason: c.Reason}}
}
