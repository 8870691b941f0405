package simulators

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func (w *world) cb(method, path, body string) answered {
	w.t.Helper()
	v := EDRCredentials("carbonblack")
	return w.do(method, w.EDR["carbonblack"]+"/appservices/v6/orgs/"+v["org_key"]+path, "application/json", body, func(r *http.Request) {
		r.Header.Set("X-Auth-Token", v["api_secret"]+"/"+v["api_id"])
	})
}

func (w *world) cbSearch(name string) answered {
	w.t.Helper()
	query, _ := json.Marshal("name:" + strings.ReplaceAll(name, "-", `\-`))
	return w.cb("POST", "/devices/_search", `{"query":`+string(query)+`,"start":0,"rows":100}`)
}

// cbDevice is the id of the one device with this name.
func (w *world) cbDevice(hostname string) string {
	w.t.Helper()
	a := w.cbSearch(hostname)
	id, _ := a.get("results", "id").(float64)
	if a.status != 200 || a.get("num_found") != 1.0 || id < 1 {
		w.t.Fatalf("devices of %s: %d %s", hostname, a.status, a.body)
	}
	return fmt.Sprintf("%.0f", id)
}

func (w *world) cbRead(id, field string) any {
	w.t.Helper()
	return w.cb("GET", "/devices/"+id, "").get(field)
}

func (w *world) cbAct(toggle, id string) answered {
	w.t.Helper()
	return w.cb("POST", "/device_actions", `{"action_type":"QUARANTINE","device_id":[`+id+`],"options":{"toggle":"`+toggle+`"}}`)
}

func TestADeviceIsQuarantinedAndReleased(t *testing.T) {
	w := unhurried(t)
	id := w.cbDevice("FIN-1")
	if w.cbRead(id, "quarantined") != false || w.cbRead(id, "name") != "FIN-1" || w.cbRead(id, "windows_platform") != "CLIENT_X64" {
		t.Errorf("at first: %s", w.cb("GET", "/devices/"+id, "").body)
	}
	if a := w.cbAct("ON", id); a.status != 204 || len(a.body) != 0 {
		t.Fatalf("on: %d %s", a.status, a.body)
	}
	if w.cbRead(id, "quarantined") != false {
		t.Error("it must not say so before the sensor has done it")
	}
	if a := w.cbAct("ON", id); a.status != 204 {
		t.Errorf("on again: %d %s", a.status, a.body)
	}
	w.until("it is quarantined", func() bool { return w.cbRead(id, "quarantined") == true })
	if a := w.cbAct("OFF", `"`+id+`"`); a.status != 204 {
		t.Errorf("off, the id a text: %d %s", a.status, a.body)
	}
	if w.cbRead(id, "quarantined") != true {
		t.Error("it must not say so before the sensor has done it")
	}
	w.until("it is released", func() bool { return w.cbRead(id, "quarantined") == false })
	e := w.edrEffects("carbonblack")
	if len(e.Commands) != 2 || len(e.Hosts[0].Orders) != 3 || len(e.Violations) != 0 {
		t.Errorf("commands %+v, orders %+v, violations %+v", e.Commands, e.Hosts[0].Orders, e.Violations)
	}
}

