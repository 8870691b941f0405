package edr

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

// visionUser is a client of the simulated Vision One.
type visionUser struct {
	*world
	base string
}

func newVisionUser(w *world) visionUser {
	return visionUser{w, w.EDR["trend"]}
}

func (u visionUser) vision(method, path, filter, body string) stagetest.Answered {
	u.T.Helper()
	kind := ""
	if body != "" {
		kind = "application/json;charset=utf-8"
	}
	return u.Do(method, u.base+"/v3.0"+path, kind, body, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+Credentials("trend")["api_token"])
		if filter != "" {
			r.Header.Set("TMV1-Filter", filter)
		}
	})
}

// found are the endpoints a filter finds.
func (u visionUser) found(filter string) []map[string]any {
	u.T.Helper()
	a := u.vision("GET", "/endpointSecurity/endpoints?top=50", filter, "")
	items, ok := a.Get("items").([]any)
	if a.Status != 200 || !ok {
		u.T.Fatalf("list: %d %s", a.Status, a.Body)
	}
	out := []map[string]any{}
	for _, item := range items {
		out = append(out, item.(map[string]any))
	}
	return out
}

func (u visionUser) id(name string) string {
	u.T.Helper()
	return u.found("endpointName eq '" + name + "'")[0]["agentGuid"].(string)
}

// act takes an action and returns the status inside the answer, and the task's path.
func (u visionUser) act(verb, id string) (status any, task string) {
	u.T.Helper()
	a := u.vision("POST", "/response/endpoints/"+verb, "", `[{"agentGuid":"`+id+`","description":"SI-1"}]`)
	if a.Status != 207 {
		u.T.Fatalf("%s: %d %s", verb, a.Status, a.Body)
	}
	if location, ok := a.Get("headers", "value").(string); ok && a.Get("headers", "name") == "Operation-Location" {
		_, task, _ = strings.Cut(location, "/v3.0")
	}
	return a.Get("status"), task
}

func (u visionUser) wantViolations(want int) {
	u.T.Helper()
	var e struct{ Violations []stage.Violation }
	u.Effects(u.base, &e)
	if len(e.Violations) != want {
		u.T.Errorf("%d violations, want %d: %+v", len(e.Violations), want, e.Violations)
	}
}

func TestTrendIsolatesAndRestores(t *testing.T) {
	u := newVisionUser(unhurried(t))
	id := u.id("PC-1")
	inventory := func() any { return u.vision("GET", "/endpointSecurity/endpoints/"+id, "", "").Get("isolationStatus") }
	status, task := u.act("isolate", id)
	if status != 202.0 || task != "/response/tasks/00000001" || inventory() != "off" {
		t.Fatalf("isolate: %v, %s, %v", status, task, inventory())
	}
	a := u.vision("GET", task, "", "")
	if a.Get("status") != "running" || a.Get("action") != "isolate" || a.Get("agentGuid") != id {
		t.Errorf("task: %s", a.Body)
	}
	if status, _ := u.act("isolate", id); status != 400.0 {
		t.Errorf("again: %v", status)
	}
	u.Until("it is isolated", func() bool { return inventory() == "on" })
	if a := u.vision("GET", task, "", ""); a.Get("status") != "succeeded" {
		t.Errorf("task: %s", a.Body)
	}
	if status, task := u.act("restore", id); status != 202.0 || u.vision("GET", task, "", "").Get("action") != "restoreIsolate" {
		t.Errorf("restore: %v", status)
	}
	u.Until("it is free", func() bool { return inventory() == "off" })
	u.wantViolations(0)
}

