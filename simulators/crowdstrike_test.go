package simulators

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func (w *world) login() {
	w.t.Helper()
	a := w.do("POST", w.CrowdStrikeURL+"/oauth2/token", "application/x-www-form-urlencoded",
		"client_id="+testClientID+"&client_secret="+testSecret)
	token, _ := a.get("access_token").(string)
	if a.status != 201 || token == "" || a.get("token_type") != "bearer" {
		w.t.Fatalf("login: %d %s", a.status, a.body)
	}
	w.bearer = token
}

func (w *world) falcon(method, path, body string) answered {
	w.t.Helper()
	a := w.do(method, w.CrowdStrikeURL+path, "application/json", body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+w.bearer) })
	if a.err == nil && a.head.Get("X-Cs-Traceid") == "" {
		w.t.Errorf("%s: no trace id", path)
	}
	return a
}

func (w *world) agents(hostname string) []any {
	w.t.Helper()
	a := w.falcon("GET", "/devices/queries/devices/v1?filter="+url.QueryEscape("hostname:'"+hostname+"'"), "")
	ids, _ := a.get("resources").([]any)
	if a.status != 200 {
		w.t.Fatalf("query: %d %s", a.status, a.body)
	}
	return ids
}

func (w *world) agent(hostname string) string {
	w.t.Helper()
	ids := w.agents(hostname)
	if len(ids) != 1 {
		w.t.Fatalf("agents of %s: %v", hostname, ids)
	}
	return ids[0].(string)
}

func (w *world) hostState(id string) any {
	w.t.Helper()
	return w.falcon("POST", "/devices/entities/devices/v2", `{"ids":["`+id+`"]}`).get("resources", "status")
}

func (w *world) command(action, id string) answered {
	w.t.Helper()
	return w.falcon("POST", "/devices/entities/devices-actions/v2?action_name="+action, `{"ids":["`+id+`"],"action_parameters":[]}`)
}

func (w *world) hostEffects() (hosts []hostEffect, commands []hostCommand) {
	w.t.Helper()
	var e struct {
		Hosts    []hostEffect  `json:"hosts"`
		Commands []hostCommand `json:"commands"`
	}
	w.effects(w.CrowdStrikeURL, &e)
	return e.Hosts, e.Commands
}

func TestAHostIsContainedAndReleased(t *testing.T) {
	w := unhurried(t)
	w.login()
	id := w.agent("FIN-LAPTOP-1")
	if id != w.agent("FIN-LAPTOP-1") || len(id) != 32 || len(w.agents("fin-laptop-1")) != 0 {
		t.Error("the id must be stable and the name must match as stored")
	}
	if a := w.command("contain", id); a.status != 202 || a.get("resources", "id") != id {
		t.Fatalf("contain: %d %s", a.status, a.body)
	}
	if got := w.hostState(id); got != "containment_pending" {
		t.Errorf("state right after: %v", got)
	}
	if a := w.command("contain", id); a.status != 409 || a.get("errors", "code") != 409.0 {
		t.Errorf("contain again: %d %s", a.status, a.body)
	}
	w.until("it is contained", func() bool { return w.hostState(id) == "contained" })
	if a := w.command("lift_containment", id); a.status != 202 {
		t.Errorf("lift: %d %s", a.status, a.body)
	}
	w.until("it is normal", func() bool { return w.hostState(id) == "normal" })
	hosts, commands := w.hostEffects()
	var states []string
	for _, c := range hosts[0].Changes {
		states = append(states, c.Status)
	}
	if strings.Join(states, " ") != "normal containment_pending contained lift_containment_pending normal" {
		t.Errorf("changes: %v", states)
	}
	if len(commands) != 2 || commands[0].Action != "contain" || commands[1].Action != "lift_containment" {
		t.Errorf("effective commands: %+v", commands)
	}
}

