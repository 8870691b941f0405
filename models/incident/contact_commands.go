package incident

import (
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Acknowledge says that a person of the client has taken the incident in hand, and which revision they have read. A
// viewer only says the latter.
type Acknowledge struct {
	Revision int `json:"revision,omitempty"`
}

// Name returns "acknowledge".
func (*Acknowledge) Name() string         { return "acknowledge" }
func (*Acknowledge) roles() []models.Role { return clientRoles }

func (c *Acknowledge) validate(time.Time) error {
	if c.Revision < 0 {
		return models.InvalidField("/revision", "must not be negative")
	}
	return nil
}

func (c *Acknowledge) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&AcknowledgedBy{Channel: ask.Via, How: "acknowledged", Revision: c.Revision}}
}

// AcknowledgedWith returns the acknowledgement that a command is besides what it asks for, or nil: whatever a responder or
// admin sends shows that a human has the incident in hand.
func (i Incident) AcknowledgedWith(c Command, ask CommandContext) *AcknowledgedBy {
	_, is := c.(*Acknowledge)
	isDecider := slices.Contains(deciderRoles, ask.Actor.Role)
	if is || !isDecider || i.Acknowledged != nil || !i.IsPublished() || i.IsOver() {
		return nil
	}
	return &AcknowledgedBy{Channel: ask.Via, How: strings.ReplaceAll(c.Name(), "-", " ")}
}

// CompleteTask completes a task of the SOC. Completing a task about a vendor makes Watchfire try again. Completing one
// about a device that is gone from the EDR takes the device that has its name now, if there is one.
type CompleteTask struct {
	Task string `json:"task"`
}

// Name returns "complete-task".
func (*CompleteTask) Name() string { return "complete-task" }
func (*CompleteTask) roles() []models.Role {
	return []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator}
}
func (c *CompleteTask) validate(time.Time) error { return models.CheckText("/task", c.Task, 16, true) }
func (c *CompleteTask) events(i Incident, _ CommandContext) []EventData {
	all := []EventData{&TaskDone{ID: c.Task}}
	n := slices.IndexFunc(i.Tasks, func(t Task) bool { return t.ID == c.Task && t.Kind == TaskUnconfirmed })
	if n < 0 {
		return all
	}
	if p := i.Endpoint(i.Tasks[n].Effect); p != nil && p.Successor != "" {
		all = append(all, &DeviceSucceeded{Endpoint: p.ID, AgentID: p.Successor})
	}
	return all
}
