package models

import (
	"fmt"
	"time"
)

// Isolate asks for an endpoint to be cut off from the network through the client's EDR.
type Isolate struct {
	Hostname string `json:"hostname"`
	Reason   string `json:"reason"`
}

// Name returns "isolate".
func (*Isolate) Name() string  { return "isolate" }
func (*Isolate) roles() []Role { return soc }

func (c *Isolate) validate(time.Time) error {
	if !hostName.MatchString(c.Hostname) {
		return InvalidField("/hostname", "is not one exact host name")
	}
	return text("/reason", c.Reason, maxText, true)
}

func (c *Isolate) events(i Incident, _ Ask) []EventData {
	id := fmt.Sprintf("e%d", len(i.Endpoints)+1)
	if p := i.endpointByHostname(c.Hostname); p != nil {
		id = p.ID
	}
	return []EventData{&IsolationRequested{Endpoint: id, Hostname: c.Hostname, Reason: c.Reason}}
}

// Release asks for an endpoint's isolation to be lifted.
type Release struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// Name returns "release".
func (*Release) Name() string  { return "release" }
func (*Release) roles() []Role { return both }

func (c *Release) validate(time.Time) error {
	return first([]error{text("/endpoint", c.Endpoint, 16, true), text("/reason", c.Reason, maxText, true)})
}

func (c *Release) events(_ Incident, ask Ask) []EventData {
	return []EventData{&ReleaseRequested{Endpoint: c.Endpoint, Reason: c.Reason, Person: ask.Person}}
}

// Keep is the client's explicit word to leave an endpoint isolated after closure.
type Keep struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// Name returns "keep".
func (*Keep) Name() string  { return "keep" }
func (*Keep) roles() []Role { return decider }

func (c *Keep) validate(time.Time) error {
	return first([]error{text("/endpoint", c.Endpoint, 16, true), text("/reason", c.Reason, maxText, true)})
}

func (c *Keep) events(Incident, Ask) []EventData {
	return []EventData{&EndpointKept{Endpoint: c.Endpoint, Reason: c.Reason}}
}
