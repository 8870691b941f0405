package edr

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const maxCortexPage = 100

// readRequestData reads the body of a call, whose only field is request_data; false when it is not
// valid.
func (c *cortex) readRequestData(r *stage.Request, into any) bool {
	var body struct {
		Data json.RawMessage `json:"request_data"`
	}
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && r.URL.RawQuery == "" &&
		stage.DecodeStrict(r.Payload, &body) == nil && stage.DecodeStrict(body.Data, into) == nil
}

// listEndpoints answers the search for endpoints, by names, by ids or all of them. A name is matched to the letter: the
// reference does not say so, nor otherwise.
func (c *cortex) listEndpoints(r *stage.Request) stage.Answer {
	var asked struct {
		Filters []struct {
			Field    string   `json:"field"`
			Operator string   `json:"operator"`
			Value    []string `json:"value"`
		} `json:"filters"`
		From int `json:"search_from"`
		To   int `json:"search_to"`
	}
	if !c.readRequestData(r, &asked) {
		return c.reject(opCortexEndpoints, "the body is not valid")
	}
	if asked.From < 0 || asked.To <= asked.From || asked.To-asked.From > maxCortexPage {
		return c.reject(opCortexEndpoints, "the page is not valid")
	}
	hosts := c.fleet.hostsOf(cortexTenant)
	for i, f := range asked.Filters {
		if i > 0 || f.Operator != "in" || len(f.Value) == 0 {
			return c.reject(opCortexEndpoints, "one filter with the operator in is expected")
		}
		switch f.Field {
		case "hostname":
			c.fleet.bringUp(cortexTenant, f.Value[0])
			hosts = slices.DeleteFunc(c.fleet.hostsOf(cortexTenant), func(h *fleetHost) bool { return !slices.Contains(f.Value, h.name()) })
		case "endpoint_id_list":
			hosts = slices.DeleteFunc(hosts, func(h *fleetHost) bool { return !slices.Contains(f.Value, h.id) })
		default:
			return c.reject(opCortexEndpoints, "unknown filter "+f.Field)
		}
	}
	total := len(hosts)
	endpoints := []any{}
	for _, h := range hosts[min(asked.From, total):min(asked.To, total)] {
		endpoints = append(endpoints, c.showEndpoint(h))
	}
	return answerCortex(map[string]any{"total_count": total, "result_count": len(endpoints), "endpoints": endpoints})
}

// listAll answers with all endpoints and a little of each. It knows no pages and no filters.
func (c *cortex) listAll(r *stage.Request) stage.Answer {
	var asked struct{}
	if !c.readRequestData(r, &asked) {
		return c.reject(opCortexList, "the body is not valid")
	}
	list := []any{}
	for _, h := range c.fleet.hostsOf(cortexTenant) {
		e := c.showEndpoint(h)
		list = append(list, map[string]any{
			"agent_id": h.id, "host_name": h.name(), "agent_status": e["endpoint_status"], "operational_status": "PROTECTED",
			"agent_type": map[bool]string{true: "Workstation", false: "Server"}[h.class == "workstation"],
			"ip":         e["ip"], "last_seen": e["last_seen"], "users": []string{},
		})
	}
	return answerCortex(list)
}

// showEndpoint writes a host as Cortex lists it.
func (c *cortex) showEndpoint(h *fleetHost) map[string]any {
	status, kind := "CONNECTED", "AGENT_TYPE_WORKSTATION"
	switch {
	case h.persona == "uninstalled", h.gone:
		status = "UNINSTALLED"
	case !h.isOnline():
		status = "DISCONNECTED"
	}
	if h.class != "workstation" {
		kind = "AGENT_TYPE_SERVER"
	}
	return map[string]any{
		"endpoint_id": h.id, "endpoint_name": h.name(), "endpoint_type": kind, "endpoint_status": status,
		"os_type": "AGENT_OS_WINDOWS", "ip": []string{"192.0.2.10"}, "users": []string{}, "domain": "", "alias": "",
		"first_seen": h.first.UnixMilli(), "last_seen": h.lastSeen.UnixMilli(), "install_date": h.first.UnixMilli(),
		"endpoint_version": "8.4.0", "group_name": nil, "operational_status": "PROTECTED",
		"is_isolated": map[string]string{hostNormal: "AGENT_UNISOLATED", hostIsolating: "AGENT_PENDING_ISOLATION",
			hostIsolated: "AGENT_ISOLATED", hostReleasing: "AGENT_PENDING_ISOLATION_CANCELLATION"}[h.state],
		"tags": map[string]any{"server_tags": append([]string{}, h.tags...), "endpoint_tags": []string{}},
	}
}

// act takes an action on one endpoint. Cortex refuses an action that would change nothing with a
// 500. The ids of releases are text, those of isolations numbers.
func (c *cortex) act(r *stage.Request, op, kind string) stage.Answer {
	var asked struct {
		ID       string          `json:"endpoint_id"`
		Incident json.RawMessage `json:"incident_id"`
	}
	if !c.readRequestData(r, &asked) || asked.ID == "" {
		return c.reject(op, "exactly one endpoint_id is expected")
	}
	_, before := statesOf(oppositeOf(kind))
	h := c.fleet.hostByID(cortexTenant, asked.ID)
	if h == nil || h.state != before || h.persona == "uninstalled" {
		return c.refuseNeedless(kind)
	}
	a, refused := c.fleet.act(cortexTenant, asked.ID, kind, false)
	if refused != "" {
		return c.refuseNeedless(kind)
	}
	if kind == kindRelease {
		return answerCortex(map[string]any{"action_id": a.id, "status": "1", "endpoints_count": "1"})
	}
	return answerCortex(map[string]any{"action_id": json.Number(a.id), "status": 1, "endpoints_count": 1})
}

func (c *cortex) refuseNeedless(kind string) stage.Answer {
	word := map[string]string{kindIsolate: "ISOLATE", kindRelease: "UNISOLATE"}[kind]
	return c.refuse(http.StatusInternalServerError, nothingToDo, "can't create group action id for "+word)
}

// readActionStatus answers with the status of an action. For an unknown action it lists no endpoint.
func (c *cortex) readActionStatus(r *stage.Request) stage.Answer {
	var asked struct {
		Group json.Number `json:"group_action_id"`
	}
	if !c.readRequestData(r, &asked) || asked.Group == "" {
		return c.reject(opCortexAction, "a group_action_id is expected")
	}
	data := map[string]string{}
	if a := c.fleet.actionByID(cortexTenant, asked.Group.String()); a != nil {
		data[a.host] = c.statusOf(a)
	}
	return answerCortex(map[string]any{"data": data})
}

func (c *cortex) statusOf(a *fleetAction) string {
	switch {
	case a.state == stateSucceeded:
		return "COMPLETED_SUCCESSFULLY"
	case a.state == stateFailed && a.cancelled:
		return []string{"CANCELED", "CANCELLED"}[a.n%2]
	case a.state == stateFailed:
		return "FAILED"
	}
	if h := c.fleet.hostByID(cortexTenant, a.host); h != nil && h.isOnline() {
		return "IN_PROGRESS"
	}
	return "PENDING"
}

func answerCortex(reply any) stage.Answer {
	return stage.AnswerJSON(http.StatusOK, map[string]any{"reply": reply})
}
