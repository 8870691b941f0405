package edr

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const (
	maxPageOfHosts   = 100 // by the latest reference; Kibana itself takes 10,000
	maxPageOfActions = 100
	maxAgentsAsked   = 50
)

// listHosts answers the search for hosts, by name or all of them, page by page. Pages count from 0. Agents that are
// gone stay on the list.
func (e *elastic) listHosts(r *stage.Request, space string) stage.Answer {
	q := r.URL.Query()
	if bad := checkQuery(q, "kuery", "page", "pageSize"); bad != "" {
		return e.reject(opElasticHosts, bad)
	}
	size, err := readPageSize(q, 10, maxPageOfHosts)
	if err != nil {
		return e.reject(opElasticHosts, err.Error())
	}
	page := 0
	if q.Has("page") {
		if page, err = strconv.Atoi(q.Get("page")); err != nil || page < 0 {
			return e.reject(opElasticHosts, "page is not valid")
		}
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
	for _, h := range hosts[min(page*size, len(hosts)):min((page+1)*size, len(hosts))] {
		data = append(data, e.showHost(h))
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"data": data, "page": page, "pageSize": size, "total": len(hosts)})
}

// hostsWithNames returns the hosts with any of the names, which are matched to the letter. Those without a wildcard
// bring a host into being.
func (e *elastic) hostsWithNames(space string, names []kueryName) []*fleetHost {
	for _, name := range names {
		if name.quoted {
			e.fleet.bringUp(space, name.text)
		}
	}
	return slices.DeleteFunc(e.fleet.hostsOf(space), func(h *fleetHost) bool {
		return !slices.ContainsFunc(names, func(n kueryName) bool { return n.matches(h.name()) })
	})
}

// kueryName is one value of a query: literal in quotes, else with * for any characters.
type kueryName struct {
	text   string
	quoted bool
}

func (n kueryName) matches(name string) bool {
	if n.quoted {
		return n.text == name
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(n.text), `\*`, ".*")
	return regexp.MustCompile("^(?s:" + pattern + ")$").MatchString(name)
}

var unquotedKuery = regexp.MustCompile(`^[A-Za-z0-9._*-]+`)

// parseKuery reads the one query that is simulated: the host name field with a value, in quotes or without any
// character that has a meaning but *, or several in parentheses joined by or.
func parseKuery(kuery string) ([]kueryName, error) {
	bad := errors.New("only host names can be asked for")
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
	var names []kueryName
	for {
		text := unquotedKuery.FindString(values)
		name := kueryName{text: text}
		if text == "" {
			var err error
			if text, err = strconv.QuotedPrefix(values); err != nil || text[0] != '"' {
				return nil, bad
			}
			name = kueryName{strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(text[1 : len(text)-1]), true}
		}
		names = append(names, name)
		rest := values[len(text):]
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
	case q.Has("page") && q.Get("page") != "1":
		return e.reject(opElasticActions, "only the first page is simulated")
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

// readPageSize reads the size of a page.
func readPageSize(q url.Values, fallback, limit int) (int, error) {
	if !q.Has("pageSize") {
		return fallback, nil
	}
	size, err := strconv.Atoi(q.Get("pageSize"))
	if err != nil || size < 1 || size > limit {
		return 0, errors.New("pageSize is not valid")
	}
	return size, nil
}
