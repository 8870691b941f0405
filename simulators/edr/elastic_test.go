package edr

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

// kibana makes a request with the right key and the headers Kibana wants.
func (w *world) kibana(method, path, body string, prepare ...func(*http.Request)) stagetest.Answered {
	w.T.Helper()
	kind := ""
	if body != "" {
		kind = "application/json"
	}
	right := func(r *http.Request) {
		r.Header.Set("Authorization", "ApiKey "+Credentials("elastic")["api_key"])
		r.Header.Set("kbn-xsrf", "true")
		r.Header.Set("Elastic-Api-Version", "2023-10-31")
	}
	return w.Do(method, w.EDR["elastic"]+path, kind, body, append([]func(*http.Request){right}, prepare...)...)
}

func byName(name string) string {
	return "/api/endpoint/metadata?kuery=" + url.QueryEscape(`united.endpoint.host.hostname: "`+name+`"`)
}

// kibanaHost is the agent id of a host that is found by its name.
func (w *world) kibanaHost(name string) string {
	w.T.Helper()
	id, _ := w.kibana("GET", byName(name), "").Get("data", "metadata", "agent", "id").(string)
	if id == "" {
		w.T.Fatalf("no host %s", name)
	}
	return id
}

func (w *world) kibanaAct(command, id string) stagetest.Answered {
	return w.kibana("POST", "/api/endpoint/action/"+command, `{"endpoint_ids":["`+id+`"],"comment":"SI-1"}`)
}

func (w *world) kibanaIsolated(id string) bool {
	return w.kibana("GET", "/api/endpoint/metadata/"+id, "").Get("metadata", "Endpoint", "state", "isolation") == true
}

func TestKibanaIsolatesAndReleases(t *testing.T) {
	w := unhurried(t)
	id := w.kibanaHost("PC-1")
	for _, c := range []struct {
		command  string
		isolated bool
	}{{"isolate", true}, {"unisolate", false}} {
		a := w.kibanaAct(c.command, id)
		action, _ := a.Get("data", "id").(string)
		if a.Status != 200 || action == "" || a.Get("data", "command") != c.command || a.Get("data", "isCompleted") != false || a.Get("action") != action {
			t.Fatalf("%s: %d %s", c.command, a.Status, a.Body)
		}
		if w.kibanaIsolated(id) == c.isolated {
			t.Errorf("%s is done at once", c.command)
		}
		details := "/api/endpoint/action/" + action
		w.Until(c.command, func() bool { return w.kibana("GET", details, "").Get("data", "isCompleted") == true })
		a = w.kibana("GET", details, "")
		if a.Get("data", "wasSuccessful") != true || a.Get("data", "agentState", id, "isCompleted") != true || a.Get("data", "status") != "successful" {
			t.Errorf("%s: %s", c.command, a.Body)
		}
		if w.kibanaIsolated(id) != c.isolated {
			t.Errorf("%s: the host does not say so", c.command)
		}
	}
	if e := w.fleetEffects("elastic"); len(e.Commands) != 2 || len(e.Violations) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestKibanaTakesActionsAgain(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["elastic"], "personas", `{"personas":{"PC-1":"offline"}}`)
	id := w.kibanaHost("PC-1")
	first, second := w.kibanaAct("isolate", id).Get("data", "id"), w.kibanaAct("isolate", id).Get("data", "id")
	if first == second || second == nil {
		t.Fatalf("actions %v and %v", first, second)
	}
	list := "/api/endpoint/action?agentIds=" + id + "&commands=isolate&commands=unisolate&page=1&pageSize=100"
	if a := w.kibana("GET", list, ""); a.Get("total") != 2.0 || a.Get("data", "id") != second || a.Get("data", "isCompleted") != false {
		t.Errorf("the newest is not first: %s", a.Body)
	}
	if a := w.kibana("GET", "/api/endpoint/metadata/"+id, ""); a.Get("host_status") != "offline" || w.kibanaIsolated(id) {
		t.Errorf("%s", a.Body)
	}
	w.Steer(w.EDR["elastic"], "personas", `{"personas":{"PC-1":"online"}}`)
	w.Until("isolated", func() bool { return w.kibanaIsolated(id) })
	if a := w.kibana("GET", "/api/endpoint/action/"+second.(string), ""); a.Get("data", "wasSuccessful") != true {
		t.Errorf("%s", a.Body)
	}
	if e := w.fleetEffects("elastic"); len(e.Commands) != 1 || len(e.Hosts[0].Actions) != 2 {
		t.Errorf("%+v", e)
	}
}

