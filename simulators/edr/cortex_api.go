package edr

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const maxCortexPage = 100

// requested reads the body of a call, whose only field is request_data.
func (c *cortex) requested(r *stage.Request, into any) bool {
	var body struct {
		Data json.RawMessage `json:"request_data"`
	}
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && r.URL.RawQuery == "" &&
		stage.DecodeStrict(r.Payload, &body) == nil && stage.DecodeStrict(body.Data, into) == nil
}

// getEndpoint answers the search for endpoints, by names, by ids or all of them.
func (c *cortex) getEndpoint(r *stage.Request) stage.Answer {
	var asked struct {
		Filters []struct {
			Field    string   `json:"field"`
			Operator string   `json:"operator"`
			Value    []string `json:"value"`
		} `json:"filters"`
		From int `json:"search_from"`
		To   int `json:"search_to"`
	}
	if !c.requested(r, &asked) {
		return c.reject(opCortexEndpoints, "the body is not valid")
	}
	if asked.From < 0 || asked.To <= asked.From || asked.To-asked.From > maxCortexPage {
		return c.reject(opCortexEndpoints, "the page is not valid")
	}
	hosts := c.fleet.all(cortexTenant)
	for i, f := range asked.Filters {
		if i > 0 || f.Operator != "in" || len(f.Value) == 0 {
			return c.reject(opCortexEndpoints, "one filter with the operator in is expected")
		}
		switch f.Field {
		case "hostname":
			hosts = c.called(f.Value)
		case "endpoint_id_list":
			hosts = slices.DeleteFunc(hosts, func(h *fleetHost) bool { return !slices.Contains(f.Value, h.id) })
		default:
			return c.reject(opCortexEndpoints, "unknown filter "+f.Field)
		}
	}
	total := len(hosts)
	endpoints := []any{}
	for _, h := range hosts[min(asked.From, total):min(asked.To, total)] {
		endpoints = append(endpoints, c.endpoint(h))
	}
	return cortexReply(map[string]any{"total_count": total, "result_count": len(endpoints), "endpoints": endpoints})
}

// called returns the endpoints with any of the names.
func (c *cortex) called(names []string) []*fleetHost {
	var hosts []*fleetHost
	for _, name := range names {
		for _, h := range c.fleet.named(cortexTenant, name) {
			if !slices.ContainsFunc(hosts, func(other *fleetHost) bool { return other.id == h.id }) {
				hosts = append(hosts, h)
			}
		}
	}
	return hosts
}

// endpoint is a host as Cortex lists it.
func (c *cortex) endpoint(h *fleetHost) map[string]any {
	status, kind := "CONNECTED", "AGENT_TYPE_WORKSTATION"
	switch {
	case h.persona == "uninstalled":
		status = "UNINSTALLED"
	case !h.online():
		status = "DISCONNECTED"
	}
	if h.class != "workstation" {
		kind = "AGENT_TYPE_SERVER"
	}
	return map[string]any{
		"endpoint_id": h.id, "endpoint_name": h.hostname, "endpoint_type": kind, "endpoint_status": status,
		"os_type": "AGENT_OS_WINDOWS", "ip": []string{"192.0.2.10"}, "users": []string{}, "domain": "", "alias": "",
		"first_seen": h.first.UnixMilli(), "last_seen": h.lastSeen.UnixMilli(), "install_date": h.first.UnixMilli(),
		"endpoint_version": "8.4.0", "group_name": nil, "operational_status": "PROTECTED",
		"is_isolated": map[string]string{hostNormal: "AGENT_UNISOLATED", hostIsolating: "AGENT_PENDING_ISOLATION",
			hostIsolated: "AGENT_ISOLATED", hostReleasing: "AGENT_PENDING_ISOLATION_CANCELLATION"}[h.state],
		"tags": map[string]any{"server_tags": append([]string{}, h.tags...), "endpoint_tags": []string{}},
	}
}

// act takes an order for one endpoint. Cortex makes none for an endpoint it cannot make move, and
// says so with a 500. The ids of releases are text, those of isolations numbers.
func (c *cortex) act(r *stage.Request, op, what string) stage.Answer {
	var asked struct {
		ID       string          `json:"endpoint_id"`
		Incident json.RawMessage `json:"incident_id"`
	}
	if !c.requested(r, &asked) || asked.ID == "" {
		return c.reject(op, "exactly one endpoint_id is expected")
	}
	_, before := goal(opposite(what))
	h := c.fleet.byID(cortexTenant, asked.ID)
	if h == nil || h.state != before || h.persona == "uninstalled" {
		return c.nothing(what)
	}
	a, refused := c.fleet.order(cortexTenant, asked.ID, what, false)
	if refused != "" {
		return c.nothing(what)
	}
	if what == orderRelease {
		return cortexReply(map[string]any{"action_id": a.id, "status": "1", "endpoints_count": "1"})
	}
	return cortexReply(map[string]any{"action_id": json.Number(a.id), "status": 1, "endpoints_count": 1})
}

func (c *cortex) nothing(what string) stage.Answer {
	word := map[string]string{orderIsolate: "ISOLATE", orderRelease: "UNISOLATE"}[what]
	return c.refuse(http.StatusInternalServerError, nothingToDo, "can't create group action id for "+word)
}

// actionStatus answers what became of an order; of one it does not know it lists no endpoint.
func (c *cortex) actionStatus(r *stage.Request) stage.Answer {
	var asked struct {
		Group json.Number `json:"group_action_id"`
	}
	if !c.requested(r, &asked) || asked.Group == "" {
		return c.reject(opCortexAction, "a group_action_id is expected")
	}
	data := map[string]string{}
	if a := c.fleet.action(cortexTenant, asked.Group.String()); a != nil {
		data[a.host] = c.status(a)
	}
	return cortexReply(map[string]any{"data": data})
}

func (c *cortex) status(a *fleetAction) string {
	switch {
	case a.state == actionSucceeded:
		return "COMPLETED_SUCCESSFULLY"
	case a.state == actionFailed && a.cancelled:
		return []string{"CANCELED", "CANCELLED"}[a.n%2]
	case a.state == actionFailed:
		return "FAILED"
	}
	if h := c.fleet.byID(cortexTenant, a.host); h != nil && h.online() {
		return "IN_PROGRESS"
	}
	return "PENDING"
}

func cortexReply(reply any) stage.Answer {
	return stage.AnswerJSON(http.StatusOK, map[string]any{"reply": reply})
}
