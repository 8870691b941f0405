package edr

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func (w *world) cb(method, path, body string) stagetest.Answered {
	w.T.Helper()
	v := Credentials("carbonblack")
	return w.Do(method, w.EDR["carbonblack"]+"/appservices/v6/orgs/"+v["org_key"]+path, "application/json", body, func(r *http.Request) {
		r.Header.Set("X-Auth-Token", v["api_secret"]+"/"+v["api_id"])
	})
}

func (w *world) cbSearch(name string) stagetest.Answered {
	w.T.Helper()
	query, _ := json.Marshal("name:" + strings.ReplaceAll(name, "-", `\-`))
	return w.cb("POST", "/devices/_search", `{"query":`+string(query)+`,"start":0,"rows":100}`)
}

// cbDevice is the id of the one device with this name.
func (w *world) cbDevice(hostname string) string {
	w.T.Helper()
	a := w.cbSearch(hostname)
	id, _ := a.Get("results", "id").(float64)
	if a.Status != 200 || a.Get("num_found") != 1.0 || id < 1 {
		w.T.Fatalf("devices of %s: %d %s", hostname, a.Status, a.Body)
	}
	return fmt.Sprintf("%.0f", id)
}

func (w *world) cbRead(id, field string) any {
	w.T.Helper()
	return w.cb("GET", "/devices/"+id, "").Get(field)
}

func (w *world) cbAct(toggle, id string) stagetest.Answered {
	w.T.Helper()
	return w.cb("POST", "/device_actions", `{"action_type":"QUARANTINE","device_id":[`+id+`],"options":{"toggle":"`+toggle+`"}}`)
}

func TestADeviceIsQuarantinedAndReleased(t *testing.T) {
	w := unhurried(t)
	id := w.cbDevice("FIN-1")
	if w.cbRead(id, "quarantined") != false || w.cbRead(id, "name") != "FIN-1" || w.cbRead(id, "windows_platform") != "CLIENT_X64" {
		t.Errorf("at first: %s", w.cb("GET", "/devices/"+id, "").Body)
	}
	if a := w.cbAct("ON", id); a.Status != 204 || len(a.Body) != 0 {
		t.Fatalf("on: %d %s", a.Status, a.Body)
	}
	if w.cbRead(id, "quarantined") != false {
		t.Error("it must not say so before the sensor has done it")
	}
	if a := w.cbAct("ON", id); a.Status != 204 {
		t.Errorf("on again: %d %s", a.Status, a.Body)
	}
	w.Until("it is quarantined", func() bool { return w.cbRead(id, "quarantined") == true })
	if a := w.cbAct("OFF", `"`+id+`"`); a.Status != 204 {
		t.Errorf("off, the id a text: %d %s", a.Status, a.Body)
	}
	if w.cbRead(id, "quarantined") != true {
		t.Error("it must not say so before the sensor has done it")
	}
	w.Until("it is released", func() bool { return w.cbRead(id, "quarantined") == false })
	e := w.fleetEffects("carbonblack")
	if len(e.Commands) != 2 || len(e.Hosts[0].Actions) != 3 || len(e.Violations) != 0 {
		t.Errorf("commands %+v, actions %+v, violations %+v", e.Commands, e.Hosts[0].Actions, e.Violations)
	}
}

