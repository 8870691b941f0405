package simulators

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// visionUser is a client of the simulated Vision One.
type visionUser struct {
	*world
	base string
}

func newVisionUser(w *world) visionUser {
	return visionUser{w, w.EDR["trend"]}
}

func (u visionUser) vision(method, path, filter, body string) answered {
	u.t.Helper()
	kind := ""
	if body != "" {
		kind = "application/json;charset=utf-8"
	}
	return u.do(method, u.base+"/v3.0"+path, kind, body, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+EDRCredentials("trend")["api_token"])
		if filter != "" {
			r.Header.Set("TMV1-Filter", filter)
		}
	})
}

// found are the endpoints a filter finds.
func (u visionUser) found(filter string) []map[string]any {
	u.t.Helper()
	a := u.vision("GET", "/endpointSecurity/endpoints?top=50", filter, "")
	items, ok := a.get("items").([]any)
	if a.status != 200 || !ok {
		u.t.Fatalf("list: %d %s", a.status, a.body)
	}
	out := []map[string]any{}
	for _, item := range items {
		out = append(out, item.(map[string]any))
	}
	return out
}

func (u visionUser) id(name string) string {
	u.t.Helper()
	return u.found("endpointName eq '" + name + "'")[0]["agentGuid"].(string)
}

// order gives an order and returns the status inside the answer, and the task's path.
func (u visionUser) order(verb, id string) (status any, task string) {
	u.t.Helper()
	a := u.vision("POST", "/response/endpoints/"+verb, "", `[{"agentGuid":"`+id+`","description":"SI-1"}]`)
	if a.status != 207 {
		u.t.Fatalf("%s: %d %s", verb, a.status, a.body)
	}
	if location, ok := a.get("headers", "value").(string); ok && a.get("headers", "name") == "Operation-Location" {
		_, task, _ = strings.Cut(location, "/v3.0")
	}
	return a.get("status"), task
}

func (u visionUser) wantViolations(want int) {
	u.t.Helper()
	var e struct{ Violations []Violation }
	u.effects(u.base, &e)
	if len(e.Violations) != want {
		u.t.Errorf("%d violations, want %d: %+v", len(e.Violations), want, e.Violations)
	}
}

func TestTrendIsolatesAndRestores(t *testing.T) {
	u := newVisionUser(unhurried(t))
	id := u.id("PC-1")
	inventory := func() any { return u.vision("GET", "/endpointSecurity/endpoints/"+id, "", "").get("isolationStatus") }
	status, task := u.order("isolate", id)
	if status != 202.0 || task != "/response/tasks/00000001" || inventory() != "off" {
		t.Fatalf("isolate: %v, %s, %v", status, task, inventory())
	}
	a := u.vision("GET", task, "", "")
	if a.get("status") != "running" || a.get("action") != "isolate" || a.get("agentGuid") != id {
		t.Errorf("task: %s", a.body)
	}
	if status, _ := u.order("isolate", id); status != 400.0 {
		t.Errorf("again: %v", status)
	}
	u.until("it is isolated", func() bool { return inventory() == "on" })
	if a := u.vision("GET", task, "", ""); a.get("status") != "succeeded" {
		t.Errorf("task: %s", a.body)
	}
	if status, task := u.order("restore", id); status != 202.0 || u.vision("GET", task, "", "").get("action") != "restoreIsolate" {
		t.Errorf("restore: %v", status)
	}
	u.until("it is free", func() bool { return inventory() == "off" })
	u.wantViolations(0)
}

func TestTrendPersonas(t *testing.T) {
	u := newVisionUser(newWorld(t))
	u.steer(u.base, "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","DC":"protected","OLD":"already_isolated","ODD":"errors_in_207","AWAY":"offline","BAD":"fails","SRV":"server"}}`)
	for name, want := range map[string]int{"GONE": 0, "TWIN": 2} {
		if got := u.found("endpointName eq '" + name + "'"); len(got) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, want := range map[string]float64{"DC": 400, "OLD": 400, "ODD": 500, "BAD": 202} {
		if status, _ := u.order("isolate", u.id(name)); status != want {
			t.Errorf("%s: %v", name, status)
		}
	}
	if status, _ := u.order("isolate", uuidLike(HashHex("nobody"))); status != 404.0 {
		t.Errorf("unknown: %v", status)
	}
	if got := u.found("endpointName eq 'SRV'"); got[0]["type"] != "server" {
		t.Errorf("server: %v", got)
	}
	u.until("the task failed", func() bool { return u.vision("GET", "/response/tasks/00000001", "", "").get("status") == "failed" })
	_, task := u.order("isolate", u.id("AWAY"))
	if got := u.found("endpointName eq 'AWAY'"); got[0]["edrSensor"].(map[string]any)["connectivity"] != "disconnected" {
		t.Errorf("away: %v", got)
	}
	if a := u.vision("GET", task, "", ""); a.get("status") != "queued" {
		t.Errorf("task of one that is away: %s", a.body)
	}
	u.steer(u.base, "personas", `{"personas":{"AWAY":"online"}}`)
	u.until("it succeeded", func() bool { return u.vision("GET", task, "", "").get("status") == "succeeded" })
	u.wantViolations(0)
}

func TestTrendListsTasks(t *testing.T) {
	u := newVisionUser(newWorld(t))
	u.steer(u.base, "personas", `{"personas":{"A":"offline","B":"offline"}}`)
	u.order("isolate", u.id("A"))
	u.order("isolate", u.id("B"))
	u.order("restore", u.id("B")) // overtakes
	list := func(filter string) string {
		q := url.Values{"filter": {filter}, "startDateTime": {time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}}
		a := u.vision("GET", "/response/tasks?"+q.Encode(), "", "")
		var ids []string
		for _, item := range a.get("items").([]any) {
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
	link, _ := first.get("nextLink").(string)
	_, path, found := strings.Cut(link, "/v3.0")
	if len(first.get("items").([]any)) != 10 || !found {
		t.Fatalf("first page: %s", first.body)
	}
	if a := u.vision("GET", path, "", ""); len(a.get("items").([]any)) != 2 || a.get("nextLink") != nil {
		t.Errorf("second page: %s", a.body)
	}
}

func TestTrendRefusals(t *testing.T) {
	u := newVisionUser(newWorld(t))
	id := u.id("PC-1")
	if a := u.do("GET", u.base+"/v3.0/endpointSecurity/endpoints", "", ""); a.status != 401 || a.get("error", "code") != "Unauthorized" {
		t.Errorf("no token: %d %s", a.status, a.body)
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
		if a := u.vision(c.method, c.path, c.filter, c.body); a.status != c.want || a.get("error", "code") == nil {
			t.Errorf("%s %s, %s: %d %s", c.method, c.path, c.filter, a.status, a.body)
		}
	}
	u.wantViolations(violations)
	if a := u.vision("GET", "/response/tasks/00000009", "", ""); a.status != 404 {
		t.Errorf("unknown task: %d", a.status)
	}
	u.steer(u.base, "faults", `{"rules":[{"op":"isolate_endpoint","kind":"status","status":429,"times":1}]}`)
	if a := u.vision("POST", "/response/endpoints/isolate", "", `[{"agentGuid":"`+id+`"}]`); a.status != 429 || a.head.Get("Retry-After") == "" {
		t.Errorf("throttled: %d %v", a.status, a.head)
	}
}
