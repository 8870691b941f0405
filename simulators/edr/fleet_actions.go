package edr

import (
	"slices"
	"strconv"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// statesOf returns the state on the way of an action, and the one it leads to.
func statesOf(kind string) (pending, done string) {
	if kind == kindRelease {
		return hostReleasing, hostNormal
	}
	return hostIsolating, hostIsolated
}

func oppositeOf(kind string) string {
	if kind == kindRelease {
		return kindIsolate
	}
	return kindRelease
}

// act takes an action on a host and returns it. A refusal is "unknown", "protected" or "already",
// the last with the action that led the host to the state, if any. An action overtakes the opposite
// one under way. With force, act takes a duplicate too, which stays pending until the host has left
// the state, and runs then.
func (f *fleet) act(tenant, id, kind string, force bool) (a *fleetAction, refusal string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.byKey[hostKey{tenant, id}]
	switch {
	case h == nil:
		return nil, refusedUnknown
	case f.personas.Current(h.hostname) == "protected":
		f.noteAttempt(h, kind, false)
		return nil, refusedProtected
	}
	pending, done := statesOf(kind)
	if h.state != pending && h.state != done {
		a = f.addAction(h, kind)
		f.startAction(h, a)
		return copyAction(a), ""
	}
	f.noteAttempt(h, kind, false)
	if !force {
		return f.latestAction(h, kind), refusedAlready
	}
	a = f.addAction(h, kind)
	h.waiting = append(h.waiting, a)
	return copyAction(a), ""
}

// cancelAction ends a pending action, and turns a host on its way back; false when no action with
// this id is pending.
func (f *fleet) cancelAction(tenant, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.actions {
		if a.tenant != tenant || a.id != id || a.state != statePending {
			continue
		}
		a.endAs(stateFailed, f)
		a.cancelled = true
		if h := f.byKey[hostKey{tenant, a.host}]; h != nil && h.current == a {
			f.turnHostBack(h)
		}
		return true
	}
	return false
}

// addAction adds a pending action. The caller holds f.mu.
func (f *fleet) addAction(h *fleetHost, kind string) *fleetAction {
	n := len(f.actions) + 1
	now := f.stage.Now().UTC()
	a := &fleetAction{n: n, tenant: h.tenant, host: h.id, kind: kind, state: statePending, at: now, updated: now}
	a.id = stage.HashHex(h.tenant + h.id + strconv.Itoa(n))
	if f.actionForm != nil {
		a.id = f.actionForm(n)
	}
	f.actions = append(f.actions, a)
	return a
}

// startAction starts an action in place of the one under way. The caller holds f.mu.
func (f *fleet) startAction(h *fleetHost, a *fleetAction) {
	if h.current != nil {
		h.current.endAs(stateFailed, f)
		h.current.cancelled = true
	}
	pending, _ := statesOf(a.kind)
	h.current = a
	h.setState(pending, f.stage.Now())
	f.noteAttempt(h, a.kind, true)
	f.settleSoon(h)
}

// settleHost completes the action under way, well or badly. The caller holds f.mu.
func (f *fleet) settleHost(h *fleetHost, good bool) {
	a := h.current
	if !good {
		a.endAs(stateFailed, f)
		f.turnHostBack(h)
		return
	}
	_, done := statesOf(a.kind)
	a.endAs(stateSucceeded, f)
	h.current = nil
	h.setState(done, f.stage.Now())
	f.startWaitingAction(h)
}

// turnHostBack returns the host to the state it came from. The caller holds f.mu.
func (f *fleet) turnHostBack(h *fleetHost) {
	_, before := statesOf(oppositeOf(h.current.kind))
	h.current = nil
	h.setState(before, f.stage.Now())
	f.startWaitingAction(h)
}

// startWaitingAction starts the oldest duplicate that leads out of the host's state. The caller
// holds f.mu.
func (f *fleet) startWaitingAction(h *fleetHost) {
	h.waiting = slices.DeleteFunc(h.waiting, func(a *fleetAction) bool { return a.state != statePending })
	for i, a := range h.waiting {
		if _, done := statesOf(a.kind); h.state != done {
			h.waiting = slices.Delete(h.waiting, i, i+1)
			f.startAction(h, a)
			return
		}
	}
}

// noteAttempt keeps an attempt in the host's history, and an effective one in the fleet's. The
// caller holds f.mu.
func (f *fleet) noteAttempt(h *fleetHost, kind string, effective bool) {
	now := f.stage.Now().UTC()
	h.attempts = append(h.attempts, fleetAttempt{At: now, Action: kind, Effective: effective})
	if effective {
		f.commands = append(f.commands, fleetCommand{At: now, Action: kind, DeviceID: h.id, Tenant: h.tenant, Hostname: h.hostname})
	}
}

// latestAction returns the newest action of this kind on the host, nil when there is none. The
// caller holds f.mu.
func (f *fleet) latestAction(h *fleetHost, kind string) *fleetAction {
	for _, a := range slices.Backward(f.actions) {
		if a.host == h.id && a.tenant == h.tenant && a.kind == kind {
			return copyAction(a)
		}
	}
	return nil
}

func (a *fleetAction) endAs(state string, f *fleet) {
	a.state, a.updated = state, f.stage.Now().UTC()
}

func copyAction(a *fleetAction) *fleetAction {
	c := *a
	return &c
}

// fleetEffect is one known device with its history.
type fleetEffect struct {
	DeviceID string         `json:"device_id"`
	Tenant   string         `json:"tenant"`
	Hostname string         `json:"hostname"`
	Persona  string         `json:"persona"`
	State    string         `json:"state"`
	Changes  []fleetChange  `json:"changes"`
	Actions  []fleetAttempt `json:"actions"`
}

// effects lists the devices and the actions that took effect. The vendor adds its violations.
func (f *fleet) effects() map[string]any {
	hosts, commands := f.listEffects()
	return map[string]any{"hosts": hosts, "commands": commands}
}

// listEffects lists the devices with their changes of state and the actions asked of them, without those of a crowd that
// nobody asked anything of, and the actions that took effect.
func (f *fleet) listEffects() (hosts []fleetEffect, commands []fleetCommand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hosts = []fleetEffect{}
	for _, h := range f.hosts {
		if h.crowd && len(h.attempts) == 0 {
			continue
		}
		hosts = append(hosts, fleetEffect{
			DeviceID: h.id, Tenant: h.tenant, Hostname: h.hostname, Persona: f.personas.Current(h.hostname), State: h.state,
			Changes: slices.Clone(h.changes), Actions: append([]fleetAttempt{}, h.attempts...),
		})
	}
	return hosts, append([]fleetCommand{}, f.commands...)
}
