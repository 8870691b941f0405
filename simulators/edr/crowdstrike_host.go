package edr

import (
	"fmt"
	"time"
)

// Falcon's words for the actions.
const (
	falconContain = "contain"
	falconLift    = "lift_containment"
)

// falconState is Falcon's word for a state of a host.
func falconState(state string) string {
	return map[string]string{
		hostNormal: "normal", hostIsolating: "containment_pending",
		hostIsolated: "contained", hostReleasing: "lift_containment_pending",
	}[state]
}

// falconAction is Falcon's word for an action.
func falconAction(kind string) string {
	return map[string]string{kindIsolate: falconContain, kindRelease: falconLift}[kind]
}

func (f *crowdStrike) PersonasChanged(names []string) { f.fleet.personasChanged(names) }

// commandHost takes an action on a host. The error is nil when it took effect.
func (f *crowdStrike) commandHost(id, cid, action string) *apiError {
	kind := kindIsolate
	if action == falconLift {
		kind = kindRelease
	}
	if h := f.fleet.hostByID(cid, id); h != nil && h.persona == "errors_in_202" {
		return &apiError{Code: 500, Message: "the action could not be queued", ID: id}
	}
	switch _, refusal := f.fleet.act(cid, id, kind, false); refusal {
	case refusedUnknown:
		return &apiError{Code: 404, Message: "no host with this id", ID: id}
	case refusedProtected:
		return &apiError{Code: 403, Message: "the host is protected from this action", ID: id}
	case refusedAlready:
		return &apiError{Code: 409, Message: fmt.Sprintf("the host is already in state %s", falconState(f.fleet.hostByID(cid, id).state)), ID: id}
	}
	return nil
}

// hostEffect is one known host with its history, in Falcon's words.
type hostEffect struct {
	DeviceID string        `json:"device_id"`
	CID      string        `json:"cid"`
	Hostname string        `json:"hostname"`
	Persona  string        `json:"persona"`
	Status   string        `json:"status"`
	Changes  []hostChange  `json:"changes"`
	Commands []hostCommand `json:"commands"`
}

type hostChange struct {
	Status string    `json:"status"`
	At     time.Time `json:"at"`
}

// hostCommand is an action that took effect: Falcon accepted it and the host changed its state.
type hostCommand struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"`
	DeviceID string    `json:"device_id"`
	CID      string    `json:"cid"`
	Hostname string    `json:"hostname"`
}

// Effects lists the hosts with their changes of state, and the actions that took effect.
func (f *crowdStrike) Effects() any {
	known, effective := f.fleet.listEffects()
	hosts, commands := []hostEffect{}, []hostCommand{}
	for _, c := range effective {
		commands = append(commands, hostCommand{At: c.At, Action: falconAction(c.Action), DeviceID: c.DeviceID, CID: c.Tenant, Hostname: c.Hostname})
	}
	for _, h := range known {
		e := hostEffect{DeviceID: h.DeviceID, CID: h.Tenant, Hostname: h.Hostname, Persona: h.Persona, Status: falconState(h.State), Changes: []hostChange{}, Commands: []hostCommand{}}
		for _, c := range h.Changes {
			e.Changes = append(e.Changes, hostChange{Status: falconState(c.State), At: c.At})
		}
		for _, c := range commands {
			if c.DeviceID == h.DeviceID && c.CID == h.Tenant {
				e.Commands = append(e.Commands, c)
			}
		}
		hosts = append(hosts, e)
	}
	return map[string]any{"hosts": hosts, "commands": commands, "violations": f.Violations.All()}
}
