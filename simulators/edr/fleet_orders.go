package edr

import (
	"slices"
	"strconv"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// goal is the state an order leads to, and the one on the way there.
func goal(what string) (pending, done string) {
	if what == orderRelease {
		return hostReleasing, hostNormal
	}
	return hostIsolating, hostIsolated
}

func opposite(what string) string {
	if what == orderRelease {
		return orderIsolate
	}
	return orderRelease
}

// order sets a host in motion and returns the action. A refusal is "unknown", "protected" or
// "already": there already or on its way, then with the action that led there, if any. An order
// for the opposite of what is under way overtakes it. With force, a duplicate is taken too: it
// stays pending until the host has come out of the state, and runs then.
func (f *fleet) order(tenant, id, what string, force bool) (a *fleetAction, refusal string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.byKey[hostKey{tenant, id}]
	switch {
	case h == nil:
		return nil, refusedUnknown
	case f.personas.Current(h.hostname) == "protected":
		f.note(h, what, false)
		return nil, refusedProtected
	}
	pending, done := goal(what)
	if h.state != pending && h.state != done {
		a = f.take(h, what)
		f.run(h, a)
		return copyOf(a), ""
	}
	f.note(h, what, false)
	if !force {
		return f.latest(h, what), refusedAlready
	}
	a = f.take(h, what)
	h.waiting = append(h.waiting, a)
	return copyOf(a), ""
}

// cancel ends a pending action; false when there is none with this id. A host on its way turns
// back.
func (f *fleet) cancel(tenant, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.actions {
		if a.tenant != tenant || a.id != id || a.state != actionPending {
			continue
		}
		a.end(actionFailed, f)
		a.cancelled = true
		if h := f.byKey[hostKey{tenant, a.host}]; h != nil && h.current == a {
			f.turnBack(h)
		}
		return true
	}
	return false
}

// take notes a new action. It holds f.mu.
func (f *fleet) take(h *fleetHost, what string) *fleetAction {
	n := len(f.actions) + 1
	now := f.stage.Now().UTC()
	a := &fleetAction{n: n, tenant: h.tenant, host: h.id, what: what, state: actionPending, at: now, updated: now}
	a.id = stage.HashHex(h.tenant + h.id + strconv.Itoa(n))
	if f.actionForm != nil {
		a.id = f.actionForm(n)
	}
	f.actions = append(f.actions, a)
	return a
}

// run sets the host in motion. It holds f.mu.
func (f *fleet) run(h *fleetHost, a *fleetAction) {
	if h.current != nil {
		h.current.end(actionFailed, f)
		h.current.cancelled = true
	}
	pending, _ := goal(a.what)
	h.current = a
	h.become(pending, f.stage.Now())
	f.note(h, a.what, true)
	f.settleSoon(h)
}

// settle is the sensor's answer to what is under way. It holds f.mu.
func (f *fleet) settle(h *fleetHost, good bool) {
	a := h.current
	if !good {
		a.end(actionFailed, f)
		f.turnBack(h)
		return
	}
	_, done := goal(a.what)
	a.end(actionSucceeded, f)
	h.current = nil
	h.become(done, f.stage.Now())
	f.runWaiting(h)
}

// turnBack returns the host to the state it came from. It holds f.mu.
func (f *fleet) turnBack(h *fleetHost) {
	_, before := goal(opposite(h.current.what))
	h.current = nil
	h.become(before, f.stage.Now())
	f.runWaiting(h)
}

// runWaiting starts the oldest duplicate that leads out of the state the host is now in. It
// holds f.mu.
func (f *fleet) runWaiting(h *fleetHost) {
	h.waiting = slices.DeleteFunc(h.waiting, func(a *fleetAction) bool { return a.state != actionPending })
	for i, a := range h.waiting {
		if _, done := goal(a.what); h.state != done {
			h.waiting = slices.Delete(h.waiting, i, i+1)
			f.run(h, a)
			return
		}
	}
}

// note keeps an order in the host's history, and an effective one in the fleet's. It holds f.mu.
func (f *fleet) note(h *fleetHost, what string, effective bool) {
	now := f.stage.Now().UTC()
	h.orders = append(h.orders, fleetOrder{At: now, Action: what, Effective: effective})
	if effective {
		f.commands = append(f.commands, fleetCommand{At: now, Action: what, DeviceID: h.id, Tenant: h.tenant, Hostname: h.hostname})
	}
}

// latest is the newest action of this kind on the host, nil when there is none. It holds f.mu.
func (f *fleet) latest(h *fleetHost, what string) *fleetAction {
	for _, a := range slices.Backward(f.actions) {
		if a.host == h.id && a.tenant == h.tenant && a.what == what {
			return copyOf(a)
		}
	}
	return nil
}

func (a *fleetAction) end(state string, f *fleet) {
	a.state, a.updated = state, f.stage.Now().UTC()
}

func copyOf(a *fleetAction) *fleetAction {
	picture := *a
	return &picture
}

// fleetEffect is one known device and everything that happened to it.
type fleetEffect struct {
	DeviceID string        `json:"device_id"`
	Tenant   string        `json:"tenant"`
	Hostname string        `json:"hostname"`
	Persona  string        `json:"persona"`
	State    string        `json:"state"`
	Changes  []fleetChange `json:"changes"`
	Orders   []fleetOrder  `json:"orders"`
}

// effects are those of the report. The vendor adds its violations.
func (f *fleet) effects() map[string]any {
	hosts, commands := f.report()
	return map[string]any{"hosts": hosts, "commands": commands}
}

// report lists the devices with their changes of state and their orders, and the orders that took
// effect.
func (f *fleet) report() (hosts []fleetEffect, commands []fleetCommand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hosts = []fleetEffect{}
	for _, h := range f.hosts {
		hosts = append(hosts, fleetEffect{
			DeviceID: h.id, Tenant: h.tenant, Hostname: h.hostname, Persona: f.personas.Current(h.hostname), State: h.state,
			Changes: slices.Clone(h.changes), Orders: append([]fleetOrder{}, h.orders...),
		})
	}
	return hosts, append([]fleetCommand{}, f.commands...)
}
