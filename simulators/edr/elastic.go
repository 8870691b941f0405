package edr

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the Elastic simulator.
const (
	opElasticHosts   = "list_hosts"
	opElasticHost    = "read_host"
	opElasticActions = "list_actions"
	opElasticAction  = "read_action"
	opElasticIsolate = "isolate"
	opElasticRelease = "release"
)

const kibanaAPIVersion = "2023-10-31"

// elastic pretends to be the Elastic Defend part of a Kibana. A space is a tenant. Kibana accepts an
// action as often as a client asks for it; the sensor reports its state by itself, with the persona
// "late_report" long after it has carried an action out.
type elastic struct {
	*stage.Stage
	stage.Steering
	key   string
	fleet *fleet

	mu      sync.Mutex
	repeats []repeat
}

// repeat is an action that Kibana accepted although the host was in the wanted state already, or on
// its way there. It ends like the action it repeats.
type repeat struct {
	fleetAction
	of string // id of the action it repeats, "" when there is none
}

func newElastic(s *stage.Stage) stage.Vendor {
	e := &elastic{Stage: s, key: edrValues["elastic"]["api_key"]}
	e.Personas = newFleetPersonas("late_report")
	e.fleet = newFleet(s, e.Personas)
	e.fleet.hostForm = formatUUID
	e.fleet.actionForm = func(n int) string { return formatUUID(stage.HashHex("elastic action " + strconv.Itoa(n))) }
	return e
}

func (e *elastic) Name() string { return "elastic" }

func (e *elastic) Ops() []string {
	return []string{opElasticHosts, opElasticHost, opElasticActions, opElasticAction, opElasticIsolate, opElasticRelease}
}

func (e *elastic) SteerFaults([]stage.Rule)       {}
func (e *elastic) PersonasChanged(names []string) { e.fleet.personasChanged(names) }

func (e *elastic) Effects() any {
	effects := e.fleet.effects()
	effects["violations"] = e.Violations.All()
	return effects
}

func (e *elastic) Route(r *stage.Request) (string, func() stage.Answer) {
	space, path := splitSpace(r.URL.Path)
	op, deed := stage.OpUnknown, func() stage.Answer {
		e.Violations.Add(e.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return e.Refusal(http.StatusNotFound)
	}
	const hosts, actions = "/api/endpoint/metadata", "/api/endpoint/action"
	switch id, one := lastPart(path); r.Method + " " + path {
	case "GET " + hosts:
		op, deed = opElasticHosts, func() stage.Answer { return e.listHosts(r, space) }
	case "GET " + hosts + "/" + id:
		op, deed = opElasticHost, func() stage.Answer { return e.readHost(r, space, id) }
	case "GET " + actions:
		op, deed = opElasticActions, func() stage.Answer { return e.listActions(r, space) }
	case "POST " + actions + "/isolate":
		op, deed = opElasticIsolate, func() stage.Answer { return e.act(r, space, opElasticIsolate, kindIsolate) }
	case "POST " + actions + "/unisolate":
		op, deed = opElasticRelease, func() stage.Answer { return e.act(r, space, opElasticRelease, kindRelease) }
	case "GET " + actions + "/" + id:
		if one {
			op, deed = opElasticAction, func() stage.Answer { return e.readAction(r, space, id) }
		}
	}
	return op, func() stage.Answer {
		if bad := e.checkHeaders(r); bad != 0 {
			return e.Refusal(bad)
		}
		return deed()
	}
}

// checkHeaders checks the headers that every request needs, and returns the status of the refusal
// or 0.
func (e *elastic) checkHeaders(r *stage.Request) int {
	version := r.Header.Get("Elastic-Api-Version")
	switch {
	case r.Header.Get("Authorization") != "ApiKey "+e.key:
		return http.StatusUnauthorized
	case r.Method != http.MethodGet && r.Header.Get("Kbn-Xsrf") == "":
		e.Violations.Add(e.Now(), stage.OpUnknown, "Request must contain a kbn-xsrf header.")
		return http.StatusBadRequest
	case version != "" && version != kibanaAPIVersion:
		e.Violations.Add(e.Now(), stage.OpUnknown, "there is no such API version")
		return http.StatusBadRequest
	}
	return 0
}

// splitSpace splits a path into the space and the rest.
func splitSpace(path string) (space, rest string) {
	after, found := strings.CutPrefix(path, "/s/")
	if !found {
		return "default", path
	}
	space, rest, _ = strings.Cut(after, "/")
	return space, "/" + rest
}

// lastPart returns the part after the last slash; false when it is empty.
func lastPart(path string) (string, bool) {
	part := path[strings.LastIndex(path, "/")+1:]
	return part, part != ""
}

// Refusal is Kibana's error answer for a status.
func (e *elastic) Refusal(status int) stage.Answer { return e.refuse(status, http.StatusText(status)) }

func (e *elastic) refuse(status int, message string) stage.Answer {
	a := stage.AnswerJSON(status, map[string]any{"statusCode": status, "error": http.StatusText(status), "message": message})
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records a violation.
func (e *elastic) reject(op, message string) stage.Answer {
	e.Violations.Add(e.Now(), op, message)
	return e.refuse(http.StatusBadRequest, message)
}

// showHost writes a host as Kibana does.
func (e *elastic) showHost(h *fleetHost) map[string]any {
	status, able := "healthy", []string{"isolation"}
	switch {
	case h.gone:
		status = "unenrolled"
	case !h.isOnline():
		status = "offline"
	}
	if h.persona == "protected" {
		able = []string{}
	}
	isolated, at := e.lastReport(h)
	system := map[string]any{"name": "Windows", "platform": "windows", "full": "Windows 11"}
	if h.class != "workstation" {
		system["full"] = "Windows Server 2022"
	}
	return map[string]any{
		"host_status": status, "last_checkin": h.lastSeen.Format(time.RFC3339Nano),
		"metadata": map[string]any{
			"@timestamp": at.Format(time.RFC3339Nano),
			"Endpoint": map[string]any{"status": "enrolled", "capabilities": able,
				"configuration": map[string]any{"isolation": isolated}, "state": map[string]any{"isolation": isolated}},
			"agent":   map[string]any{"id": h.id, "type": "endpoint", "version": "8.14.0"},
			"elastic": map[string]any{"agent": map[string]any{"id": h.id}},
			"host":    map[string]any{"id": stage.HashHex(h.id), "hostname": h.name(), "name": strings.ToLower(h.name()), "os": system},
		},
	}
}

// lastReport returns the sensor's last report of itself, and its time.
func (e *elastic) lastReport(h *fleetHost) (isolated bool, at time.Time) {
	at = h.lastSeen
	if h.persona == "late_report" {
		at = e.Now().UTC().Add(-e.Scale(slowSensorTime))
	}
	isolated = h.changes[0].State == hostIsolated
	for _, c := range h.changes {
		if !c.At.After(at) && (c.State == hostIsolated || c.State == hostNormal) {
			isolated = c.State == hostIsolated
		}
	}
	return isolated, at
}
