package edr

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// act answers isolate and unisolate. 201 only means that there is a machine action now.
func (d *mde) act(r *stage.Request, op, id string) stage.Answer {
	// The names of the body are case-sensitive, which encoding/json is not.
	var body map[string]string
	allowed := []string{"Comment", "ExternalId"}
	if op == opMDEIsolate {
		allowed = append(allowed, "IsolationType")
	}
	if err := stage.DecodeStrict(r.Payload, &body); err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || r.URL.RawQuery != "" {
		return d.reject(op, "InvalidRequestBody", "the body is not valid")
	}
	for name := range body {
		if !slices.Contains(allowed, name) {
			return d.reject(op, "InvalidRequestBody", "unknown field "+name)
		}
	}
	if body["Comment"] == "" {
		return d.reject(op, "MissingRequiredParameter", "Parameter Comment is missing")
	}
	if op == opMDEIsolate && !slices.Contains([]string{"Full", "Selective", "UnManagedDevice"}, body["IsolationType"]) {
		return d.reject(op, "InvalidInput", "IsolationType is not valid")
	}
	return d.ordered(op, id, body["Comment"])
}

func (d *mde) ordered(op, id, comment string) stage.Answer {
	what := orderIsolate
	if op == opMDEUnisolate {
		what = orderRelease
	}
	h := d.fleet.byID(mdeTenant, id)
	if h == nil {
		return d.Refusal(http.StatusNotFound)
	}
	queues := h.persona == "double_isolate"
	if h.current != nil && h.current.what != what && !queues {
		return d.failure(http.StatusBadRequest, "ActiveRequestAlreadyExists", "Action is already in progress")
	}
	a, refusal := d.fleet.order(mdeTenant, id, what, queues)
	switch {
	case refusal == refusedProtected:
		return d.failure(http.StatusForbidden, "DisallowedOperation", "the action is not allowed on this device")
	case refusal == refusedAlready && a != nil && a.state == actionPending && h.persona == "returns_pending":
		return stage.AnswerJSON(http.StatusCreated, d.action(a, comment))
	case refusal == refusedAlready:
		return d.failure(http.StatusBadRequest, "ActiveRequestAlreadyExists", "Action is already in progress")
	case refusal != "":
		return d.Refusal(http.StatusNotFound)
	}
	return stage.AnswerJSON(http.StatusCreated, d.action(a, comment))
}

// listActions answers the newest first.
func (d *mde) listActions(r *stage.Request) stage.Answer {
	terms, top, skip, err := odata(r.URL.Query(), "id", "status", "machineId", "type", "requestor")
	if err != nil {
		return d.reject(opMDEListActions, "ODataError", err.Error())
	}
	rows := []any{}
	for _, a := range slices.Backward(d.actions()) {
		row := d.action(a, "")
		if !slices.ContainsFunc(terms, func(t odataTerm) bool { return !t.holds(row) }) {
			rows = append(rows, row)
		}
	}
	return d.page("MachineActions", rows, top, skip)
}

func (d *mde) getAction(id string) stage.Answer {
	for _, a := range d.actions() {
		if a.id == id {
			return stage.AnswerJSON(http.StatusOK, d.action(a, ""))
		}
	}
	return d.Refusal(http.StatusNotFound)
}

// cancel ends an action that is not in a final state.
func (d *mde) cancel(r *stage.Request, id string) stage.Answer {
	var body map[string]string
	if err := stage.DecodeStrict(r.Payload, &body); err != nil || len(body) != 1 || body["Comment"] == "" {
		return d.reject(opMDECancelAction, "InvalidRequestBody", "the body is not valid")
	}
	if d.fleet.action(mdeTenant, id) == nil {
		return d.Refusal(http.StatusNotFound)
	}
	if !d.fleet.cancel(mdeTenant, id) {
		return d.failure(http.StatusBadRequest, "BadRequest", "the action is in a final state")
	}
	return stage.AnswerJSON(http.StatusOK, d.action(d.fleet.action(mdeTenant, id), ""))
}

// actions are all machine actions, the oldest first. A device that was isolated before anybody
// ordered it has been isolated by an action of the past.
func (d *mde) actions() []*fleetAction {
	all := d.fleet.orders(mdeTenant)
	for _, h := range d.fleet.all(mdeTenant) {
		for i, c := range h.changes {
			if c.State == hostIsolated && (i == 0 || h.changes[i-1].State == hostNormal) {
				all = append(all, &fleetAction{id: uuidLike(stage.HashHex(h.id + strconv.Itoa(i))), host: h.id, what: orderIsolate,
					state: actionSucceeded, at: c.At, updated: c.At})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *fleetAction) int { return a.at.Compare(b.at) })
	return all
}

// action is a machine action as the API shows it.
func (d *mde) action(a *fleetAction, comment string) map[string]any {
	h := d.fleet.byID(mdeTenant, a.host)
	status := map[string]string{actionPending: "Pending", actionSucceeded: "Succeeded", actionFailed: "Failed"}[a.state]
	switch {
	case a.cancelled:
		status = "Cancelled"
	case a.state == actionPending && h.current != nil && h.current.id == a.id && h.online() && d.Now().Sub(a.at) > d.Scale(time.Second):
		status = "InProgress"
	}
	kind := map[string]string{orderIsolate: "Isolate", orderRelease: "Unisolate"}[a.what]
	return map[string]any{
		"id": a.id, "type": kind, "scope": "Full", "status": status, "machineId": a.host, "computerDnsName": strings.ToLower(h.hostname),
		"requestor": "simulated app", "requestorComment": comment, "externalID": nil, "cancellationComment": nil,
		"creationDateTimeUtc": d.moment(a.at), "lastUpdateDateTimeUtc": d.moment(a.updated),
	}
}
