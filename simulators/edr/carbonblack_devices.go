package edr

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// cbAway is how long ago a sensor that is offline made contact.
const cbAway = 3 * time.Hour

// searchDevices answers the search for devices. It understands name:value and nothing else of the
// query language, and finds longer names too, whatever the case.
func (c *carbonBlack) searchDevices(r *stage.Request) stage.Answer {
	body := struct {
		Query string `json:"query"`
		Start int    `json:"start"`
		Rows  int    `json:"rows"`
	}{Rows: 20}
	if err := stage.DecodeStrict(r.Payload, &body); err != nil || r.URL.RawQuery != "" || !isCBJSON(r) {
		return c.reject(opSearchDevices, "the body is not valid")
	}
	if body.Start < 0 || body.Rows < 1 || body.Rows > 10_000 {
		return c.reject(opSearchDevices, "rows are 1 to 10000, from 0 on")
	}
	name, err := parseCBQuery(body.Query)
	if err != nil {
		return c.reject(opSearchDevices, err.Error())
	}
	if name != "" {
		c.fleet.bringUp(c.org, name)
	}
	results, found := []any{}, 0
	for _, h := range c.fleet.hostsOf(c.org) {
		if !strings.Contains(strings.ToLower(h.name()), strings.ToLower(name)) {
			continue
		}
		if found >= body.Start && len(results) < body.Rows {
			results = append(results, c.showDevice(h))
		}
		found++
	}
	return stage.AnswerJSON(http.StatusOK, map[string]any{"results": results, "num_found": found})
}

// parseCBQuery reads name:value, where a backslash escapes Lucene's own characters. It returns the
// name, "" for an empty query.
func parseCBQuery(query string) (string, error) {
	if query == "" {
		return "", nil
	}
	value, ok := strings.CutPrefix(query, "name:")
	if !ok || value == "" {
		return "", errors.New("only name:value is simulated")
	}
	var name strings.Builder
	escaped := false
	for _, ch := range value {
		switch {
		case !escaped && ch == '\\':
			escaped = true
			continue
		case !escaped && strings.ContainsRune(`+-&|!(){}[]^"~*?:/<>= `, ch):
			return "", errors.New("the value is not one literal")
		}
		escaped = false
		name.WriteRune(ch)
	}
	if escaped {
		return "", errors.New("the value ends in the middle of an escape")
	}
	return name.String(), nil
}

func isCBJSON(r *stage.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
}

// readDevice answers with one device.
func (c *carbonBlack) readDevice(r *stage.Request, id string) stage.Answer {
	if r.URL.RawQuery != "" || len(r.Payload) > 0 {
		return c.reject(opReadDevice, "a device is read without query or body")
	}
	h := c.fleet.hostByID(c.org, id)
	if h == nil || h.persona == "missing" {
		return c.Refusal(http.StatusNotFound)
	}
	return stage.AnswerJSON(http.StatusOK, c.showDevice(h))
}

// showDevice writes a device as the API does: quarantined or not, and nothing in between.
func (c *carbonBlack) showDevice(h *fleetHost) map[string]any {
	id, _ := strconv.Atoi(h.id)
	seen, platform, system, status := h.lastSeen, "CLIENT_X64", "Windows 11 x64", "REGISTERED"
	if !h.isOnline() {
		seen = c.Now().Add(-cbAway)
	}
	if h.class != "workstation" { // a domain controller is a server like any other
		platform, system = "SERVER_X64", "Windows Server 2022 x64"
	}
	if h.persona == "deregistered" || h.gone {
		status = "DEREGISTERED"
	}
	groups := []any{}
	for _, tag := range h.tags {
		groups = append(groups, map[string]string{"id": formatUUID(stage.HashHex(tag)), "name": tag, "membership_type": "MANUAL"})
	}
	return map[string]any{
		"id": id, "name": h.name(), "status": status, "os": "WINDOWS", "os_version": system, "windows_platform": platform,
		"quarantined":       h.settledState() == hostIsolated,
		"last_contact_time": seen.UTC().Format("2006-01-02T15:04:05.000Z"), "registered_time": h.first.Format("2006-01-02T15:04:05.000Z"),
		"deployment_type": "ENDPOINT", "sensor_version": "3.9.1.2464", "passive_mode": false, "policy_name": "Standard",
		"asset_group": groups, "target_priority": "MEDIUM",
	}
}

// act takes a device action. The empty 204 only means that Carbon Black accepted it, also for a
// device that is in the wanted state already.
func (c *carbonBlack) act(r *stage.Request) stage.Answer {
	var body struct {
		Type    string        `json:"action_type"`
		Devices []json.Number `json:"device_id"`
		Options struct {
			Toggle string `json:"toggle"`
		} `json:"options"`
	}
	kind := kindIsolate
	switch err := stage.DecodeStrict(r.Payload, &body); {
	case err != nil || r.URL.RawQuery != "" || !isCBJSON(r):
		return c.reject(opDeviceAction, "the body is not valid")
	case body.Type != "QUARANTINE":
		return c.reject(opDeviceAction, "only QUARANTINE is simulated")
	case body.Options.Toggle != "ON" && body.Options.Toggle != "OFF":
		return c.reject(opDeviceAction, "the toggle must be ON or OFF")
	case len(body.Devices) != 1:
		return c.reject(opDeviceAction, "exactly one device_id is required")
	case body.Options.Toggle == "OFF":
		kind = kindRelease
	}
	id := body.Devices[0].String()
	h := c.fleet.hostByID(c.org, id)
	switch {
	case h == nil || h.persona == "missing":
		return c.Refusal(http.StatusNotFound)
	case h.persona == "deregistered":
		return c.Refusal(http.StatusBadRequest)
	}
	if _, refusal := c.fleet.act(c.org, id, kind, false); refusal == refusedProtected {
		return c.Refusal(http.StatusBadRequest)
	}
	if h.persona == "answers_200" {
		return stage.AnswerJSON(http.StatusOK, map[string]any{})
	}
	return stage.Answer{Status: http.StatusNoContent, Header: http.Header{}}
}
