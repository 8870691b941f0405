package simulators

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// host is one agent. Its fields are guarded by crowdStrike.mu.
type host struct {
	id, cid, hostname string
	first             time.Time
	status            string
	changes           []hostChange
	commands          []hostCommand
	generation        int // counts commands, so that an overtaken one does not complete
}

type hostChange struct {
	Status string    `json:"status"`
	At     time.Time `json:"at"`
}

// hostCommand is a contain or lift that took effect: it was accepted and set a host in motion.
type hostCommand struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"`
	DeviceID string    `json:"device_id"`
	CID      string    `json:"cid"`
	Hostname string    `json:"hostname"`
}

// The states of a host.
const (
	stateNormal      = "normal"
	stateContaining  = "containment_pending"
	stateContained   = "contained"
	stateLifting     = "lift_containment_pending"
	sensorTime       = 2 * time.Second // an online sensor's reaction
	actionContain    = "contain"
	actionLift       = "lift_containment"
	maxHostnameBytes = 255
)

// known returns the agents of a hostname, which come into being when first asked for.
// The name must be written as it was first written: "PC-1" is not found as "pc-1".
func (f *crowdStrike) known(cid, hostname string) []*host {
	persona := f.personas.current(hostname)
	if persona == "missing" || hostname == "" || len(hostname) > maxHostnameBytes {
		return nil
	}
	agents := []string{hexOf(cid + hostname)}
	if persona == "duplicate" {
		agents = append(agents, hexOf(cid+hostname+"#2"))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		if h.cid == cid && strings.EqualFold(h.hostname, hostname) && h.hostname != hostname {
			return nil
		}
	}
	var out []*host
	for _, id := range agents {
		h := f.byID[id]
		if h == nil {
			h = &host{id: id, cid: cid, hostname: hostname, first: f.now().UTC()}
			f.byID[id] = h
			f.hosts = append(f.hosts, h)
			h.become(initialState(persona), h.first)
		}
		out = append(out, h)
	}
	return out
}

func initialState(persona string) string {
	if persona == "already_contained" {
		return stateContained
	}
	return stateNormal
}

func (h *host) become(status string, at time.Time) {
	h.status = status
	h.changes = append(h.changes, hostChange{Status: status, At: at.UTC()})
}

// personasChanged lets hosts that came online carry out what they were told meanwhile.
func (f *crowdStrike) personasChanged(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		for _, name := range names {
			if !strings.EqualFold(h.hostname, name) {
				continue
			}
			if f.personas.current(name) == "already_contained" && h.status == stateNormal {
				h.become(stateContained, f.now())
			}
			f.settleSoon(h)
		}
	}
}

// command sets a host in motion. The refusal is nil when it took effect.
func (f *crowdStrike) command(id, cid, action string) *apiError {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.byID[id]
	if h == nil || h.cid != cid {
		return &apiError{Code: 404, Message: "no host with this id", ID: id}
	}
	switch f.personas.current(h.hostname) {
	case "protected":
		return &apiError{Code: 403, Message: "the host is protected from this action", ID: id}
	case "errors_in_202":
		return &apiError{Code: 500, Message: "the action could not be queued", ID: id}
	}
	pending, done := stateContaining, stateContained
	if action == actionLift {
		pending, done = stateLifting, stateNormal
	}
	if h.status == pending || h.status == done {
		return &apiError{Code: 409, Message: fmt.Sprintf("the host is already in state %s", h.status), ID: id}
	}
	now := f.now().UTC()
	h.become(pending, now)
	c := hostCommand{At: now, Action: action, DeviceID: id, CID: cid, Hostname: h.hostname}
	h.commands, f.commands = append(h.commands, c), append(f.commands, c)
	f.settleSoon(h)
	return nil
}

// settleSoon lets an online sensor complete what is pending, unless another command
// comes first. It holds f.mu.
func (f *crowdStrike) settleSoon(h *host) {
	h.generation++
	generation := h.generation
	f.play(func(ctx context.Context) {
		if !f.wait(ctx, sensorTime) {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if h.generation != generation || !f.online(h) {
			return
		}
		switch h.status {
		case stateContaining:
			h.become(stateContained, f.now())
		case stateLifting:
			h.become(stateNormal, f.now())
		}
	})
}

func (f *crowdStrike) online(h *host) bool {
	return f.personas.current(h.hostname) != "offline"
}

// hostEffect is one known host and everything that happened to it.
type hostEffect struct {
	DeviceID string        `json:"device_id"`
	CID      string        `json:"cid"`
	Hostname string        `json:"hostname"`
	Persona  string        `json:"persona"`
	Status   string        `json:"status"`
	Changes  []hostChange  `json:"changes"`
	Commands []hostCommand `json:"commands"`
}

// effects lists the hosts with their changes of state, and the commands that took effect.
func (f *crowdStrike) effects() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	hosts := []hostEffect{}
	for _, h := range f.hosts {
		hosts = append(hosts, hostEffect{
			DeviceID: h.id, CID: h.cid, Hostname: h.hostname, Persona: f.personas.current(h.hostname), Status: h.status,
			Changes: append([]hostChange{}, h.changes...), Commands: append([]hostCommand{}, h.commands...),
		})
	}
	return map[string]any{"hosts": hosts, "commands": append([]hostCommand{}, f.commands...),
		"violations": f.violations.all()}
}
