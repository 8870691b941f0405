package edr

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The states of a device, the kinds and the states of an action, and the refusals of one.
const (
	hostNormal    = "normal"
	hostIsolating = "isolating"
	hostIsolated  = "isolated"
	hostReleasing = "releasing"

	kindIsolate = "isolate"
	kindRelease = "release"

	statePending   = "pending"
	stateSucceeded = "succeeded"
	stateFailed    = "failed"

	refusedUnknown   = "unknown"   // the tenant has no such device
	refusedProtected = "protected" // nobody may act on it
	refusedAlready   = "already"   // the device is in the wanted state already, or on its way there
)

const (
	sensorTime       = 2 * time.Second  // an online sensor's reaction
	slowSensorTime   = 30 * time.Second // the reaction of the persona "slow"
	maxHostnameBytes = 255

	reinstalled = "reinstalled" // the persona of a device that is set up anew now, with another agent

	domain      = ".corp.example" // of the personas "fqdn" and "domains"
	otherDomain = ".lab.example"  // of the second device of "domains"

	crowdSize  = 600    // devices before the one of the persona "crowd": more than a page of most products
	throngSize = 12_000 // and before that of "throng"
)

// fleet holds the devices of one simulated EDR, per tenant. A device comes into being when somebody
// first asks for its name. The fleet hands out copies, which are safe to read at any time.
type fleet struct {
	stage    *stage.Stage
	personas *stage.Personas

	// How the vendor writes its ids; set before the first request.
	hostForm   func(hex32 string) string // nil leaves 32 hex digits
	actionForm func(n int) string        // of the nth action, from 1; nil makes 32 hex digits
	forgets    bool                      // the vendor does not list agents that are gone

	mu       sync.Mutex
	anew     map[string]bool    // names, in small letters, whose devices were set up anew
	names    map[hostKey]string // the name a first label was first asked for by, by tenant and label in small letters
	hosts    []*fleetHost       // in the sequence in which they became known
	byKey    map[hostKey]*fleetHost
	actions  []*fleetAction
	commands []fleetCommand
}

type hostKey struct{ tenant, id string }

// fleetHost is one agent.
type fleetHost struct {
	id, tenant, hostname, persona string // the personas go by the hostname
	suffix                        string // of the name that the vendor shows: a domain
	gone                          bool   // its agent will never answer again
	crowd                         bool   // one of those before the device of the persona "crowd" or "throng"
	state                         string
	class                         string // workstation, server, domain_controller
	tags                          []string
	first, lastSeen               time.Time

	current  *fleetAction   // under way, nil when no action is
	waiting  []*fleetAction // duplicates taken with force, the oldest first
	changes  []fleetChange
	attempts []fleetAttempt
	courses  int // counts the settlements begun, so that an overtaken one does not complete
}

// fleetAction is an isolation or a release that the EDR accepted.
type fleetAction struct {
	n                int // the nth of the fleet, from 1
	id, tenant, host string
	kind             string // isolate, release
	state            string // pending, succeeded, failed
	cancelled        bool   // it failed because somebody cancelled it or a later action overtook it
	at, updated      time.Time
}

// fleetChange is a change of a device's state.
type fleetChange struct {
	State string    `json:"state"`
	At    time.Time `json:"at"`
}

// fleetAttempt is an action that a client asked for; an effective one changed the device's state.
type fleetAttempt struct {
	At        time.Time `json:"at"`
	Action    string    `json:"action"`
	Effective bool      `json:"effective"`
}

// fleetCommand is an action that took effect.
type fleetCommand struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"`
	DeviceID string    `json:"device_id"`
	Tenant   string    `json:"tenant"`
	Hostname string    `json:"hostname"`
}

// newFleetPersonas makes the personas by host name: those of every simulated EDR and the vendor's
// own.
func newFleetPersonas(own ...string) *stage.Personas {
	return stage.NewPersonas(strings.ToLower, append([]string{"online", "offline", "missing", "duplicate", "protected",
		"already_isolated", "slow", "fails", "server", "domain_controller", "tagged", "fqdn", "domains", "crowd", "throng"}, own...)...)
}

func newFleet(s *stage.Stage, p *stage.Personas) *fleet {
	return &fleet{stage: s, personas: p, byKey: map[hostKey]*fleetHost{}, anew: map[string]bool{}, names: map[hostKey]string{}}
}

// name is the device's name as the vendor shows it.
func (h *fleetHost) name() string { return h.hostname + h.suffix }

// isOnline reports whether the sensor was connected at the time of the copy.
func (h *fleetHost) isOnline() bool { return h.persona != "offline" && !h.gone }

// settledState is the last state that the sensor reached, without the one it is on its way to.
func (h *fleetHost) settledState() string {
	for _, c := range slices.Backward(h.changes) {
		if c.State == hostNormal || c.State == hostIsolated {
			return c.State
		}
	}
	return hostNormal
}

