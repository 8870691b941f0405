package edr

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// act takes an isolate or unisolate. The 201 only means that Defender made a machine action.
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
	for _, name := range slices.Sorted(maps.Keys(body)) {
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
	return d.takeAction(op, id, body["Comment"])
}

func (d *mde) takeAction(op, id, comment string) stage.Answer {
	kind := kindIsolate
	if op == opMDEUnisolate {
		kind = kindRelease
	}
	h := d.fleet.hostByID(mdeTenant, id)
	if h == nil {
		return d.Refusal(http.StatusNotFound)
	}
	queues := h.persona == "double_isolate"
	if h.current != nil && h.current.kind != kind && !queues {
		return d.errorAnswer(http.StatusBadRequest, "ActiveRequestAlreadyExists", "Action is already in progress")
	}
	a, refusal := d.fleet.act(mdeTenant, id, kind, queues)
	switch {
	case refusal == refusedProtected:
		return d.errorAnswer(http.StatusForbidden, "DisallowedOperation", "the action is not allowed on this device")
	case refusal == refusedAlready && a != nil && a.state == statePending && h.persona == "returns_pending":
		return stage.AnswerJSON(http.StatusCreated, d.showAction(a, comment))
	case refusal == refusedAlready:
		return d.errorAnswer(http.StatusBadRequest, "ActiveRequestAlreadyExists", "Action is already in progress")
	case refusal != "":
		return d.Refusal(http.StatusNotFound)
	}
	return stage.AnswerJSON(http.StatusCreated, d.showAction(a, comment))
}

// listActions answers with the machine actions, the newest first.
func (d *mde) listActions(r *stage.Request) stage.Answer {
	terms, top, skip, err := parseOData(r.URL.Query(), "id", "status", "machineId", "type", "requestor")
	if err != nil {
		return d.reject(opMDEListActions, "ODataError", err.Error())
	}
	rows := []any{}
	for _, a := range slices.Backward(d.allActions()) {
		row := d.showAction(a, "")
		if !slices.ContainsFunc(terms, func(t odataTerm) bool { return !t.isMetBy(row) }) {
			rows = append(rows, row)
		}
	}
	return d.answerPage("MachineActions", rows, top, skip)
}

func (d *mde) getAction(id string) stage.Answer {
	for _, a := range d.allActions() {
		if a.id == id {
			return stage.AnswerJSON(http.StatusOK, d.showAction(a, ""))
		}
	}
	return d.Refusal(http.StatusNotFound)
}

// cancelAction ends an action that is not in a final state.
func (d *mde) cancelAction(r *stage.Request, id string) stage.Answer {
	var body map[string]string
	if err := stage.DecodeStrict(r.Payload, &body); err != nil || len(body) != 1 || body["Comment"] == "" {
		return d.reject(opMDECancelAction, "InvalidRequestBody", "the body is not valid")
	}
	if d.fleet.actionByID(mdeTenant, id) == nil {
		return d.Refusal(http.StatusNotFound)
	}
	if !d.fleet.cancelAction(mdeTenant, id) {
		return d.errorAnswer(http.StatusBadRequest, "BadRequest", "the action is in a final state")
	}
	return stage.AnswerJSON(http.StatusOK, d.showAction(d.fleet.actionByID(mdeTenant, id), ""))
}

// allActions returns all machine actions, the oldest first. For a device that was isolated before
// any client asked for it, there is an action of the past.
func (d *mde) allActions() []*fleetAction {
	all := d.fleet.actionsOf(mdeTenant)
	for _, h := range d.fleet.hostsOf(mdeTenant) {
		for i, c := range h.changes {
			if c.State == hostIsolated && (i == 0 || h.changes[i-1].State == hostNormal) {
				all = append(all, &fleetAction{id: formatUUID(stage.HashHex(h.id + strconv.Itoa(i))), host: h.id, kind: kindIsolate,
					state: stateSucceeded, at: c.At, updated: c.At})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *fleetAction) int { return a.at.Compare(b.at) })
	return all
}

// showAction writes a machine action as the API does.
func (d *mde) showAction(a *fleetAction, comment string) map[string]any {
	h := d.fleet.hostByID(mdeTenant, a.host)
	status := map[string]string{statePending: "Pending", stateSucceeded: "Succeeded", stateFailed: "Failed"}[a.state]
	switch {
	case a.cancelled:
		status = "Cancelled"
	case a.state == statePending && h.current != nil && h.current.id == a.id && h.isOnline() && d.Now().Sub(a.at) > d.Scale(time.Second):
		status = "InProgress"
	}
	kind := map[string]string{kindIsolate: "Isolate", kindRelease: "Unisolate"}[a.kind]
	return map[string]any{
		"id": a.id, "type": kind, "scope": "Full", "status": status, "machineId": a.host, "computerDnsName": strings.ToLower(h.name()),
		"requestor": "simulated app", "requestorComment": comment, "externalID": nil, "cancellationComment": nil,
		"creationDateTimeUtc": d.formatMoment(a.at), "lastUpdateDateTimeUtc": d.formatMoment(a.updated),
	}
}
