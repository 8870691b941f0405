package edr

import (
	"fmt"
	"time"
)

// Falcon's words for what can be ordered.
const (
	actionContain = "contain"
	actionLift    = "lift_containment"
)

// falconState is Falcon's word for a state of a host.
func falconState(state string) string {
	return map[string]string{
		hostNormal: "normal", hostIsolating: "containment_pending",
		hostIsolated: "contained", hostReleasing: "lift_containment_pending",
	}[state]
}

// falconAction is Falcon's word for an order.
func falconAction(what string) string {
	return map[string]string{orderIsolate: actionContain, orderRelease: actionLift}[what]
}

func (f *crowdStrike) PersonasChanged(names []string) { f.fleet.personasChanged(names) }

// command sets a host in motion. The refusal is nil when it took effect.
func (f *crowdStrike) command(id, cid, action string) *apiError {
	what := orderIsolate
	if action == actionLift {
		what = orderRelease
	}
	if h := f.fleet.byID(cid, id); h != nil && h.persona == "errors_in_202" {
		return &apiError{Code: 500, Message: "the action could not be queued", ID: id}
	}
	switch _, refusal := f.fleet.order(cid, id, what, false); refusal {
	case refusedUnknown:
		return &apiError{Code: 404, Message: "no host with this id", ID: id}
	case refusedProtected:
		return &apiError{Code: 403, Message: "the host is protected from this action", ID: id}
	case refusedAlready:
		return &apiError{Code: 409, Message: fmt.Sprintf("the host is already in state %s", falconState(f.fleet.byID(cid, id).state)), ID: id}
	}
	return nil
}

// hostEffect is one known host and everything that happened to it, in Falcon's words.
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

// hostCommand is a contain or lift that took effect: it was accepted and set a host in motion.
type hostCommand struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"`
	DeviceID string    `json:"device_id"`
	CID      string    `json:"cid"`
	Hostname string    `json:"hostname"`
}

// effects lists the hosts with their changes of state, and the commands that took effect.
func (f *crowdStrike) Effects() any {
	known, orders := f.fleet.report()
	hosts, commands := []hostEffect{}, []hostCommand{}
	for _, c := range orders {
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
