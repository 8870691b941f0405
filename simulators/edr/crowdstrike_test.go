package edr

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func (w *world) login() {
	w.T.Helper()
	a := w.Do("POST", w.CrowdStrikeURL+"/oauth2/token", "application/x-www-form-urlencoded",
		"client_id="+testClientID+"&client_secret="+testSecret)
	token, _ := a.Get("access_token").(string)
	if a.Status != 201 || token == "" || a.Get("token_type") != "bearer" {
		w.T.Fatalf("login: %d %s", a.Status, a.Body)
	}
	w.bearer = token
}

func (w *world) falcon(method, path, body string) stagetest.Answered {
	w.T.Helper()
	a := w.Do(method, w.CrowdStrikeURL+path, "application/json", body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+w.bearer) })
	if a.Err == nil && a.Head.Get("X-Cs-Traceid") == "" {
		w.T.Errorf("%s: no trace id", path)
	}
	return a
}

func (w *world) agents(hostname string) []any {
	w.T.Helper()
	a := w.falcon("GET", "/devices/queries/devices/v1?filter="+url.QueryEscape("hostname:'"+hostname+"'"), "")
	ids, _ := a.Get("resources").([]any)
	if a.Status != 200 {
		w.T.Fatalf("query: %d %s", a.Status, a.Body)
	}
	return ids
}

func (w *world) agent(hostname string) string {
	w.T.Helper()
	ids := w.agents(hostname)
	if len(ids) != 1 {
		w.T.Fatalf("agents of %s: %v", hostname, ids)
	}
	return ids[0].(string)
}

func (w *world) hostState(id string) any {
	w.T.Helper()
	return w.falcon("POST", "/devices/entities/devices/v2", `{"ids":["`+id+`"]}`).Get("resources", "status")
}

func (w *world) commandHost(action, id string) stagetest.Answered {
	w.T.Helper()
	return w.falcon("POST", "/devices/entities/devices-actions/v2?action_name="+action, `{"ids":["`+id+`"],"action_parameters":[]}`)
}

func (w *world) hostEffects() (hosts []hostEffect, commands []hostCommand) {
	w.T.Helper()
	var e struct {
		Hosts    []hostEffect  `json:"hosts"`
		Commands []hostCommand `json:"commands"`
	}
	w.Effects(w.CrowdStrikeURL, &e)
	return e.Hosts, e.Commands
}

