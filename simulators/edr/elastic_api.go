package edr

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const (
	maxPageOfActions = 100
	maxAgentsAsked   = 50
)

// listHosts answers the search for hosts, by name or all of them.
func (e *elastic) listHosts(r *stage.Request, space string) stage.Answer {
	q := r.URL.Query()
	if bad := unknownQuery(q, "kuery", "page", "pageSize"); bad != "" {
		return e.reject(opElasticHosts, bad)
	}
	size, err := pageSize(q, 10, 10_000)
	if err != nil {
		return e.reject(opElasticHosts, err.Error())
	}
	hosts := e.fleet.all(space)
	if q.Has("kuery") {
		names, err := parseKuery(q.Get("kuery"))
		if err != nil {
			return e.reject(opElasticHosts, err.Error())
		}
		hosts = e.called(space, names)
	}
	data := []any{}
	for _, h := range hosts {
		data = append(data, e.document(h))
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"data": data[:min(size, len(data))], "page": 0, "pageSize": size, "total": len(data)})
}

// called returns the hosts with any of the names.
func (e *elastic) called(space string, names []string) []*fleetHost {
	var hosts []*fleetHost
	for _, name := range names {
		for _, h := range e.fleet.named(space, name) {
			if !slices.ContainsFunc(hosts, func(other *fleetHost) bool { return other.id == h.id }) {
				hosts = append(hosts, h)
			}
		}
	}
	return hosts
}

// parseKuery reads the one query that is simulated: the host name field with a value in quotes,
// or several in parentheses joined by or.
func parseKuery(kuery string) ([]string, error) {
	bad := errors.New("only host names in quotes can be asked for")
	values, found := strings.CutPrefix(kuery, "united.endpoint.host.hostname:")
	values = strings.TrimSpace(values)
	if !found {
		return nil, bad
	}
	inner, several := strings.CutPrefix(values, "(")
	if several {
		if values, found = strings.CutSuffix(inner, ")"); !found {
			return nil, bad
		}
	}
	var names []string
	for {
		quoted, err := strconv.QuotedPrefix(values)
		if err != nil || quoted[0] != '"' {
			return nil, bad
		}
		name := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted[1 : len(quoted)-1])
		names = append(names, name)
		rest := values[len(quoted):]
		if rest == "" {
			return names, nil
		}
		if values, found = strings.CutPrefix(rest, " or "); !found || !several {
			return nil, bad
		}
	}
}

func (e *elastic) readHost(r *stage.Request, space, id string) stage.Answer {
	if bad := unknownQuery(r.URL.Query()); bad != "" {
		return e.reject(opElasticHost, bad)
	}
	h := e.fleet.byID(space, id)
	if h == nil || h.persona == "missing" {
		return e.refuse(http.StatusNotFound, "endpoint not found")
	}
	return stage.AnswerJSON(http.StatusOK, e.document(h))
}

// listActions answers with the orders of some hosts, the newest first.
func (e *elastic) listActions(r *stage.Request, space string) stage.Answer {
	q := r.URL.Query()
	for name := range q {
		if !slices.Contains([]string{"agentIds", "commands", "page", "pageSize"}, name) {
			return e.reject(opElasticActions, "unknown query parameter "+name)
		}
	}
	size, err := pageSize(q, 10, maxPageOfActions)
	switch {
	case err != nil:
		return e.reject(opElasticActions, err.Error())
	case len(q["agentIds"]) > maxAgentsAsked:
		return e.reject(opElasticActions, "too many agents")
	}
	data := []any{}
	for _, a := range slices.Backward(e.taken(space)) {
		if matches(q["agentIds"], a.host) && matches(q["commands"], command(a)) && len(data) < size {
			data = append(data, e.order(a))
		}
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"page": 1, "pageSize": size, "total": len(data), "data": data})
}

// matches reports whether a filter has the value; without values it is no filter.
func matches(filter []string, value string) bool {
	return len(filter) == 0 || slices.Contains(filter, value)
}

