package edr

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
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
	*stage.Stage
	stage.Steering
	fleet *fleet
}

const trendAccount = "account" // one token reaches one account

// newTrend makes the simulator. Its own persona is an endpoint whose actions fail inside an answer
// that is a success.
func newTrend(s *stage.Stage) stage.Vendor {
	v := &trend{Stage: s}
	v.Personas = newFleetPersonas("errors_in_207")
	v.fleet = newFleet(s, v.Personas)
	v.fleet.hostForm = formatUUID
	v.fleet.actionForm = func(n int) string { return fmt.Sprintf("%08d", n) }
	return v
}

func (t *trend) Name() string { return "trend" }

func (t *trend) Ops() []string {
	return []string{opTrendList, opTrendEndpoint, opTrendIsolate, opTrendRestore, opTrendTasks, opTrendTask}
}

func (t *trend) PersonasChanged(names []string) { t.fleet.personasChanged(names) }

func (t *trend) SteerFaults([]stage.Rule) {}

// Effects lists the devices, the actions that took effect, and the violations.
func (t *trend) Effects() any {
	e := t.fleet.effects()
	e["violations"] = t.Violations.All()
	return e
}

func (t *trend) Route(r *stage.Request) (string, func() stage.Answer) {
	op, deed := stage.OpUnknown, func() stage.Answer {
		t.Violations.Add(t.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return t.Refusal(http.StatusNotFound)
	}
	endpoint, oneEndpoint := strings.CutPrefix(r.URL.Path, "/v3.0/endpointSecurity/endpoints/")
	task, oneTask := strings.CutPrefix(r.URL.Path, "/v3.0/response/tasks/")
	switch path := r.Method + " " + r.URL.Path; {
	case path == "GET /v3.0/endpointSecurity/endpoints":
		op, deed = opTrendList, func() stage.Answer { return t.listEndpoints(r) }
	case r.Method == http.MethodGet && oneEndpoint:
		op, deed = opTrendEndpoint, func() stage.Answer { return t.readEndpoint(r, endpoint) }
	case path == "POST /v3.0/response/endpoints/isolate":
		op, deed = opTrendIsolate, func() stage.Answer { return t.act(r, opTrendIsolate, kindIsolate) }
	case path == "POST /v3.0/response/endpoints/restore":
		op, deed = opTrendRestore, func() stage.Answer { return t.act(r, opTrendRestore, kindRelease) }
	case path == "GET /v3.0/response/tasks":
		op, deed = opTrendTasks, func() stage.Answer { return t.listTasks(r) }
	case r.Method == http.MethodGet && oneTask:
		op, deed = opTrendTask, func() stage.Answer { return t.readTask(r, task) }
	}
	return op, func() stage.Answer {
		if r.Header.Get("Authorization") != "Bearer "+edrValues["trend"]["api_token"] {
			return t.Refusal(http.StatusUnauthorized)
		}
		a := deed()
		a.Header.Set("X-Trace-Id", formatUUID(stage.RandomHex(32)))
		return a
	}
}

// Refusal is Vision One's error answer for a status.
func (t *trend) Refusal(status int) stage.Answer {
	a := stage.AnswerJSON(status, trendErrorBody(status, http.StatusText(status)))
	a.Header.Set("X-Trace-Id", formatUUID(stage.RandomHex(32)))
	if status == http.StatusTooManyRequests {
		a.Header.Set("Retry-After", "2")
	}
	return a
}

func trendErrorBody(status int, message string) map[string]any {
	return map[string]any{"error": map[string]string{"code": strings.ReplaceAll(http.StatusText(status), " ", ""), "message": message}}
}

// reject answers 400 and records a violation.
func (t *trend) reject(op, message string) stage.Answer {
	t.Violations.Add(t.Now(), op, message)
	return stage.AnswerJSON(http.StatusBadRequest, trendErrorBody(http.StatusBadRequest, message))
}

// answerPage answers with one page of rows, and the link to the next one, if any.
func (t *trend) answerPage(r *stage.Request, op string, rows []any, sizes ...string) stage.Answer {
	size, from, err := readTrendPage(r.URL.Query(), sizes)
	if err != nil {
		return t.reject(op, err.Error())
	}
	body := map[string]any{"items": rows[min(from, len(rows)):min(from+size, len(rows))], "totalCount": len(rows), "count": min(size, len(rows))}
	if from+size < len(rows) {
		q := r.URL.Query()
		q.Set("skipToken", strconv.Itoa(from+size))
		body["nextLink"] = "http://" + r.Host + r.URL.Path + "?" + q.Encode()
	}
	return stage.AnswerJSON(http.StatusOK, body)
}
