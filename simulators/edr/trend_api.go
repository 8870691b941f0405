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

// trendTime is the inventory's form of a time, which is UTC and does not say so.
const trendTime = "2006-01-02T15:04:05"

// readTrendPage reads the size of a page, one of those allowed, and where it begins.
func readTrendPage(q url.Values, sizes []string) (size, from int, err error) {
	top := q.Get("top")
	if !q.Has("top") {
		top = "50"
	}
	if !slices.Contains(sizes, top) {
		return 0, 0, errors.New("top is not one of " + strings.Join(sizes, ", "))
	}
	size, _ = strconv.Atoi(top)
	if q.Has("skipToken") {
		if from, err = strconv.Atoi(q.Get("skipToken")); err != nil || from < 0 {
			return 0, 0, errors.New("skipToken is not valid")
		}
	}
	return size, from, nil
}

// listEndpoints answers the endpoint inventory, filtered by a header.
func (t *trend) listEndpoints(r *stage.Request) stage.Answer {
	if bad := checkQuery(r.URL.Query(), "top", "skipToken"); bad != "" {
		return t.reject(opTrendList, bad)
	}
	f, err := parseTrendFilter(r.Header.Get("TMV1-Filter"), "endpointName", "agentGuid", "type", "isolationStatus")
	if err != nil {
		return t.reject(opTrendList, "invalid filter: "+err.Error())
	}
	for _, name := range f.asked["endpointName"] {
		t.fleet.bringUp(trendAccount, name)
	}
	rows := []any{}
	for _, h := range t.fleet.hostsOf(trendAccount) {
		e := showTrendEndpoint(h)
		if h.gone { // only seen on the network
			delete(e, "agentGuid")
		}
		if f.matches(func(field string) string { text, _ := e[field].(string); return text }) {
			rows = append(rows, e)
		}
	}
	return t.answerPage(r, opTrendList, rows, "10", "50", "100", "200", "500", "1000")
}

// readEndpoint answers with one endpoint.
func (t *trend) readEndpoint(r *stage.Request, id string) stage.Answer {
	if r.URL.RawQuery != "" {
		return t.reject(opTrendEndpoint, "unknown query parameter")
	}
	if h := t.fleet.hostByID(trendAccount, id); h != nil {
		return stage.AnswerJSON(http.StatusOK, showTrendEndpoint(h))
	}
	return t.Refusal(http.StatusNotFound)
}

// showTrendEndpoint writes a device as the inventory does, which knows nothing of actions under way.
func showTrendEndpoint(h *fleetHost) map[string]any {
	kind, isolation, connectivity, status := "desktop", "off", "connected", "on"
	if h.class != "workstation" {
		kind = "server"
	}
	if h.state == hostIsolated || h.state == hostReleasing {
		isolation = "on"
	}
	if !h.isOnline() {
		connectivity, status = "disconnected", "off"
	}
	seen := h.lastSeen.Format(trendTime)
	return map[string]any{
		"agentGuid": h.id, "endpointName": h.name(), "type": kind, "isolationStatus": isolation, "osPlatform": "windows",
		"osName": "Windows", "ipAddresses": []string{"192.0.2.10"},
		"edrSensor": map[string]any{"status": "enabled", "connectivity": connectivity, "lastConnectedDateTime": seen},
		"eppAgent":  map[string]any{"status": status, "lastConnectedDateTime": seen},
	}
}

// act takes an isolation or a restoration. It answers with a list of results, good or bad.
func (t *trend) act(r *stage.Request, op, kind string) stage.Answer {
	var body []struct {
		AgentGUID   string `json:"agentGuid"`
		Description string `json:"description"`
	}
	switch err := stage.DecodeStrict(r.Payload, &body); {
	case err != nil || r.URL.RawQuery != "" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return t.reject(op, "the body is not valid")
	case len(body) != 1 || body[0].AgentGUID == "":
		return t.reject(op, "exactly one agentGuid is required")
	}
	id := body[0].AgentGUID
	if h := t.fleet.hostByID(trendAccount, id); h != nil && h.persona == "errors_in_207" {
		return answerTrendResult(http.StatusInternalServerError, "the task could not be created")
	}
	a, refusal := t.fleet.act(trendAccount, id, kind, false)
	switch refusal {
	case refusedUnknown:
		return answerTrendResult(http.StatusNotFound, "the endpoint does not exist")
	case refusedProtected, refusedAlready:
		return answerTrendResult(http.StatusBadRequest, "the endpoint cannot take this action: "+refusal)
	}
	return stage.AnswerJSON(http.StatusMultiStatus, []any{map[string]any{"status": http.StatusAccepted, "headers": []any{
		map[string]string{"name": "Operation-Location", "value": "http://" + r.Host + "/v3.0/response/tasks/" + a.id}}}})
}

func answerTrendResult(status int, message string) stage.Answer {
	return stage.AnswerJSON(http.StatusMultiStatus, []any{map[string]any{"status": status, "body": trendErrorBody(status, message)}})
}

// listTasks answers the list of response tasks, the newest first, filtered by a query parameter.
func (t *trend) listTasks(r *stage.Request) stage.Answer {
	q := r.URL.Query()
	if bad := checkQuery(q, "top", "skipToken", "filter", "startDateTime"); bad != "" {
		return t.reject(opTrendTasks, bad)
	}
	var start time.Time
	if q.Has("startDateTime") {
		var err error
		if start, err = time.Parse(time.RFC3339, q.Get("startDateTime")); err != nil || t.Now().Sub(start) > 180*24*time.Hour {
			return t.reject(opTrendTasks, "startDateTime is not valid")
		}
	}
	f, err := parseTrendFilter(q.Get("filter"), "id", "status", "action", "account")
	if err != nil {
		return t.reject(opTrendTasks, "invalid filter: "+err.Error())
	}
	rows := []any{}
	for _, a := range slices.Backward(t.fleet.actionsOf(trendAccount)) {
		row := t.showTask(a)
		if !a.at.Before(start) && f.matches(func(field string) string { return row[field] }) {
			rows = append(rows, row)
		}
	}
	return t.answerPage(r, opTrendTasks, rows, "50", "100", "200")
}

// readTask answers with one response task.
func (t *trend) readTask(r *stage.Request, id string) stage.Answer {
	if r.URL.RawQuery != "" {
		return t.reject(opTrendTask, "unknown query parameter")
	}
	if a := t.fleet.actionByID(trendAccount, id); a != nil {
		return stage.AnswerJSON(http.StatusOK, t.showTask(a))
	}
	return t.Refusal(http.StatusNotFound)
}

// showTask writes a task as the API does. A task for an offline endpoint waits in the queue.
func (t *trend) showTask(a *fleetAction) map[string]string {
	h := t.fleet.hostByID(trendAccount, a.host)
	status := map[string]string{statePending: "running", stateSucceeded: "succeeded", stateFailed: "failed"}[a.state]
	switch {
	case a.cancelled:
		status = "canceled"
	case a.state == statePending && !h.isOnline():
		status = "queued"
	}
	return map[string]string{
		"id": a.id, "status": status, "action": map[string]string{kindIsolate: "isolate", kindRelease: "restoreIsolate"}[a.kind],
		"agentGuid": a.host, "endpointName": h.name(), "account": "API",
		"createdDateTime": a.at.Format(time.RFC3339), "lastActionDateTime": a.updated.Format(time.RFC3339),
	}
}