func TestKibanaPersonas(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["elastic"], "personas", `{"personas":{"gone":"missing","twin":"duplicate","safe":"protected","cut":"already_isolated"}}`)
	if a := w.kibana("GET", byName("gone"), ""); a.Get("total") != 0.0 {
		t.Errorf("missing: %s", a.Body)
	}
	if a := w.kibana("GET", byName("twin"), ""); a.Get("total") != 2.0 {
		t.Errorf("duplicate: %s", a.Body)
	}
	if a := w.kibanaAct("isolate", w.kibanaHost("safe")); a.Status != 400 || a.Get("statusCode") != 400.0 {
		t.Errorf("protected: %d %s", a.Status, a.Body)
	}
	if !w.kibanaIsolated(w.kibanaHost("cut")) {
		t.Error("already isolated: is not")
	}
	w.kibanaHost("PC-1")
	if a := w.kibana("GET", byName("pc-1"), ""); a.Get("total") != 0.0 {
		t.Errorf("a name is found in another case: %s", a.Body)
	}
	several := "/api/endpoint/metadata?kuery=" + url.QueryEscape(`united.endpoint.host.hostname: ("PC-1" or "pc-1" or "x\"y\\")`)
	if a := w.kibana("GET", several, ""); a.Get("total") != 2.0 {
		t.Errorf("several spellings: %s", a.Body)
	}
}

func TestKibanaLateReport(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["elastic"], "personas", `{"personas":{"PC-1":"late_report"}}`)
	id := w.kibanaHost("PC-1")
	action := w.kibanaAct("isolate", id).Get("data", "id").(string)
	w.Until("carried out", func() bool {
		return w.kibana("GET", "/api/endpoint/action/"+action, "").Get("data", "isCompleted") == true
	})
	done, _ := time.Parse(time.RFC3339Nano, w.kibana("GET", "/api/endpoint/action/"+action, "").Get("data", "completedAt").(string))
	a := w.kibana("GET", "/api/endpoint/metadata/"+id, "")
	at, _ := time.Parse(time.RFC3339Nano, a.Get("metadata", "@timestamp").(string))
	if a.Get("metadata", "Endpoint", "state", "isolation") != false || !at.Before(done) {
		t.Errorf("carried out at %v, report of %v: %s", done, at, a.Body)
	}
	w.Until("reported", func() bool { return w.kibanaIsolated(id) })
}

func TestKibanaSpacesHaveHostsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	id := w.kibanaHost("PC-1")
	a := w.kibana("GET", "/s/client-7"+byName("PC-1"), "")
	if other := a.Get("data", "metadata", "agent", "id"); other == nil || other == id {
		t.Errorf("%v and %v", id, other)
	}
	if a := w.kibana("GET", "/s/client-7/api/endpoint/metadata/"+id, ""); a.Status != 404 {
		t.Errorf("another space's host: %d", a.Status)
	}
}

