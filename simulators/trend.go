package simulators

import (
	"fmt"
	"net/http"
	"strings"
)

// The operations of the Trend Vision One simulator.
const (
	opTrendList     = "list_endpoints"
	opTrendEndpoint = "endpoint"
	opTrendIsolate  = "isolate_endpoint"
	opTrendRestore  = "restore_endpoint"
	opTrendTasks    = "list_tasks"
	opTrendTask     = "task"
)

// trend pretends to be Trend Vision One: the endpoint inventory and the response tasks of one account.
type trend struct {
	*stage
	temper
	fleet *fleet
}

const trendAccount = "account" // one token reaches one account

// newTrend makes the simulator. Beside every EDR's personas it knows an endpoint whose orders fail
// inside an answer that is a success.
func newTrend(s *stage) vendor {
	v := &trend{stage: s}
	v.personas = fleetPersonas("errors_in_207")
	v.fleet = newFleet(s, v.personas)
	v.fleet.hostForm = uuidLike
	v.fleet.actionForm = func(n int) string { return fmt.Sprintf("%08d", n) }
	return v
}

func (t *trend) name() string { return "trend" }

func (t *trend) ops() []string {
	return []string{opTrendList, opTrendEndpoint, opTrendIsolate, opTrendRestore, opTrendTasks, opTrendTask}
}

func (t *trend) personasChanged(names []string) { t.fleet.personasChanged(names) }

func (t *trend) steerFaults([]Rule) {}

// effects lists the devices, the orders that took effect, and what no correct client does.
func (t *trend) effects() any {
	e := t.fleet.effects()
	e["violations"] = t.violations.all()
	return e
}

func (t *trend) route(r *request) (string, func() answer) {
	op, deed := opUnknown, func() answer {
		t.violations.add(t.now(), opUnknown, r.Method+" is not served on this path")
		return t.refusal(http.StatusNotFound)
	}
	endpoint, oneEndpoint := strings.CutPrefix(r.URL.Path, "/v3.0/endpointSecurity/endpoints/")
	task, oneTask := strings.CutPrefix(r.URL.Path, "/v3.0/response/tasks/")
	switch path := r.Method + " " + r.URL.Path; {
	case path == "GET /v3.0/endpointSecurity/endpoints":
		op, deed = opTrendList, func() answer { return t.list(r) }
	case r.Method == http.MethodGet && oneEndpoint:
		op, deed = opTrendEndpoint, func() answer { return t.one(r, endpoint) }
	case path == "POST /v3.0/response/endpoints/isolate":
		op, deed = opTrendIsolate, func() answer { return t.order(r, opTrendIsolate, orderIsolate) }
	case path == "POST /v3.0/response/endpoints/restore":
		op, deed = opTrendRestore, func() answer { return t.order(r, opTrendRestore, orderRelease) }
	case path == "GET /v3.0/response/tasks":
		op, deed = opTrendTasks, func() answer { return t.tasks(r) }
	case r.Method == http.MethodGet && oneTask:
		op, deed = opTrendTask, func() answer { return t.task(r, task) }
	}
	return op, func() answer {
		if r.Header.Get("Authorization") != "Bearer "+edrValues["trend"]["api_token"] {
			return t.refusal(http.StatusUnauthorized)
		}
		a := deed()
		a.header.Set("X-Trace-Id", uuidLike(randomHex(32)))
		return a
	}
}

// refusal is Vision One's error answer for a status.
func (t *trend) refusal(status int) answer {
	a := jsonAnswer(status, trendError(status, http.StatusText(status)))
	a.header.Set("X-Trace-Id", uuidLike(randomHex(32)))
	if status == http.StatusTooManyRequests {
		a.header.Set("Retry-After", "2")
	}
	return a
}

func trendError(status int, message string) map[string]any {
	return map[string]any{"error": map[string]string{"code": strings.ReplaceAll(http.StatusText(status), " ", ""), "message": message}}
}

// reject answers 400 and records what the client should never send.
func (t *trend) reject(op, message string) answer {
	t.violations.add(t.now(), op, message)
	return jsonAnswer(http.StatusBadRequest, trendError(http.StatusBadRequest, message))
}

// paged is one page of rows, with the link to the next one, if any.
func (t *trend) paged(r *request, op string, rows []any, sizes ...string) answer {
	size, from, err := trendPage(r.URL.Query(), sizes)
	if err != nil {
		return t.reject(op, err.Error())
	}
	body := map[string]any{"items": rows[min(from, len(rows)):min(from+size, len(rows))], "totalCount": len(rows), "count": min(size, len(rows))}
	if from+size < len(rows) {
		q := r.URL.Query()
		q.Set("skipToken", itoa(from+size))
		body["nextLink"] = "http://" + r.Host + r.URL.Path + "?" + q.Encode()
	}
	return jsonAnswer(http.StatusOK, body)
}