func TestTrendPersonas(t *testing.T) {
	u := newVisionUser(newWorld(t))
	u.Steer(u.base, "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","DC":"protected","OLD":"already_isolated","ODD":"errors_in_207","AWAY":"offline","BAD":"fails","SRV":"server"}}`)
	for name, want := range map[string]int{"GONE": 0, "TWIN": 2} {
		if got := u.found("endpointName eq '" + name + "'"); len(got) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, want := range map[string]float64{"DC": 400, "OLD": 400, "ODD": 500, "BAD": 202} {
		if status, _ := u.act("isolate", u.id(name)); status != want {
			t.Errorf("%s: %v", name, status)
		}
	}
	if status, _ := u.act("isolate", formatUUID(stage.HashHex("nobody"))); status != 404.0 {
		t.Errorf("unknown: %v", status)
	}
	if got := u.found("endpointName eq 'SRV'"); got[0]["type"] != "server" {
		t.Errorf("server: %v", got)
	}
	u.Until("the task failed", func() bool { return u.vision("GET", "/response/tasks/00000001", "", "").Get("status") == "failed" })
	_, task := u.act("isolate", u.id("AWAY"))
	if got := u.found("endpointName eq 'AWAY'"); got[0]["edrSensor"].(map[string]any)["connectivity"] != "disconnected" {
		t.Errorf("away: %v", got)
	}
	if a := u.vision("GET", task, "", ""); a.Get("status") != "queued" {
		t.Errorf("task of one that is away: %s", a.Body)
	}
	u.Steer(u.base, "personas", `{"personas":{"AWAY":"online"}}`)
	u.Until("it succeeded", func() bool { return u.vision("GET", task, "", "").Get("status") == "succeeded" })
	u.wantViolations(0)
}

func TestTrendListsTasks(t *testing.T) {
	u := newVisionUser(newWorld(t))
	u.Steer(u.base, "personas", `{"personas":{"A":"offline","B":"offline"}}`)
	u.act("isolate", u.id("A"))
	u.act("isolate", u.id("B"))
	u.act("restore", u.id("B")) // overtakes
	list := func(filter string) string {
		q := url.Values{"filter": {filter}, "startDateTime": {time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}}
		a := u.vision("GET", "/response/tasks?"+q.Encode(), "", "")
		var ids []string
		for _, item := range a.Get("items").([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		return strings.Join(ids, " ")
	}
	for filter, want := range map[string]string{
		"": "00000003 00000002 00000001",
		"(action eq 'isolate' or action eq 'restoreIsolate') and (status eq 'queued' or status eq 'running')": "00000003 00000001",
		"not (status eq 'canceled') and action eq 'isolate'":                                                  "00000001",
		"id eq '00000002'": "00000002",
	} {
		if got := list(filter); got != want {
			t.Errorf("%q: %s", filter, got)
		}
	}
	u.wantViolations(0)
}

func TestTrendPagesAreLinked(t *testing.T) {
	u := newVisionUser(newWorld(t))
	for i := range 12 {
		u.id("PC-" + strconv.Itoa(i))
	}
	first := u.vision("GET", "/endpointSecurity/endpoints?top=10", "", "")
	link, _ := first.Get("nextLink").(string)
	_, path, found := strings.Cut(link, "/v3.0")
	if len(first.Get("items").([]any)) != 10 || !found {
		t.Fatalf("first page: %s", first.Body)
	}
	if a := u.vision("GET", path, "", ""); len(a.Get("items").([]any)) != 2 || a.Get("nextLink") != nil {
		t.Errorf("second page: %s", a.Body)
	}
}

func TestTrendRefusals(t *testing.T) {
	u := newVisionUser(newWorld(t))
	id := u.id("PC-1")
	if a := u.Do("GET", u.base+"/v3.0/endpointSecurity/endpoints", "", ""); a.Status != 401 || a.Get("error", "code") != "Unauthorized" {
		t.Errorf("no token: %d %s", a.Status, a.Body)
	}
	violations := 0
	for _, c := range []struct {
		method, path, filter, body string
		want                       int
	}{
		{"GET", "/endpointSecurity/endpoints?top=20", "", "", 400},
		{"GET", "/endpointSecurity/endpoints?limit=10", "", "", 400},
		{"GET", "/endpointSecurity/endpoints", "hostname eq 'PC-1'", "", 400},
		{"GET", "/endpointSecurity/endpoints", "endpointName eq PC-1", "", 400},
		{"GET", "/endpointSecurity/endpoints", "endpointName eq 'PC-1' or type eq 'server' and type eq 'desktop'", "", 400},
		{"GET", "/endpointSecurity/endpoints", "endpointName eq 'PC-1' type", "", 400},
		{"GET", "/endpointSecurity/endpoints", "(endpointName eq 'PC-1'", "", 400},
		{"GET", "/response/tasks?top=10", "", "", 400},
		{"GET", "/response/tasks?startDateTime=2020-01-01T00:00:00Z", "", "", 400},
		{"GET", "/response/tasks?filter=agentGuid+eq+'x'", "", "", 400},
		{"POST", "/response/endpoints/isolate", "", `[]`, 400},
		{"POST", "/response/endpoints/isolate", "", `[{"agentGuid":"` + id + `"},{"agentGuid":"` + id + `"}]`, 400},
		{"POST", "/response/endpoints/isolate", "", `[{"endpointName":"PC-1"}]`, 400},
		{"POST", "/response/endpoints/isolate", "", `{"agentGuid":"` + id + `"}`, 400},
		{"POST", "/response/endpoints/explode", "", `[]`, 404},
		{"DELETE", "/endpointSecurity/endpoints/" + id, "", "", 404},
	} {
		violations++
		if a := u.vision(c.method, c.path, c.filter, c.body); a.Status != c.want || a.Get("error", "code") == nil {
			t.Errorf("%s %s, %s: %d %s", c.method, c.path, c.filter, a.Status, a.Body)
		}
	}
	u.wantViolations(violations)
	if a := u.vision("GET", "/response/tasks/00000009", "", ""); a.Status != 404 {
		t.Errorf("unknown task: %d", a.Status)
	}
	u.Steer(u.base, "faults", `{"rules":[{"op":"isolate_endpoint","kind":"status","status":429,"times":1}]}`)
	if a := u.vision("POST", "/response/endpoints/isolate", "", `[{"agentGuid":"`+id+`"}]`); a.Status != 429 || a.Head.Get("Retry-After") == "" {
		t.Errorf("throttled: %d %v", a.Status, a.Head)
	}
}
