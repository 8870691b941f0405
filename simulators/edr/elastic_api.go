package edr

import (
	"errors"
	"maps"
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
	if bad := checkQuery(q, "kuery", "page", "pageSize"); bad != "" {
		return e.reject(opElasticHosts, bad)
	}
	size, err := readPageSize(q, 10, 10_000)
	if err != nil {
		return e.reject(opElasticHosts, err.Error())
	}
	hosts := e.fleet.hostsOf(space)
	if q.Has("kuery") {
		names, err := parseKuery(q.Get("kuery"))
		if err != nil {
			return e.reject(opElasticHosts, err.Error())
		}
		hosts = e.hostsWithNames(space, names)
	}
	data := []any{}
	for _, h := range hosts {
		data = append(data, e.showHost(h))
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"data": data[:min(size, len(data))], "page": 0, "pageSize": size, "total": len(data)})
}

// hostsWithNames returns the hosts with any of the names.
func (e *elastic) hostsWithNames(space string, names []string) []*fleetHost {
	var hosts []*fleetHost
	for _, name := range names {
		for _, h := range e.fleet.hostsNamed(space, name) {
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
	if bad := checkQuery(r.URL.Query()); bad != "" {
		return e.reject(opElasticHost, bad)
	}
	h := e.fleet.hostByID(space, id)
	if h == nil || h.persona == "missing" {
		return e.refuse(http.StatusNotFound, "endpoint not found")
	}
	return stage.AnswerJSON(http.StatusOK, e.showHost(h))
}

// listActions answers with the actions on some hosts, the newest first.
func (e *elastic) listActions(r *stage.Request, space string) stage.Answer {
	q := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains([]string{"agentIds", "commands", "page", "pageSize"}, name) {
			return e.reject(opElasticActions, "unknown query parameter "+name)
		}
	}
	size, err := readPageSize(q, 10, maxPageOfActions)
	switch {
	case err != nil:
		return e.reject(opElasticActions, err.Error())
	case len(q["agentIds"]) > maxAgentsAsked:
		return e.reject(opElasticActions, "too many agents")
	}
	data := []any{}
	for _, a := range slices.Backward(e.actionsAndRepeats(space)) {
		if matchesFilter(q["agentIds"], a.host) && matchesFilter(q["commands"], commandOf(a)) && len(data) < size {
			data = append(data, e.showAction(a))
		}
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"page": 1, "pageSize": size, "total": len(data), "data": data})
}

// matchesFilter reports whether a filter has the value; a filter without values lets all through.
func matchesFilter(filter []string, value string) bool {
	return len(filter) == 0 || slices.Contains(filter, value)
}

func (e *elastic) readAction(r *stage.Request, space, id string) stage.Answer {
	if bad := checkQuery(r.URL.Query()); bad != "" {
		return e.reject(opElasticAction, bad)
	}
	for _, a := range e.actionsAndRepeats(space) {
		if a.id == id {
			details := e.showAction(a)
			details["agentState"] = map[string]any{a.host: showProgress(a)}
			return stage.AnswerJSON(http.StatusOK, map[string]any{"data": details})
		}
	}
	return e.refuse(http.StatusNotFound, "Action with id not found.")
}

// actionsAndRepeats returns all actions of a space, the oldest first, repeats with the state of the
// action they repeat.
func (e *elastic) actionsAndRepeats(space string) []*fleetAction {
	actions := e.fleet.actionsOf(space)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, again := range e.repeats {
		if again.tenant != space {
			continue
		}
		action := again.fleetAction
		if first := e.fleet.actionByID(space, again.of); first != nil {
			action.state, action.updated = first.state, first.updated
		}
		actions = append(actions, &action)
	}
	slices.SortStableFunc(actions, func(a, b *fleetAction) int { return a.at.Compare(b.at) })
	return actions
}

// act takes an action on one host.
func (e *elastic) act(r *stage.Request, space, op, kind string) stage.Answer {
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
	a, refused := e.fleet.act(space, body.Hosts[0], kind, false)
	switch refused {
	case refusedUnknown:
		return e.refuse(http.StatusNotFound, "the agent does not exist")
	case refusedProtected:
		return e.refuse(http.StatusBadRequest, "the host does not support this action")
	case refusedAlready:
		a = e.addRepeat(space, body.Hosts[0], kind, a)
	}
	details := e.showAction(a)
	details["comment"] = body.Comment
	return stage.AnswerJSON(http.StatusOK, map[string]any{"action": a.id, "data": details})
}

// addRepeat takes an action that the host needs no more. First is the action that led the host to
// its state, if any.
func (e *elastic) addRepeat(space, host, kind string, first *fleetAction) *fleetAction {
	now := e.Now().UTC()
	again := repeat{fleetAction: fleetAction{id: formatUUID(stage.RandomHex(32)), tenant: space, host: host, kind: kind,
		state: stateSucceeded, at: now, updated: now}}
	if first != nil {
		again.of, again.state, again.updated = first.id, first.state, first.updated
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.repeats = append(e.repeats, again)
	return &again.fleetAction
}

func commandOf(a *fleetAction) string {
	if a.kind == kindRelease {
		return "unisolate"
	}
	return "isolate"
}

// showAction writes an action as Kibana does.
func (e *elastic) showAction(a *fleetAction) map[string]any {
	status := map[string]string{statePending: "pending", stateSucceeded: "successful", stateFailed: "failed"}[a.state]
	v := map[string]any{
		"id": a.id, "agents": []string{a.host}, "command": commandOf(a), "agentType": "endpoint", "createdBy": "watchfire",
		"startedAt": a.at.Format(time.RFC3339Nano), "isExpired": false, "status": status,
	}
	for name, value := range showProgress(a) {
		v[name] = value
	}
	return v
}

func showProgress(a *fleetAction) map[string]any {
	v := map[string]any{"isCompleted": a.state != statePending, "wasSuccessful": a.state == stateSucceeded}
	if a.state != statePending {
		v["completedAt"] = a.updated.Format(time.RFC3339Nano)
	}
	return v
}

// readPageSize reads the size of a page, and refuses all pages but the first, which are not
// simulated.
func readPageSize(q url.Values, fallback, limit int) (int, error) {
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