func TestPersonasOfDevices(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["carbonblack"], "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","GUARDED":"protected","OLD":"already_isolated",
		"SRV":"server","DC":"domain_controller","MINE":"tagged","DEAD":"deregistered","AWAY":"offline","TALKS":"answers_200"}}`)
	for name, n := range map[string]float64{"GONE": 0, "TWIN": 2, "SRV": 1} {
		if a := w.cbSearch(name); a.Get("num_found") != n {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	for name, status := range map[string]int{"GUARDED": 400, "DEAD": 400, "OLD": 204, "TALKS": 200} {
		if a := w.cbAct("ON", w.cbDevice(name)); a.Status != status {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
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
	if got := w.cbSearch("MINE").Get("results", "asset_group", "name"); got != "finance" {
		t.Errorf("group: %v", got)
	}
	for name, away := range map[string]bool{"AWAY": true, "SRV": false} {
		seen, err := time.Parse(time.RFC3339, w.cbRead(w.cbDevice(name), "last_contact_time").(string))
		if err != nil || (time.Since(seen) > time.Hour) != away {
			t.Errorf("%s: %v, %v", name, seen, err)
		}
	}
	e := w.fleetEffects("carbonblack")
	if len(e.Commands) != 1 || e.Commands[0].Hostname != "TALKS" || len(e.Violations) != 0 {
		t.Errorf("commands %+v, violations %+v", e.Commands, e.Violations)
	}
}

func TestAnOfflineDeviceWaitsUntilItChecksIn(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["carbonblack"], "personas", `{"personas":{"AWAY":"offline"}}`)
	away, here := w.cbDevice("AWAY"), w.cbDevice("HERE")
	w.cbAct("ON", away)
	w.cbAct("ON", here)
	w.Until("the online device is quarantined", func() bool { return w.cbRead(here, "quarantined") == true })
	if w.cbRead(away, "quarantined") != false {
		t.Fatal("the offline device is quarantined")
	}
	w.Steer(w.EDR["carbonblack"], "personas", `{"personas":{"AWAY":"online"}}`)
	w.Until("it is quarantined", func() bool { return w.cbRead(away, "quarantined") == true })
}

func TestTheSearchForDevicesIsLooseAndPaged(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"PC-1", "PC-10", "SRV-1"} {
		w.cbSearch(name)
	}
	if a := w.cbSearch("pc-1"); a.Get("num_found") != 2.0 {
		t.Errorf("PC-1 finds PC-10 too: %s", a.Body)
	}
	a := w.cb("POST", "/devices/_search", `{"start":2,"rows":2}`)
	list, _ := a.Get("results").([]any)
	if len(list) != 1 || a.Get("num_found") != 3.0 {
		t.Errorf("last page: %s", a.Body)
	}
}

func TestCarbonBlackRefusals(t *testing.T) {
	w := newWorld(t)
	base, v := w.EDR["carbonblack"], Credentials("carbonblack")
	for _, c := range []struct {
		org, auth string
		status    int
	}{
		{v["org_key"], "", 401},
		{v["org_key"], v["api_id"] + "/" + v["api_secret"], 401},
		{"OTHER123", v["api_secret"] + "/" + v["api_id"], 403},
	} {
		a := w.Do("GET", base+"/appservices/v6/orgs/"+c.org+"/devices/1", "", "", func(r *http.Request) { r.Header.Set("X-Auth-Token", c.auth) })
		if a.Status != c.status || a.Get("error_code") == nil {
			t.Errorf("%s: %d %s", c.org, a.Status, a.Body)
		}
	}
	id := w.cbDevice("PC-1")
	refused := map[string]stagetest.Answered{
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
		if a.Status != 400 || a.Get("error_code") != "BAD_REQUEST" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	for _, a := range []stagetest.Answered{w.cb("GET", "/devices/1", ""), w.cbAct("ON", "1")} {
		if a.Status != 404 {
			t.Errorf("unknown device: %d %s", a.Status, a.Body)
		}
	}
	if a := w.cb("DELETE", "/devices/"+id, ""); a.Status != 404 {
		t.Errorf("unknown method: %d", a.Status)
	}
	e := w.fleetEffects("carbonblack")
	if len(e.Violations) != len(refused)+1 || len(e.Commands) != 0 {
		t.Errorf("violations %+v, commands %+v", e.Violations, e.Commands)
	}
}

func TestFaultsOfCarbonBlack(t *testing.T) {
	w := newWorld(t)
	id := w.cbDevice("PC-1")
	w.Steer(w.EDR["carbonblack"], "faults", `{"rules":[{"op":"device_action","kind":"status","status":429,"times":1},{"op":"device_action","kind":"reset_after","times":1}]}`)
	if a := w.cbAct("ON", id); a.Status != 429 || a.Head.Get("Retry-After") != "2" || a.Get("error_code") != "TOO_MANY_REQUESTS" {
		t.Errorf("429: %d %v %s", a.Status, a.Head, a.Body)
	}
	if a := w.cbAct("ON", id); a.Err == nil {
		t.Errorf("not cut: %d", a.Status)
	}
	if n := len(w.fleetEffects("carbonblack").Commands); n != 1 {
		t.Errorf("%d actions took effect", n)
	}
	journal := string(w.Do("GET", w.EDR["carbonblack"]+"/_sim/journal", "", "").Body)
	if strings.Contains(journal, Credentials("carbonblack")["api_secret"]) {
		t.Error("the secret is in the journal")
	}
}
