package edr

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the SentinelOne simulator.
const (
	opAgents          = "agents"
	opDisconnectAgent = "disconnect"
	opConnectAgent    = "connect"
)

const (
	s1Root = "/web/api/v2.1"
	s1Site = "225494730938493804" // the one site the token reaches
)

// sentinelOne pretends to be the agents part of SentinelOne's management API. Its facts come from
// public clients, because the vendor's own pages need a login.
type sentinelOne struct {
	*stage.Stage
	stage.Steering
	token string
	fleet *fleet
}

func newSentinelOne(s *stage.Stage) stage.Vendor {
	o := &sentinelOne{Stage: s, token: edrValues["sentinelone"]["api_token"]}
	o.Personas = newFleetPersonas("uninstalled", "decommissioned")
	o.fleet = newFleet(s, o.Personas)
	o.fleet.hostForm = s1ID
	return o
}

// s1ID makes an agent's id: 18 digits.
func s1ID(hex32 string) string {
	n, _ := strconv.ParseUint(hex32[:15], 16, 64) // fits: 60 bits
	return strconv.FormatUint(100_000_000_000_000_000+n%900_000_000_000_000_000, 10)
}

func (o *sentinelOne) Name() string { return "sentinelone" }

func (o *sentinelOne) Ops() []string { return []string{opAgents, opDisconnectAgent, opConnectAgent} }

func (o *sentinelOne) SteerFaults([]stage.Rule) {}

func (o *sentinelOne) PersonasChanged(names []string) { o.fleet.personasChanged(names) }

func (o *sentinelOne) Effects() any {
	e := o.fleet.effects()
	e["violations"] = o.Violations.All()
	return e
}

func (o *sentinelOne) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := stage.OpUnknown, func() stage.Answer {
		o.Violations.Add(o.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return o.Refusal(http.StatusNotFound)
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + s1Root + "/agents":
		op, deed = opAgents, func() stage.Answer { return o.listAgents(r) }
	case "POST " + s1Root + "/agents/actions/disconnect":
		op, deed = opDisconnectAgent, func() stage.Answer { return o.act(r, opDisconnectAgent, kindIsolate) }
	case "POST " + s1Root + "/agents/actions/connect":
		op, deed = opConnectAgent, func() stage.Answer { return o.act(r, opConnectAgent, kindRelease) }
	}
	return op, func() stage.Answer {
		if r.Header.Get("Authorization") != "ApiToken "+o.token {
			return o.Refusal(http.StatusUnauthorized)
		}
		return deed()
	}
}

// Refusal is SentinelOne's error answer for a status; its code begins with the status.
func (o *sentinelOne) Refusal(status int) stage.Answer {
	title := map[int]string{
		http.StatusBadRequest:      "Validation Error",
		http.StatusUnauthorized:    "Authentication Failed",
		http.StatusForbidden:       "Insufficient permissions",
		http.StatusTooManyRequests: "Too many requests",
	}[status]
	if title == "" {
		title = http.StatusText(status)
	}
	a := o.answerWithID(status, map[string]any{"data": nil,
		"errors": []map[string]any{{"code": status*10_000 + 10, "title": title, "detail": nil}}})
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

// reject answers 400 and records a violation.
func (o *sentinelOne) reject(op, reason string) stage.Answer {
	o.Violations.Add(o.Now(), op, reason)
	return o.Refusal(http.StatusBadRequest)
}

func (o *sentinelOne) answerWithID(status int, body any) stage.Answer {
	a := stage.AnswerJSON(status, body)
	a.Header.Set("X-Rqid", formatUUID(stage.RandomHex(32)))
	return a
}

// s1Query selects agents, in a query or in an action's filter. An empty field selects all.
type s1Query struct {
	IDs  []string `json:"ids"`
	Name string   `json:"computerName"`
	Like string   `json:"computerName__like"`
}

// selectAgents returns the agents that a query reaches. A name reaches longer names too.
func (o *sentinelOne) selectAgents(q s1Query) []*fleetHost {
	var out []*fleetHost
	for _, h := range o.fleet.hostsOf(s1Site) {
		name := strings.ToLower(h.name())
		if len(q.IDs) > 0 && !slices.Contains(q.IDs, h.id) {
			continue
		}
		if strings.Contains(name, strings.ToLower(q.Name)) && strings.Contains(name, strings.ToLower(q.Like)) {
			out = append(out, h)
		}
	}
	return out
}