func TestAHostIsContainedAndReleased(t *testing.T) {
	w := unhurried(t)
	w.login()
	id := w.agent("FIN-LAPTOP-1")
	if id != w.agent("FIN-LAPTOP-1") || len(id) != 32 || len(w.agents("fin-laptop-1")) != 0 {
		t.Error("the id must be stable and the name must match as stored")
	}
	if a := w.commandHost("contain", id); a.Status != 202 || a.Get("resources", "id") != id {
		t.Fatalf("contain: %d %s", a.Status, a.Body)
	}
	if got := w.hostState(id); got != "containment_pending" {
		t.Errorf("state right after: %v", got)
	}
	if a := w.commandHost("contain", id); a.Status != 409 || a.Get("errors", "code") != 409.0 {
		t.Errorf("contain again: %d %s", a.Status, a.Body)
	}
	w.Until("it is contained", func() bool { return w.hostState(id) == "contained" })
	if a := w.commandHost("lift_containment", id); a.Status != 202 {
		t.Errorf("lift: %d %s", a.Status, a.Body)
	}
	w.Until("it is normal", func() bool { return w.hostState(id) == "normal" })
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
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","DC-1":"protected","OLD":"already_contained","ODD":"errors_in_202","AWAY":"offline"}}`)
	if n := len(w.agents("GONE")); n != 0 {
		t.Errorf("missing: %d", n)
	}
	if n := len(w.agents("TWIN")); n != 2 {
		t.Errorf("duplicate: %d", n)
	}
	for name, code := range map[string]float64{"DC-1": 403, "ODD": 500} {
		if a := w.commandHost("contain", w.agent(name)); a.Status != 202 || a.Get("errors", "code") != code {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := w.commandHost("contain", w.agent("OLD")); a.Status != 409 {
		t.Errorf("already contained: %d %s", a.Status, a.Body)
	}
	if _, commands := w.hostEffects(); len(commands) != 0 {
		t.Errorf("nothing took effect, but %v", commands)
	}
}

// A device that is set up anew has another agent, and the old one is gone.
func TestAReinstalledHostHasAnotherAgent(t *testing.T) {
	w := newWorld(t)
	w.login()
	old := w.agent("PC-1")
	for _, persona := range []string{"reinstalled", "reinstalled", "online"} {
		w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"pc-1":"`+persona+`"}}`)
		id := w.agent("PC-1")
		if id == old || w.hostState(id) == nil || w.hostState(old) != nil {
			t.Errorf("%s: the agents are %s and %s", persona, id, old)
		}
		if a := w.commandHost("contain", old); a.Status != 202 || a.Get("errors", "code") != 404.0 {
			t.Errorf("%s: contain the old agent: %d %s", persona, a.Status, a.Body)
		}
		w.commandHost("contain", id) // which a second persona does not undo
		w.Until("the new agent is contained", func() bool { return w.hostState(id) == "contained" })
	}
	if hosts, commands := w.hostEffects(); len(hosts) != 1 || len(commands) != 1 {
		t.Errorf("hosts %+v, commands %+v", hosts, commands)
	}
}

func TestAnOfflineHostWaitsUntilItChecksIn(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"AWAY":"offline"}}`)
	id := w.agent("AWAY")
	if a := w.falcon("GET", "/devices/entities/online-state/v1?ids="+id, ""); a.Get("resources", "state") != "offline" {
		t.Errorf("online state: %s", a.Body)
	}
	w.commandHost("contain", id)
	other := w.agent("HERE")
	w.commandHost("contain", other)
	w.Until("the online host is contained", func() bool { return w.hostState(other) == "contained" })
	if got := w.hostState(id); got != "containment_pending" {
		t.Fatalf("offline host: %v", got)
	}
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"AWAY":"online"}}`)
	w.Until("it is contained", func() bool { return w.hostState(id) == "contained" })
}

func TestALaterCommandOvertakesAnEarlierOne(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"PC":"offline"}}`)
	id := w.agent("PC")
	w.commandHost("contain", id)
	if a := w.commandHost("lift_containment", id); a.Status != 202 {
		t.Fatalf("lift: %d %s", a.Status, a.Body)
	}
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"PC":"online"}}`)
	w.Until("it is normal", func() bool { return w.hostState(id) == "normal" })
}

func TestFalconRefusals(t *testing.T) {
	w := newWorld(t)
	if a := w.falcon("GET", "/devices/queries/devices/v1", ""); a.Status != 401 {
		t.Errorf("no token: %d", a.Status)
	}
	form := "application/x-www-form-urlencoded"
	for body, status := range map[string]int{
		"client_id=" + testClientID + "&client_secret=wrong":                                               403,
		"client_id=" + testClientID:                                                                        400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&member_cid=zz":                    400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&audience=x":                       400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&grant_type=password":              400,
		"client_id=" + testClientID + "&client_secret=" + testSecret + "&member_cid=" + stage.HashHex("m"): 201,
	} {
		if a := w.Do("POST", w.CrowdStrikeURL+"/oauth2/token", form, body); a.Status != status || a.Head.Get("X-Cs-Traceid") == "" {
			t.Errorf("%s: %d", strings.ReplaceAll(body, testSecret, "…"), a.Status)
		}
	}
	w.login()
	id := w.agent("PC-1")
	for name, a := range map[string]stagetest.Answered{
		"unknown action": w.commandHost("explode", id),
		"two ids":        w.falcon("POST", "/devices/entities/devices-actions/v2?action_name=contain", `{"ids":["`+id+`","`+id+`"]}`),
		"no ids":         w.falcon("POST", "/devices/entities/devices-actions/v2?action_name=contain", `{"ids":[]}`),
		"unknown field":  w.falcon("POST", "/devices/entities/devices-actions/v2?action_name=contain", `{"ids":["`+id+`"],"comment":"x"}`),
		"bad filter":     w.falcon("GET", "/devices/queries/devices/v1?filter=hostname:PC-1", ""),
		"wildcard":       w.falcon("GET", "/devices/queries/devices/v1?filter="+url.QueryEscape("hostname:'*PC*'"), ""),
		"and beside or":  w.falcon("GET", "/devices/queries/devices/v1?filter="+url.QueryEscape("hostname:'PC'+status:'normal',hostname:'X'"), ""),
	} {
		if a.Status != 400 || a.Get("errors", "code") != 400.0 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := w.commandHost("contain", stage.HashHex("nobody")); a.Status != 202 || a.Get("errors", "code") != 404.0 {
		t.Errorf("unknown host: %d %s", a.Status, a.Body)
	}
}

func TestMembersHaveHostsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.login()
	parent := w.agent("PC-1")
	a := w.Do("POST", w.CrowdStrikeURL+"/oauth2/token", "application/x-www-form-urlencoded",
		fmt.Sprintf("client_id=%s&client_secret=%s&member_cid=%s-AB", testClientID, testSecret, stage.HashHex("member")))
	w.bearer = a.Get("access_token").(string)
	if w.agent("PC-1") == parent {
		t.Error("two members share a host")
	}
	if a := w.commandHost("contain", parent); a.Get("errors", "code") != 404.0 {
		t.Errorf("a member commands someone else's host: %s", a.Body)
	}
}

func TestTokensExpireOnRequest(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.Steer(w.CrowdStrikeURL, "faults", `{"rules":[{"op":"token","kind":"expire"}]}`)
	if a := w.falcon("GET", "/devices/queries/devices/v1", ""); a.Status != 401 {
		t.Errorf("old token: %d", a.Status)
	}
	w.login()
	w.agent("PC-1")
}

func TestAContainmentThatWasResetAfterwardsTakesEffect(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.CrowdStrikeURL, `{"op":"device_action","kind":"reset_after"}`)
	w.login()
	id := w.agent("PC-1")
	if a := w.commandHost("contain", id); a.Err == nil {
		t.Errorf("answered %d", a.Status)
	}
	w.Until("it is contained all the same", func() bool { return w.hostState(id) == "contained" })
}

func TestFalconLimitsTheRate(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.Fault(w.CrowdStrikeURL, `{"op":"*","kind":"status","status":429,"times":1}`)
	a := w.falcon("GET", "/devices/queries/devices/v1", "")
	retry, err := strconv.ParseInt(a.Head.Get("X-Ratelimit-Retryafter"), 10, 64)
	left := time.Until(time.Unix(retry, 0))
	if a.Status != 429 || err != nil || left < -time.Second || left > time.Minute || a.Get("errors", "code") != 429.0 {
		t.Errorf("%d %v %s", a.Status, a.Head, a.Body)
	}
}

// A host name finds what begins with it, to the letter, and with ~ what has its words.
func TestFalconFindsHostsByName(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.Steer(w.CrowdStrikeURL, "personas", `{"personas":{"PC-2":"fqdn","x":"missing"}}`)
	w.agent("PC-1")
	w.agent("PC-2")
	for _, c := range []struct {
		filter string
		want   float64
	}{
		{"hostname:'PC-1'", 1}, {"hostname:'PC-2*'", 1}, {"hostname:'PC-2.corp'", 1}, {"hostname:'pc-2'", 0},
		{"hostname:~'pc-2'", 1}, {"hostname:~'pc-2'+status:'contained'", 0}, {"hostname:'x',hostname:~'pc-1'", 1},
	} {
		a := w.falcon("GET", "/devices/queries/devices/v1?filter="+url.QueryEscape(c.filter), "")
		if got := a.Get("meta", "pagination", "total"); got != c.want {
			t.Errorf("%s: %v, want %v: %d %s", c.filter, got, c.want, a.Status, a.Body)
		}
	}
}