func (e *elastic) readAction(r *stage.Request, space, id string) stage.Answer {
	if bad := unknownQuery(r.URL.Query()); bad != "" {
		return e.reject(opElasticAction, bad)
	}
	for _, a := range e.taken(space) {
		if a.id == id {
			details := e.order(a)
			details["agentState"] = map[string]any{a.host: progressOf(a)}
			return stage.AnswerJSON(http.StatusOK, map[string]any{"data": details})
		}
	}
	return e.refuse(http.StatusNotFound, "Action with id not found.")
}

// taken returns all orders of a space, the oldest first, repeats with the state of what they
// repeat.
func (e *elastic) taken(space string) []*fleetAction {
	orders := e.fleet.orders(space)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, again := range e.repeats {
		if again.tenant != space {
			continue
		}
		picture := again.fleetAction
		if first := e.fleet.action(space, again.of); first != nil {
			picture.state, picture.updated = first.state, first.updated
		}
		orders = append(orders, &picture)
	}
	slices.SortStableFunc(orders, func(a, b *fleetAction) int { return a.at.Compare(b.at) })
	return orders
}

// act takes an order for one host.
func (e *elastic) act(r *stage.Request, space, op, what string) stage.Answer {
	var body struct {
		Hosts   []string `json:"endpoint_ids"`
		Comment string   `json:"comment"`
		Type    string   `json:"agent_type"`
	}
	switch err := stage.DecodeStrict(r.Payload, &body); {
	case r.URL.RawQuery != "":
		return e.reject(op, "unknown query parameter")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || err != nil:
		return e.reject(op, "the body is not valid")
	case len(body.Hosts) != 1 || body.Hosts[0] == "":
		return e.reject(op, "exactly one endpoint id is expected")
	case body.Type != "" && body.Type != "endpoint":
		return e.reject(op, "only agents of Elastic Defend are simulated")
	}
	a, refused := e.fleet.order(space, body.Hosts[0], what, false)
	switch refused {
	case refusedUnknown:
		return e.refuse(http.StatusNotFound, "the agent does not exist")
	case refusedProtected:
		return e.refuse(http.StatusBadRequest, "the host does not support this action")
	case refusedAlready:
		a = e.repeat(space, body.Hosts[0], what, a)
	}
	details := e.order(a)
	details["comment"] = body.Comment
	return stage.AnswerJSON(http.StatusOK, map[string]any{"action": a.id, "data": details})
}

// repeat takes an order the host needs no more. First is the order that led there, if any.
func (e *elastic) repeat(space, host, what string, first *fleetAction) *fleetAction {
	now := e.Now().UTC()
	again := repeat{fleetAction: fleetAction{id: uuidLike(stage.RandomHex(32)), tenant: space, host: host, what: what,
		state: actionSucceeded, at: now, updated: now}}
	if first != nil {
		again.of, again.state, again.updated = first.id, first.state, first.updated
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.repeats = append(e.repeats, again)
	return &again.fleetAction
}

func command(a *fleetAction) string {
	if a.what == orderRelease {
		return "unisolate"
	}
	return "isolate"
}

// order is an order as Kibana shows it.
func (e *elastic) order(a *fleetAction) map[string]any {
	status := map[string]string{actionPending: "pending", actionSucceeded: "successful", actionFailed: "failed"}[a.state]
	v := map[string]any{
		"id": a.id, "agents": []string{a.host}, "command": command(a), "agentType": "endpoint", "createdBy": "watchfire",
		"startedAt": a.at.Format(time.RFC3339Nano), "isExpired": false, "status": status,
	}
	for name, value := range progressOf(a) {
		v[name] = value
	}
	return v
}

func progressOf(a *fleetAction) map[string]any {
	v := map[string]any{"isCompleted": a.state != actionPending, "wasSuccessful": a.state == actionSucceeded}
	if a.state != actionPending {
		v["completedAt"] = a.updated.Format(time.RFC3339Nano)
	}
	return v
}

// pageSize reads the size of a page; which page is not simulated beyond the first.
func pageSize(q url.Values, fallback, limit int) (int, error) {
	if page := q.Get("page"); page != "" && page != "0" && page != "1" {
		return 0, errors.New("only the first page is simulated")
	}
	if !q.Has("pageSize") {
		return fallback, nil
	}
	size, err := strconv.Atoi(q.Get("pageSize"))
	if err != nil || size < 1 || size > limit {
		return 0, errors.New("pageSize is not valid")
	}
	return size, nil
}
