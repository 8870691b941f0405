package incident

import (
	"fmt"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Isolate requests that the client's EDR cut an endpoint off from the network.
type Isolate struct {
	Hostname string `json:"hostname"`
	Reason   string `json:"reason" text:"lines"`
}

// Name returns "isolate".
func (*Isolate) Name() string         { return "isolate" }
func (*Isolate) roles() []models.Role { return socRoles }

func (c *Isolate) validate(time.Time) error {
	if !hostName.MatchString(c.Hostname) {
		return models.InvalidField("/hostname", "is not one exact host name")
	}
	return models.CheckText("/reason", c.Reason, models.MaxText, true)
}

func (c *Isolate) events(i Incident, _ CommandContext) []EventData {
	id := fmt.Sprintf("e%d", len(i.Endpoints)+1)
	if p := i.endpointByHostname(c.Hostname); p != nil {
		id = p.ID
	}
	return []EventData{&IsolationRequested{Endpoint: id, Hostname: c.Hostname, Reason: c.Reason}}
}

// Release requests that an endpoint's isolation be lifted.
type Release struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason" text:"lines"`
	ForAll   string `json:"for_all,omitempty"` // the device's name, to release it also for the other incidents that want it isolated
}

// Name returns "release".
func (*Release) Name() string         { return "release" }
func (*Release) roles() []models.Role { return handlerRoles }

func (c *Release) validate(time.Time) error {
	return models.FirstError([]error{
		models.CheckText("/endpoint", c.Endpoint, 16, true), models.CheckText("/reason", c.Reason, models.MaxText, true),
		models.CheckText("/for_all", c.ForAll, models.MaxLine, false),
	})
}

func (c *Release) events(_ Incident, ask CommandContext) []EventData {
	return []EventData{&ReleaseRequested{Endpoint: c.Endpoint, Reason: c.Reason, Person: ask.Person, ForAll: c.ForAll}}
}

// KeepIsolated leaves an endpoint isolated after closure, on the client's explicit word.
type KeepIsolated struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason" text:"lines"`
}

// Name returns "keep-isolated".
func (*KeepIsolated) Name() string         { return "keep-isolated" }
func (*KeepIsolated) roles() []models.Role { return deciderRoles }
func (*KeepIsolated) closesRisk()          {}

func (c *KeepIsolated) validate(time.Time) error {
	return models.FirstError([]error{models.CheckText("/endpoint", c.Endpoint, 16, true), models.CheckText("/reason", c.Reason, models.MaxText, true)})
}

func (c *KeepIsolated) events(Incident, CommandContext) []EventData {
	return []EventData{&EndpointKept{Endpoint: c.Endpoint, Reason: c.Reason}}
}
