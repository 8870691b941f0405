package edr

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// listAgents answers the search for agents, page by page. The first search for a name brings an agent into being.
func (o *sentinelOne) listAgents(r *stage.Request) stage.Answer {
	q := r.URL.Query()
	if bad := checkQuery(q, "ids", "computerName", "computerName__like", "limit", "cursor"); bad != "" || len(q["ids"]) > 1 {
		return o.reject(opAgents, "unknown or repeated query parameter")
	}
	query := s1Query{Name: q.Get("computerName"), Like: q.Get("computerName__like")}
	if q.Has("ids") {
		query.IDs = strings.Split(q.Get("ids"), ",")
	}
	limit, offset := 10, 0
	var err error
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > 1000 {
			return o.reject(opAgents, "limit is 1 to 1000")
		}
	}
	if q.Has("cursor") {
		if offset, err = strconv.Atoi(strings.TrimPrefix(q.Get("cursor"), s1Cursor)); err != nil || offset < 1 {
			return o.reject(opAgents, "the cursor was not given by an earlier page")
		}
	}
	for _, name := range []string{query.Name, query.Like} {
		if name != "" {
			o.fleet.bringUp(s1Site, name)
		}
	}
	return o.answerPage(o.selectAgents(query), offset, limit)
}

const s1Cursor = "after+/=" // with characters a client must escape

func (o *sentinelOne) answerPage(hosts []*fleetHost, offset, limit int) stage.Answer {
	total, data := len(hosts), []any{}
	for _, h := range hosts[min(offset, total):min(offset+limit, total)] {
		data = append(data, showS1Agent(h))
	}
	var next any
	if offset+limit < total {
		next = s1Cursor + strconv.Itoa(offset+limit)
	}
	return o.answerWithID(http.StatusOK, map[string]any{"data": data,
		"pagination": map[string]any{"totalItems": total, "nextCursor": next}})
}

// showS1Agent writes an agent as the API does.
func showS1Agent(h *fleetHost) map[string]any {
	tags, machine := []any{}, "desktop"
	for _, tag := range h.tags {
		tags = append(tags, map[string]string{"id": stage.HashHex(tag)[:18], "key": tag, "value": ""})
	}
	if h.class != "workstation" { // a domain controller is a server like any other
		machine = "server"
	}
	status := map[string]string{hostNormal: "connected", hostIsolating: "disconnecting",
		hostIsolated: "disconnected", hostReleasing: "connecting"}[h.state]
	return map[string]any{
		"id": h.id, "uuid": stage.HashHex(h.id), "computerName": h.name(), "siteId": s1Site, "networkStatus": status,
		"isActive": h.isOnline(), "lastActiveDate": h.lastSeen.Format(time.RFC3339Nano), "registeredAt": h.first.Format(time.RFC3339Nano),
		"isDecommissioned": h.persona == "decommissioned", "isUninstalled": h.persona == "uninstalled" || h.gone, "isPendingUninstall": false,
		"machineType": machine, "osType": "windows", "osName": "Windows 11 Pro", "agentVersion": "23.4.2.14",
		"networkQuarantineEnabled": false, "tags": map[string]any{"sentinelone": tags},
	}
}

// act takes a disconnect or connect. It affects every agent that the filter reaches, as SentinelOne
// does: an empty filter reaches the whole fleet. A filter without exactly one id is a violation.
func (o *sentinelOne) act(r *stage.Request, op, kind string) stage.Answer {
	var body struct {
		Filter *s1Query       `json:"filter"`
		Data   map[string]any `json:"data"`
	}
	switch err := stage.DecodeStrict(r.Payload, &body); {
	case r.URL.RawQuery != "":
		return o.reject(op, "an action has no query")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || err != nil || body.Filter == nil:
		return o.reject(op, "the body is not valid")
	}
	hosts := o.selectAgents(*body.Filter)
	if len(body.Filter.IDs) != 1 {
		o.Violations.Add(o.Now(), op, "the filter does not name one agent and reached "+strconv.Itoa(len(hosts)))
	}
	affected := 0
	for _, h := range hosts {
		if h.persona == "uninstalled" || h.persona == "decommissioned" {
			continue
		}
		if _, refusal := o.fleet.act(s1Site, h.id, kind, false); refusal == "" {
			affected++
		}
	}
	return o.answerWithID(http.StatusOK, map[string]any{"data": map[string]int{"affected": affected}})
}
