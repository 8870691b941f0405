package edr

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The states of a device and of an order, and what can be ordered.
const (
	hostNormal    = "normal"
	hostIsolating = "isolating"
	hostIsolated  = "isolated"
	hostReleasing = "releasing"

	orderIsolate = "isolate"
	orderRelease = "release"

	actionPending   = "pending"
	actionSucceeded = "succeeded"
	actionFailed    = "failed"

	refusedUnknown   = "unknown"   // the tenant has no such device
	refusedProtected = "protected" // nobody may isolate it
	refusedAlready   = "already"   // it is so already, or on its way
)

const (
	sensorTime       = 2 * time.Second  // an online sensor's reaction
	slowSensorTime   = 30 * time.Second // that of the persona "slow"
	maxHostnameBytes = 255
)

// fleet is the devices of one simulated EDR, per tenant, which come into being when first asked
// for by name. What it hands out are pictures of the moment, safe to read at any time.
type fleet struct {
	stage    *stage.Stage
	personas *stage.Personas

	// How the vendor writes its ids; set before the first request.
	hostForm   func(hex32 string) string // nil leaves 32 hex digits
	actionForm func(n int) string        // of the nth order, from 1; nil makes 32 hex digits
	exactNames bool                      // "PC-1" is not found as "pc-1"

	mu       sync.Mutex
	hosts    []*fleetHost // in the order they became known
	byKey    map[hostKey]*fleetHost
	actions  []*fleetAction
	commands []fleetCommand
}

type hostKey struct{ tenant, id string }

// fleetHost is one agent.
type fleetHost struct {
	id, tenant, hostname, persona string
	state                         string
	class                         string // workstation, server, domain_controller
	tags                          []string
	first, lastSeen               time.Time

	current *fleetAction   // what is under way, nil when nothing is
	waiting []*fleetAction // duplicates that were taken with force, the oldest first
	changes []fleetChange
	orders  []fleetOrder
	settles int // counts changes of course, so that an overtaken one does not complete
}

// fleetAction is one order that was taken.
type fleetAction struct {
	n                int // the nth of the fleet, from 1
	id, tenant, host string
	what             string // isolate, release
	state            string // pending, succeeded, failed
	cancelled        bool   // failed because it was cancelled or overtaken
	at, updated      time.Time
}

// fleetChange is one change of a device's state.
type fleetChange struct {
	State string    `json:"state"`
	At    time.Time `json:"at"`
}

// fleetOrder is one order a device was given; an effective one set it in motion.
type fleetOrder struct {
	At        time.Time `json:"at"`
	Action    string    `json:"action"`
	Effective bool      `json:"effective"`
}

// fleetCommand is an order that took effect.
type fleetCommand struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"`
	DeviceID string    `json:"device_id"`
	Tenant   string    `json:"tenant"`
	Hostname string    `json:"hostname"`
}

// fleetPersonas are the personas every simulated EDR knows, by host name, and the vendor's own.
func fleetPersonas(own ...string) *stage.Personas {
	return stage.NewPersonas(strings.ToLower, append([]string{"online", "offline", "missing", "duplicate", "protected",
		"already_isolated", "slow", "fails", "server", "domain_controller", "tagged"}, own...)...)
}

func newFleet(s *stage.Stage, p *stage.Personas) *fleet {
	return &fleet{stage: s, personas: p, byKey: map[hostKey]*fleetHost{}}
}

// online reports whether the sensor was connected when the picture was taken.
func (h *fleetHost) online() bool { return h.persona != "offline" }

// settled is the state the device is in for all that its sensor knows: without what it is on its way to.
func (h *fleetHost) settled() string {
	for _, c := range slices.Backward(h.changes) {
		if c.State == hostNormal || c.State == hostIsolated {
			return c.State
		}
	}
	return hostNormal
}

