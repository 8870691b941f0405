package edr

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

const sophosTime = "2006-01-02T15:04:05.000Z"

// listEndpoints answers the endpoint search, whose filter finds every name that contains the text.
func (s *sophos) listEndpoints(r *stage.Request) stage.Answer {
	q := r.URL.Query()
	if bad := checkQuery(q, "hostnameContains", "pageSize", "pageFromKey", "view"); bad != "" {
		return s.reject(opSophosList, bad)
	}
	size, from := 50, 0
	for _, number := range []struct {
		name string
		into *int
	}{{"pageSize", &size}, {"pageFromKey", &from}} {
		n, err := strconv.Atoi(q.Get(number.name))
		if q.Has(number.name) && (err != nil || n < 1 || n > 500 && number.name == "pageSize") {
			return s.reject(opSophosList, number.name+" is not valid")
		}
		if q.Has(number.name) {
			*number.into = n
		}
	}
	if view := q.Get("view"); q.Has("view") && !slices.Contains([]string{"basic", "summary", "full"}, view) {
		return s.reject(opSophosList, "view is not valid")
	}
	text := q.Get("hostnameContains")
	s.fleet.bringUp(s.tenant, text)
	hosts := slices.DeleteFunc(s.fleet.hostsOf(s.tenant), func(h *fleetHost) bool {
		return !strings.Contains(strings.ToLower(h.name()), strings.ToLower(text))
	})
	items := []any{}
	for _, h := range hosts[min(from, len(hosts)):min(from+size, len(hosts))] {
		items = append(items, s.showEndpoint(h, q.Get("view")))
	}
	pages := map[string]any{"size": size, "maxSize": 500}
	if from+size < len(hosts) {
		pages["nextKey"] = strconv.Itoa(from + size)
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"items": items, "pages": pages})
}

// readEndpoint answers with one endpoint.
func (s *sophos) readEndpoint(r *stage.Request, id string) stage.Answer {
	if bad := checkQuery(r.URL.Query(), "view"); bad != "" {
		return s.reject(opSophosEndpoint, bad)
	}
	if h := s.fleet.hostByID(s.tenant, id); h != nil {
		return stage.AnswerJSON(http.StatusOK, s.showEndpoint(h, r.URL.Query().Get("view")))
	}
	return s.Refusal(http.StatusNotFound)
}

// showEndpoint writes a device as the API does; only the full view has all of it.
func (s *sophos) showEndpoint(h *fleetHost, view string) map[string]any {
	kind := "computer"
	if h.class != "workstation" {
		kind = "server"
	}
	e := map[string]any{
		"id": h.id, "type": kind, "tenant": map[string]string{"id": s.tenant}, "hostname": h.name(),
		"os":         map[string]any{"isServer": kind == "server", "platform": "windows", "name": "Windows"},
		"health":     map[string]any{"overall": "good"},
		"lastSeenAt": h.lastSeen.Format(sophosTime), "registeredAt": h.first.Format(sophosTime), "online": h.isOnline(),
	}
	if view == "full" {
		isolated := h.state == hostIsolated || h.state == hostReleasing
		self := h.persona == "self_isolated"
		status := "notIsolated"
		if isolated || self {
			status = "isolated"
		}
		e["isolation"] = map[string]any{"status": status, "adminIsolated": isolated, "selfIsolated": self}
	}
	return e
}

// readIsolation answers with the isolation wanted of one endpoint.
func (s *sophos) readIsolation(r *stage.Request, id string) stage.Answer {
	if r.URL.RawQuery != "" {
		return s.reject(opSophosIsolation, "unknown query parameter")
	}
	return s.showIsolation(id)
}

// showIsolation writes the isolation wanted of one endpoint, which its sensor may not have reached.
func (s *sophos) showIsolation(id string) stage.Answer {
	h := s.fleet.hostByID(s.tenant, id)
	if h == nil {
		return s.Refusal(http.StatusNotFound)
	}
	isolation := map[string]any{"enabled": h.state == hostIsolated || h.state == hostIsolating}
	for _, c := range h.changes {
		switch c.State {
		case hostIsolating:
			isolation["lastEnabledAt"] = c.At.Format(sophosTime)
		case hostReleasing:
			isolation["lastDisabledAt"] = c.At.Format(sophosTime)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if comment := s.comments[id]; comment != "" {
		isolation["comment"] = comment
	}
	return stage.AnswerJSON(http.StatusOK, isolation)
}

// changeIsolation takes a change of one endpoint's isolation. Sophos refuses a change to the state
// already wanted as a bad request, and one that comes too soon after another.
func (s *sophos) changeIsolation(r *stage.Request, id string) stage.Answer {
	var body struct {
		Enabled *bool  `json:"enabled"`
		Comment string `json:"comment"`
	}
	if err := stage.DecodeStrict(r.Payload, &body); err != nil || body.Enabled == nil || r.URL.RawQuery != "" ||
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return s.reject(opSophosChange, "the body is not valid")
	}
	h, kind := s.fleet.hostByID(s.tenant, id), kindRelease
	if *body.Enabled {
		kind = kindIsolate
	}
	if h != nil && h.persona == "too_soon" && len(h.attempts) > 0 {
		return s.errorAnswer(http.StatusBadRequest, "BadRequest", "isolation was changed a moment ago")
	}
	switch _, refusal := s.fleet.act(s.tenant, id, kind, false); refusal {
	case refusedUnknown:
		return s.Refusal(http.StatusNotFound)
	case refusedProtected, refusedAlready:
		return s.errorAnswer(http.StatusBadRequest, "BadRequest", fmt.Sprintf("isolation cannot be changed: %s", refusal))
	}
	s.mu.Lock()
	s.comments[id] = body.Comment
	s.mu.Unlock()
	return s.showIsolation(id)
}