func TestKibanaRefusals(t *testing.T) {
	w := newWorld(t)
	id := w.kibanaHost("PC-1")
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	isolate, body := "/api/endpoint/action/isolate", `{"endpoint_ids":["`+id+`"]}`
	violations := 0
	for name, c := range map[string]struct {
		a      stagetest.Answered
		status int
		bad    bool // a violation
	}{
		"wrong key":       {w.kibana("GET", "/api/endpoint/metadata", "", with("Authorization", "ApiKey x")), 401, false},
		"no xsrf header":  {w.kibana("POST", isolate, body, func(r *http.Request) { r.Header.Del("kbn-xsrf") }), 400, true},
		"another version": {w.kibana("GET", "/api/endpoint/metadata", "", with("Elastic-Api-Version", "2031-01-01")), 400, true},
		"unknown path":    {w.kibana("GET", "/api/endpoint/everything", ""), 404, true},
		"unknown query":   {w.kibana("GET", "/api/endpoint/metadata?hostname=PC-1", ""), 400, true},
		"wildcard":        {w.kibana("GET", "/api/endpoint/metadata?kuery="+url.QueryEscape("united.endpoint.host.hostname: PC?"), ""), 400, true},
		"open bracket":    {w.kibana("GET", "/api/endpoint/metadata?kuery="+url.QueryEscape(`united.endpoint.host.hostname: ("a"`), ""), 400, true},
		"page too large":  {w.kibana("GET", "/api/endpoint/action?pageSize=101", ""), 400, true},
		"unknown field":   {w.kibana("POST", isolate, `{"endpoint_ids":["`+id+`"],"force":true}`), 400, true},
		"no host":         {w.kibana("POST", isolate, `{"endpoint_ids":[]}`), 400, true},
		"two hosts":       {w.kibana("POST", isolate, `{"endpoint_ids":["`+id+`","`+id+`"]}`), 400, true},
		"unknown host":    {w.kibanaAct("isolate", "nobody"), 404, false},
		"unknown action":  {w.kibana("GET", "/api/endpoint/action/nothing", ""), 404, false},
	} {
		if c.a.Status != c.status || c.a.Get("statusCode") != float64(c.status) {
			t.Errorf("%s: %d %s", name, c.a.Status, c.a.Body)
		}
		if c.bad {
			violations++
		}
	}
	if e := w.fleetEffects("elastic"); len(e.Violations) != violations || len(e.Commands) != 0 {
		t.Errorf("%d violations: %+v", len(e.Violations), e)
	}
	w.Steer(w.EDR["elastic"], "faults", `{"rules":[{"op":"isolate","kind":"status","status":429,"times":1}]}`)
	if a := w.kibanaAct("isolate", id); a.Status != 429 || a.Head.Get("Retry-After") != "2" {
		t.Errorf("throttled: %d %v", a.Status, a.Head)
	}
	if raw := string(w.Do("GET", w.EDR["elastic"]+"/_sim/journal", "", "").Body); strings.Contains(raw, Credentials("elastic")["api_key"]) {
		t.Error("the key is in the journal")
	}
}

// Kibana lists documents page by page, those of agents that are gone too, and matches names to the letter.
func TestKibanaListsHosts(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["elastic"], "personas", `{"personas":{"PC-1":"crowd"}}`)
	list := func(query url.Values) (total any, status []string) {
		a := w.kibana("GET", "/api/endpoint/metadata?"+query.Encode(), "")
		for _, host := range a.Get("data").([]any) {
			status = append(status, host.(map[string]any)["host_status"].(string))
		}
		return a.Get("total"), status
	}
	const field = "united.endpoint.host.hostname: "
	for _, c := range []struct {
		kuery, page, size string
		total             float64
		shown             int
		last              string
	}{
		{`"PC-1"`, "", "", 601, 10, "unenrolled"},
		{`"PC-1"`, "", "100", 601, 100, "unenrolled"},
		{`(pc-1 or PC-1*)`, "6", "100", 601, 1, "healthy"},
		{`P*1`, "7", "100", 601, 0, ""},
		{`pc-1*`, "", "", 0, 0, ""},
		{`PC-1.*`, "", "", 0, 0, ""},
	} {
		query := url.Values{"kuery": {field + c.kuery}}
		for name, value := range map[string]string{"page": c.page, "pageSize": c.size} {
			if value != "" {
				query.Set(name, value)
			}
		}
		total, shown := list(query)
		if total != c.total || len(shown) != c.shown || len(shown) > 0 && shown[len(shown)-1] != c.last {
			t.Errorf("%+v: %v in all, %d shown", c, total, len(shown))
		}
	}
}