// named returns the agents of a host name: none for "missing", two for "duplicate".
func (f *fleet) named(tenant, hostname string) []*fleetHost {
	persona := f.personas.Current(hostname)
	if persona == "missing" || hostname == "" || len(hostname) > maxHostnameBytes {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		if h.tenant != tenant || !strings.EqualFold(h.hostname, hostname) || h.hostname == hostname {
			continue
		}
		if f.exactNames {
			return nil
		}
		hostname = h.hostname // as it was first written
		break
	}
	seeds := []string{tenant + hostname}
	if persona == "duplicate" {
		seeds = append(seeds, tenant+hostname+"#2")
	}
	var out []*fleetHost
	for _, seed := range seeds {
		id := stage.HashHex(seed)
		if f.hostForm != nil {
			id = f.hostForm(id)
		}
		h := f.byKey[hostKey{tenant, id}]
		if h == nil {
			h = &fleetHost{id: id, tenant: tenant, hostname: hostname, first: f.stage.Now().UTC()}
			f.hosts, f.byKey[hostKey{tenant, id}] = append(f.hosts, h), h
			h.become(initialState(persona), h.first)
		}
		out = append(out, f.picture(h))
	}
	return out
}

// byID returns a device that became known, nil when the tenant has none with this id.
func (f *fleet) byID(tenant, id string) *fleetHost {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.byKey[hostKey{tenant, id}]; h != nil {
		return f.picture(h)
	}
	return nil
}

// all returns the tenant's devices that became known, without those that are "missing" by now.
func (f *fleet) all(tenant string) []*fleetHost {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*fleetHost
	for _, h := range f.hosts {
		if p := f.picture(h); h.tenant == tenant && p.persona != "missing" {
			out = append(out, p)
		}
	}
	return out
}

// action returns the tenant's order with this id, nil when there is none.
func (f *fleet) action(tenant, id string) *fleetAction {
	for _, a := range f.orders(tenant) {
		if a.id == id {
			return a
		}
	}
	return nil
}

// orders returns all the tenant's orders that were taken, the oldest first.
func (f *fleet) orders(tenant string) []*fleetAction {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*fleetAction
	for _, a := range f.actions {
		if a.tenant == tenant {
			out = append(out, copyOf(a))
		}
	}
	return out
}

// picture is the host as it is now. It holds f.mu.
func (f *fleet) picture(h *fleetHost) *fleetHost {
	p := *h
	p.persona, p.class = f.personas.Current(h.hostname), "workstation"
	switch p.persona {
	case "server", "domain_controller":
		p.class = p.persona
	case "tagged":
		p.tags = []string{"finance", "do-not-isolate"}
	}
	p.lastSeen = h.first
	if p.online() {
		p.lastSeen = f.stage.Now().UTC()
	}
	p.changes, p.orders = slices.Clone(h.changes), slices.Clone(h.orders)
	p.waiting = nil
	if h.current != nil {
		p.current = copyOf(h.current)
	}
	return &p
}

func initialState(persona string) string {
	if persona == "already_isolated" || persona == "already_contained" {
		return hostIsolated
	}
	return hostNormal
}

func (h *fleetHost) become(state string, at time.Time) {
	h.state = state
	h.changes = append(h.changes, fleetChange{State: state, At: at.UTC()})
}

// personasChanged lets hosts that came online carry out what they were told meanwhile.
func (f *fleet) personasChanged(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(h.hostname, name) }) {
			continue
		}
		if initialState(f.personas.Current(h.hostname)) == hostIsolated && h.state == hostNormal {
			h.become(hostIsolated, f.stage.Now())
		}
		f.settleSoon(h)
	}
}

// settleSoon lets an online sensor complete what is under way, unless it is told otherwise
// before. It holds f.mu.
func (f *fleet) settleSoon(h *fleetHost) {
	h.settles++
	settles, takes := h.settles, sensorTime
	if f.personas.Current(h.hostname) == "slow" {
		takes = slowSensorTime
	}
	f.stage.Play(func(ctx context.Context) {
		if !f.stage.Wait(ctx, takes) {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if persona := f.personas.Current(h.hostname); h.settles == settles && h.current != nil && persona != "offline" {
			f.settle(h, persona != "fails")
		}
	})
}