func TestPersonasOfDevices(t *testing.T) {
	w := newWorld(t)
	w.steer(w.EDR["carbonblack"], "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","GUARDED":"protected","OLD":"already_isolated",
		"SRV":"server","DC":"domain_controller","MINE":"tagged","DEAD":"deregistered","AWAY":"offline","TALKS":"answers_200"}}`)
	for name, n := range map[string]float64{"GONE": 0, "TWIN": 2, "SRV": 1} {
		if a := w.cbSearch(name); a.get("num_found") != n {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	for name, status := range map[string]int{"GUARDED": 400, "DEAD": 400, "OLD": 204, "TALKS": 200} {
		if a := w.cbAct("ON", w.cbDevice(name)); a.status != status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, c := range []struct {
		name, field string
		want        any
	}{
		{"SRV", "windows_platform", "SERVER_X64"}, {"DC", "windows_platform", "SERVER_X64"},
		{"DEAD", "status", "DEREGISTERED"}, {"OLD", "quarantined", true},
	} {
		if got := w.cbRead(w.cbDevice(c.name), c.field); got != c.want {
			t.Errorf("%s of %s: %v", c.field, c.name, got)
		}
	}
	if got := w.cbSearch("MINE").get("results", "asset_group", "name"); got != "finance" {
		t.Errorf("group: %v", got)
	}
	for name, away := range map[string]bool{"AWAY": true, "SRV": false} {
		seen, err := time.Parse(time.RFC3339, w.cbRead(w.cbDevice(name), "last_contact_time").(string))
		if err != nil || (time.Since(seen) > time.Hour) != away {
			t.Errorf("%s: %v, %v", name, seen, err)
		}
	}
	e := w.edrEffects("carbonblack")
	if len(e.Commands) != 1 || e.Commands[0].Hostname != "TALKS" || len(e.Violations) != 0 {
		t.Errorf("commands %+v, violations %+v", e.Commands, e.Violations)
	}
}

func TestAnOfflineDeviceWaitsUntilItChecksIn(t *testing.T) {
	w := newWorld(t)
	w.steer(w.EDR["carbonblack"], "personas", `{"personas":{"AWAY":"offline"}}`)
	away, here := w.cbDevice("AWAY"), w.cbDevice("HERE")
	w.cbAct("ON", away)
	w.cbAct("ON", here)
	w.until("the online device is quarantined", func() bool { return w.cbRead(here, "quarantined") == true })
	if w.cbRead(away, "quarantined") != false {
		t.Fatal("the offline device is quarantined")
	}
	w.steer(w.EDR["carbonblack"], "personas", `{"personas":{"AWAY":"online"}}`)
	w.until("it is quarantined", func() bool { return w.cbRead(away, "quarantined") == true })
}

func TestTheSearchForDevicesIsLooseAndPaged(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"PC-1", "PC-10", "SRV-1"} {
		w.cbSearch(name)
	}
	if a := w.cbSearch("pc-1"); a.get("num_found") != 2.0 {
		t.Errorf("PC-1 finds PC-10 too: %s", a.body)
	}
	a := w.cb("POST", "/devices/_search", `{"start":2,"rows":2}`)
	list, _ := a.get("results").([]any)
	if len(list) != 1 || a.get("num_found") != 3.0 {
		t.Errorf("last page: %s", a.body)
	}
}

func TestCarbonBlackRefusals(t *testing.T) {
	w := newWorld(t)
	base, v := w.EDR["carbonblack"], EDRCredentials("carbonblack")
	for _, c := range []struct {
		org, auth string
		status    int
	}{
		{v["org_key"], "", 401},
		{v["org_key"], v["api_id"] + "/" + v["api_secret"], 401},
		{"OTHER123", v["api_secret"] + "/" + v["api_id"], 403},
	} {
		a := w.do("GET", base+"/appservices/v6/orgs/"+c.org+"/devices/1", "", "", func(r *http.Request) { r.Header.Set("X-Auth-Token", c.auth) })
		if a.status != c.status || a.get("error_code") == nil {
			t.Errorf("%s: %d %s", c.org, a.status, a.body)
		}
	}
	id := w.cbDevice("PC-1")
	refused := map[string]answered{
		"two devices":     w.cbAct("ON", id+","+id),
		"no device":       w.cbAct("ON", ""),
		"another toggle":  w.cbAct("on", id),
		"another action":  w.cb("POST", "/device_actions", `{"action_type":"UNINSTALL_SENSOR","device_id":[`+id+`],"options":{"toggle":"ON"}}`),
		"a search":        w.cb("POST", "/device_actions", `{"action_type":"QUARANTINE","search":{"criteria":{}},"options":{"toggle":"ON"}}`),
		"a comment":       w.cb("POST", "/device_actions", `{"action_type":"QUARANTINE","device_id":[`+id+`],"options":{"toggle":"ON"},"comment":"x"}`),
		"no rows":         w.cb("POST", "/devices/_search", `{"rows":0}`),
		"unknown field":   w.cb("POST", "/devices/_search", `{"hostname":"PC-1"}`),
		"another field":   w.cb("POST", "/devices/_search", `{"query":"os:WINDOWS"}`),
		"a wildcard":      w.cb("POST", "/devices/_search", `{"query":"name:PC*"}`),
		"two terms":       w.cb("POST", "/devices/_search", `{"query":"name:PC OR name:X"}`),
		"half an escape":  w.cb("POST", "/devices/_search", `{"query":"name:PC\\"}`),
		"a query at read": w.cb("GET", "/devices/"+id+"?x=1", ""),
	}
	for name, a := range refused {
		if a.status != 400 || a.get("error_code") != "BAD_REQUEST" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, a := range []answered{w.cb("GET", "/devices/1", ""), w.cbAct("ON", "1")} {
		if a.status != 404 {
			t.Errorf("unknown device: %d %s", a.status, a.body)
		}
	}
	if a := w.cb("DELETE", "/devices/"+id, ""); a.status != 404 {
		t.Errorf("unknown method: %d", a.status)
	}
	e := w.edrEffects("carbonblack")
	if len(e.Violations) != len(refused)+1 || len(e.Commands) != 0 {
		t.Errorf("violations %+v, commands %+v", e.Violations, e.Commands)
	}
}

func TestFaultsOfCarbonBlack(t *testing.T) {
	w := newWorld(t)
	id := w.cbDevice("PC-1")
	w.steer(w.EDR["carbonblack"], "faults", `{"rules":[{"op":"device_action","kind":"status","status":429,"times":1},{"op":"device_action","kind":"reset_after","times":1}]}`)
	if a := w.cbAct("ON", id); a.status != 429 || a.head.Get("Retry-After") != "2" || a.get("error_code") != "TOO_MANY_REQUESTS" {
		t.Errorf("429: %d %v %s", a.status, a.head, a.body)
	}
	if a := w.cbAct("ON", id); a.err == nil {
		t.Errorf("not cut: %d", a.status)
	}
	if n := len(w.edrEffects("carbonblack").Commands); n != 1 {
		t.Errorf("%d orders took effect", n)
	}
	journal := string(w.do("GET", w.EDR["carbonblack"]+"/_sim/journal", "", "").body)
	if strings.Contains(journal, EDRCredentials("carbonblack")["api_secret"]) {
		t.Error("the secret is in the journal")
	}
}