func TestPersonasOfHosts(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.steer(w.CrowdStrikeURL, "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","DC-1":"protected","OLD":"already_contained","ODD":"errors_in_202","AWAY":"offline"}}`)
	if n := len(w.agents("GONE")); n != 0 {
		t.Errorf("missing: %d", n)
	}
	if n := len(w.agents("TWIN")); n != 2 {
		t.Errorf("duplicate: %d", n)
	}
	for name, code := range map[string]float64{"DC-1": 403, "ODD": 500} {
		if a := w.command("contain", w.agent(name)); a.status != 202 || a.get("errors", "code") != code {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := w.command("contain", w.agent("OLD")); a.status != 409 {
		t.Errorf("already contained: %d %s", a.status, a.body)
	}
	if _, commands := w.hostEffects(); len(commands) != 0 {
		t.Errorf("nothing took effect, but %v", commands)
	}
}

func TestAnOfflineHostWaitsUntilItChecksIn(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.steer(w.CrowdStrikeURL, "personas", `{"personas":{"AWAY":"offline"}}`)
	id := w.agent("AWAY")
	if a := w.falcon("GET", "/devices/entities/online-state/v1?ids="+id, ""); a.get("resources", "state") != "offline" {
		t.Errorf("online state: %s", a.body)
	}
	w.command("contain", id)
	other := w.agent("HERE")
	w.command("contain", other)
	w.until("the online host is contained", func() bool { return w.hostState(other) == "contained" })
	if got := w.hostState(id); got != "containment_pending" {
		t.Fatalf("offline host: %v", got)
	}
	w.steer(w.CrowdStrikeURL, "personas", `{"personas":{"AWAY":"online"}}`)
	w.until("it is contained", func() bool { return w.hostState(id) == "contained" })
}

func TestALaterCommandOvertakesAnEarlierOne(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.steer(w.CrowdStrikeURL, "personas", `{"personas":{"PC":"offline"}}`)
	id := w.agent("PC")
	w.command("contain", id)
	if a := w.command("lift_containment", id); a.status != 202 {
		t.Fatalf("lift: %d %s", a.status, a.body)
	}
	w.steer(w.CrowdStrikeURL, "personas", `{"personas":{"PC":"online"}}`)
	w.until("it is normal", func() bool { return w.hostState(id) == "normal" })
}

func TestFalconRefusals(t *testing.T) {
	w := newWorld(t)
	if a := w.falcon("GET", "/devices/queries/devices/v1", ""); a.status != 401 {
		t.Errorf("no token: %d", a.status)
	}
	form := "application/x-www-form-urlencoded"
	for body, status := range map[string]int{
		"client_id=" + testClientID + "&client_secret=wrong":                                         403,
		"client_id=" + testClientID:                                                                  400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&member_cid=zz":              400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&audience=x":                 400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&grant_type=password":        400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&member_cid=" + HashHex("m"): 201,
	} {
		if a := w.do("POST", w.CrowdStrikeURL+"/oauth2/token", form, body); a.status != status || a.head.Get("X-Cs-Traceid") == "" {
			t.Errorf("%s: %d", strings.ReplaceAll(body, testSecret, "…"), a.status)
		}
	}
	w.login()
	id := w.agent("PC-1")
	for name, a := range map[string]answered{
		"unknown action": w.command("explode", id),
		"two ids":        w.falcon("POST", "/devices/entities/devices-actions/v2?action_name=contain", `{"ids":["`+id+`","`+id+`"]}`),
		"no ids":         w.falcon("POST", "/devices/entities/devices-actions/v2?action_name=contain", `{"ids":[]}`),
		"unknown field":  w.falcon("POST", "/devices/entities/devices-actions/v2?action_name=contain", `{"ids":["`+id+`"],"comment":"x"}`),
		"bad filter":     w.falcon("GET", "/devices/queries/devices/v1?filter=hostname:PC-1", ""),
		"wildcard":       w.falcon("GET", "/devices/queries/devices/v1?filter="+url.QueryEscape("hostname:'PC*'"), ""),
	} {
		if a.status != 400 || a.get("errors", "code") != 400.0 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := w.command("contain", HashHex("nobody")); a.status != 202 || a.get("errors", "code") != 404.0 {
		t.Errorf("unknown host: %d %s", a.status, a.body)
	}
}

func TestMembersHaveHostsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.login()
	parent := w.agent("PC-1")
	a := w.do("POST", w.CrowdStrikeURL+"/oauth2/token", "application/x-www-form-urlencoded",
		fmt.Sprintf("client_id=%s&client_secret=%s&member_cid=%s-AB", testClientID, testSecret, HashHex("member")))
	w.bearer = a.get("access_token").(string)
	if w.agent("PC-1") == parent {
		t.Error("two members share a host")
	}
	if a := w.command("contain", parent); a.get("errors", "code") != 404.0 {
		t.Errorf("a member commands someone else's host: %s", a.body)
	}
}

func TestTokensExpireOnRequest(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.steer(w.CrowdStrikeURL, "faults", `{"rules":[{"op":"token","kind":"expire"}]}`)
	if a := w.falcon("GET", "/devices/queries/devices/v1", ""); a.status != 401 {
		t.Errorf("old token: %d", a.status)
	}
	w.login()
	w.agent("PC-1")
}