// bringUp brings the devices of a host name into being when somebody asks for it: none for "missing"; two for
// "duplicate"; with a domain for "fqdn", in two domains for "domains"; many before the one for "crowd" and "throng",
// whose agents are gone or, where the vendor does not list those, whose names are longer. A name with another domain,
// or in other letters, is the device that was asked for first.
func (f *fleet) bringUp(tenant, hostname string) {
	label, _, _ := strings.Cut(hostname, ".")
	if label == "" {
		label = hostname
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	first := hostKey{tenant, strings.ToLower(label)}
	if known := f.names[first]; known != "" {
		hostname = known
	} else if slices.Contains([]string{"missing", "fqdn", "domains", "crowd", "throng"}, f.personas.Current(label)) {
		hostname = label
	}
	persona := f.personas.Current(hostname)
	if persona == "missing" || hostname == "" || len(hostname) > maxHostnameBytes {
		return
	}
	crowd := map[string]int{"crowd": crowdSize, "throng": throngSize}[persona]
	for n := 0; n < crowd && f.names[first] == ""; n++ {
		h := f.addHost(tenant, hostname, fmt.Sprintf("#crowd-%d", n), persona)
		h.crowd, h.gone = true, !f.forgets
		if f.forgets {
			h.suffix = fmt.Sprintf("-%d", n)
		}
	}
	f.names[first] = hostname
	switch persona {
	case "fqdn":
		f.addHost(tenant, hostname, "", persona).suffix = domain
	case "domains":
		f.addHost(tenant, hostname, "", persona).suffix = domain
		f.addHost(tenant, hostname, "#2", persona).suffix = otherDomain
	case "duplicate":
		f.addHost(tenant, hostname, "", persona)
		f.addHost(tenant, hostname, "#2", persona)
	default:
		distinction := ""
		if f.anew[strings.ToLower(hostname)] {
			distinction = "#anew"
		}
		f.addHost(tenant, hostname, distinction, persona)
	}
}

// reinstall takes away the agents of a name, once: the vendor knows them no more, and the device gets another one. The
// caller holds f.mu.
func (f *fleet) reinstall(hostname string) {
	name := strings.ToLower(hostname)
	if f.anew[name] {
		return
	}
	f.anew[name] = true
	f.hosts = slices.DeleteFunc(f.hosts, func(h *fleetHost) bool {
		if !strings.EqualFold(h.hostname, name) {
			return false
		}
		delete(f.byKey, hostKey{h.tenant, h.id})
		return true
	})
}

// addHost returns the device of a name and a distinction, which it makes if there is none. The caller holds f.mu.
func (f *fleet) addHost(tenant, hostname, distinction, persona string) *fleetHost {
	id := stage.HashHex(tenant + hostname + distinction)
	if f.hostForm != nil {
		id = f.hostForm(id)
	}
	h := f.byKey[hostKey{tenant, id}]
	if h == nil {
		h = &fleetHost{id: id, tenant: tenant, hostname: hostname, first: f.stage.Now().UTC()}
		f.hosts, f.byKey[hostKey{tenant, id}] = append(f.hosts, h), h
		h.setState(initialState(persona), h.first)
	}
	return h
}

// hostByID returns a known device, nil when the tenant has none with this id.
func (f *fleet) hostByID(tenant, id string) *fleetHost {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.byKey[hostKey{tenant, id}]; h != nil {
		return f.copyHost(h)
	}
	return nil
}

// hostsOf returns the tenant's known devices, without those that are "missing" by now.
func (f *fleet) hostsOf(tenant string) []*fleetHost {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*fleetHost
	for _, h := range f.hosts {
		if h.tenant != tenant {
			continue
		}
		if p := f.copyHost(h); p.persona != "missing" {
			out = append(out, p)
		}
	}
	return out
}

// actionByID returns the tenant's action with this id, nil when there is none.
func (f *fleet) actionByID(tenant, id string) *fleetAction {
	for _, a := range f.actionsOf(tenant) {
		if a.id == id {
			return a
		}
	}
	return nil
}

// actionsOf returns all the tenant's actions, the oldest first.
func (f *fleet) actionsOf(tenant string) []*fleetAction {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*fleetAction
	for _, a := range f.actions {
		if a.tenant == tenant {
			out = append(out, copyAction(a))
		}
	}
	return out
}

// copyHost returns the host as it is now. The caller holds f.mu.
func (f *fleet) copyHost(h *fleetHost) *fleetHost {
	p := *h
	p.persona, p.class = f.personas.Current(h.hostname), "workstation"
	switch p.persona {
	case "server", "domain_controller":
		p.class = p.persona
	case "tagged":
		p.tags = []string{"finance", "do-not-isolate"}
	}
	p.lastSeen = h.first
	if p.isOnline() {
		p.lastSeen = f.stage.Now().UTC()
	}
	p.changes, p.attempts = slices.Clone(h.changes), slices.Clone(h.attempts)
	p.waiting = nil
	if h.current != nil {
		p.current = copyAction(h.current)
	}
	return &p
}

func initialState(persona string) string {
	if persona == "already_isolated" || persona == "already_contained" {
		return hostIsolated
	}
	return hostNormal
}

func (h *fleetHost) setState(state string, at time.Time) {
	h.state = state
	h.changes = append(h.changes, fleetChange{State: state, At: at.UTC()})
}

// personasChanged lets hosts that came online carry out the actions they have missed, and sets devices up anew.
func (f *fleet) personasChanged(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		if f.personas.Current(name) == reinstalled {
			f.reinstall(name)
		}
	}
	for _, h := range f.hosts {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(h.hostname, name) }) {
			continue
		}
		if initialState(f.personas.Current(h.hostname)) == hostIsolated && h.state == hostNormal {
			h.setState(hostIsolated, f.stage.Now())
		}
		f.settleSoon(h)
	}
}

// settleSoon lets an online sensor complete the action under way, unless another overtakes it
// before. The caller holds f.mu.
func (f *fleet) settleSoon(h *fleetHost) {
	h.courses++
	settles, takes := h.courses, sensorTime
	if f.personas.Current(h.hostname) == "slow" {
		takes = slowSensorTime
	}
	f.stage.Play(func(ctx context.Context) {
		if !f.stage.Wait(ctx, takes) {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if persona := f.personas.Current(h.hostname); h.courses == settles && h.current != nil && persona != "offline" {
			f.settleHost(h, persona != "fails")
		}
	})
}
