package edr

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

// defender is the world seen by a client of Defender.
type defender struct {
	*world
	base, token string
}

func newDefender(w *world) *defender {
	w.T.Helper()
	d := &defender{world: w, base: w.EDR["mde"]}
	a := d.login(nil)
	if d.token, _ = a.Get("access_token").(string); a.Status != 200 || d.token == "" {
		w.T.Fatalf("login: %d %s", a.Status, a.Body)
	}
	return d
}

func (d *defender) login(change func(url.Values)) stagetest.Answered {
	account := Credentials("mde")
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {mdeScope}, "client_id": {account["client_id"]}, "client_secret": {account["client_secret"]}}
	if change != nil {
		change(form)
	}
	return d.Do("POST", d.base+"/"+account["tenant_id"]+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode())
}

func (d *defender) api(method, path, body string) stagetest.Answered {
	d.T.Helper()
	return d.Do(method, d.base+"/api/"+path, "application/json", body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+d.token) })
}

func (d *defender) machine(hostname string) string {
	d.T.Helper()
	a := d.api("GET", "machines?$filter="+url.QueryEscape("startswith(computerDnsName,'"+hostname+"')"), "")
	id, _ := a.Get("value", "id").(string)
	if a.Status != 200 || len(id) != 40 {
		d.T.Fatalf("%s: %d %s", hostname, a.Status, a.Body)
	}
	return id
}

func (d *defender) actions(machine string) []any {
	d.T.Helper()
	rows, _ := d.api("GET", "machineactions?$filter="+url.QueryEscape("machineId eq '"+machine+"'"), "").Get("value").([]any)
	return rows
}

const isolation = `{"Comment":"x","IsolationType":"Full"}`

func TestDefenderIsolatesThroughActions(t *testing.T) {
	d := newDefender(unhurried(t))
	id := d.machine("pc-1")
	if a := d.api("GET", "machines/pc-1", ""); a.Get("id") != id || a.Get("healthStatus") != "Active" {
		t.Errorf("by name: %s", a.Body)
	}
	if len(d.actions(id)) != 0 {
		t.Error("actions before any client asked for one")
	}
	a := d.api("POST", "machines/"+id+"/isolate", isolation)
	action, _ := a.Get("id").(string)
	if a.Status != 201 || a.Get("status") != "Pending" || a.Get("type") != "Isolate" || a.Get("machineId") != id {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, what := range []string{"isolate", "unisolate"} {
		body := map[string]string{"isolate": isolation, "unisolate": `{"Comment":"x"}`}[what]
		if again := d.api("POST", "machines/"+id+"/"+what, body); again.Status != 400 || again.Get("error", "code") != "ActiveRequestAlreadyExists" {
			t.Errorf("%s while it is pending: %d %s", what, again.Status, again.Body)
		}
	}
	d.Until("it succeeded", func() bool { return d.api("GET", "machineactions/"+action, "").Get("status") == "Succeeded" })
	if a := d.api("POST", "machineactions/"+action+"/cancel", `{"Comment":"x"}`); a.Status != 400 {
		t.Errorf("cancel of a finished action: %d", a.Status)
	}
	if a := d.api("POST", "machines/"+id+"/unisolate", `{"Comment":"x"}`); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	d.Until("both succeeded", func() bool {
		a := d.api("GET", "machineactions?$filter="+url.QueryEscape("machineId eq '"+id+"' and status eq 'Succeeded'"), "")
		rows, _ := a.Get("value").([]any)
		return len(rows) == 2 && a.Get("value", "type") == "Unisolate" // the newest first
	})
}

func TestDefenderCancelsWhatHasNotBegun(t *testing.T) {
	d := newDefender(newWorld(t))
	d.Steer(d.base, "personas", `{"personas":{"pc-1":"offline"}}`)
	id := d.machine("pc-1")
	action, _ := d.api("POST", "machines/"+id+"/isolate", isolation).Get("id").(string)
	if a := d.api("POST", "machineactions/"+action+"/cancel", `{"Comment":"x"}`); a.Status != 200 || a.Get("status") != "Cancelled" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := d.api("POST", "machineactions/"+formatUUID(stage.HashHex("x"))+"/cancel", `{"Comment":"x"}`); a.Status != 404 {
		t.Errorf("unknown action: %d", a.Status)
	}
}

// The sequence of issue 5903: isolate, isolate, release. The device stays isolated.
func TestDefendersDuplicateRunsAfterTheRelease(t *testing.T) {
	d := newDefender(unhurried(t))
	d.Steer(d.base, "personas", `{"personas":{"pc-1":"double_isolate","pc-2":"returns_pending","pc-3":"already_isolated"}}`)
	id := d.machine("pc-1")
	first, second := d.api("POST", "machines/"+id+"/isolate", isolation), d.api("POST", "machines/"+id+"/isolate", isolation)
	if second.Status != 201 || first.Get("id") == second.Get("id") {
		t.Fatalf("%d %s", second.Status, second.Body)
	}
	status := func(a stagetest.Answered) any {
		return d.api("GET", "machineactions/"+a.Get("id").(string), "").Get("status")
	}
	d.Until("the first succeeded", func() bool { return status(first) == "Succeeded" })
	release := d.api("POST", "machines/"+id+"/unisolate", `{"Comment":"x"}`)
	if status(second) != "Pending" {
		t.Errorf("the duplicate is %v", status(second))
	}
	d.Until("the duplicate ran", func() bool { return status(second) == "Succeeded" })
	if status(release) != "Succeeded" {
		t.Errorf("the release is %v", status(release))
	}
	other := d.machine("pc-2")
	if one, two := d.api("POST", "machines/"+other+"/isolate", isolation), d.api("POST", "machines/"+other+"/isolate", isolation); one.Get("id") != two.Get("id") {
		t.Errorf("%s %s", one.Body, two.Body)
	}
	if rows := d.actions(d.machine("pc-3")); len(rows) != 1 {
		t.Errorf("an isolated device has been isolated: %v", rows)
	}
}

func TestDefenderRefusals(t *testing.T) {
	d := newDefender(newWorld(t))
	d.Steer(d.base, "personas", `{"personas":{"dc-1":"protected","gone":"missing"}}`)
	id := d.machine("pc-1")
	for name, c := range map[string]struct {
		a      stagetest.Answered
		status int
		code   string
	}{
		"lower case key":   {d.api("POST", "machines/"+id+"/isolate", `{"comment":"x","IsolationType":"Full"}`), 400, "InvalidRequestBody"},
		"no comment":       {d.api("POST", "machines/"+id+"/isolate", `{"IsolationType":"Full"}`), 400, "MissingRequiredParameter"},
		"unknown type":     {d.api("POST", "machines/"+id+"/isolate", `{"Comment":"x","IsolationType":"full"}`), 400, "InvalidInput"},
		"type of release":  {d.api("POST", "machines/"+id+"/unisolate", isolation), 400, "InvalidRequestBody"},
		"unknown field":    {d.api("GET", "machines?$filter="+url.QueryEscape("isolated eq 'yes'"), ""), 400, "ODataError"},
		"unknown operator": {d.api("GET", "machines?$filter="+url.QueryEscape("contains(computerDnsName,'pc')"), ""), 400, "ODataError"},
		"unknown query":    {d.api("GET", "machines?limit=1", ""), 400, "ODataError"},
		"unknown machine":  {d.api("POST", "machines/"+stage.HashHex("x")+"00000000/isolate", isolation), 404, "ResourceNotFound"},
		"missing":          {d.api("GET", "machines/gone", ""), 404, "ResourceNotFound"},
		"protected":        {d.api("POST", "machines/"+d.machine("dc-1")+"/isolate", isolation), 403, "DisallowedOperation"},
		"unknown path":     {d.api("GET", "alerts", ""), 404, "NotFound"},
		"unknown method":   {d.api("DELETE", "machines/"+id, ""), 404, "NotFound"},
	} {
		if c.a.Status != c.status || c.a.Get("error", "code") != c.code {
			t.Errorf("%s: %d %s", name, c.a.Status, c.a.Body)
		}
	}
	for code, change := range map[float64]func(url.Values){
		7000215: func(f url.Values) { f.Set("client_secret", "wrong") },
		700016:  func(f url.Values) { f.Set("client_id", "wrong") },
		70011:   func(f url.Values) { f.Set("scope", "https://graph.microsoft.com/.default") },
		70003:   func(f url.Values) { f.Set("grant_type", "password") },
		900144:  func(f url.Values) { f.Set("resource", "x") },
	} {
		a := d.login(change)
		codes, _ := a.Get("error_codes").([]any)
		if a.Status/100 != 4 || len(codes) != 1 || codes[0] != code {
			t.Errorf("%v: %d %s", code, a.Status, a.Body)
		}
	}
	d.Steer(d.base, "faults", `{"rules":[{"op":"token","kind":"expire"}]}`)
	if a := d.api("GET", "machines", ""); a.Status != 401 || a.Get("error", "code") != "Unauthorized" {
		t.Errorf("old token: %d", a.Status)
	}
}

func TestDefenderContract(t *testing.T) {
	c := stagetest.LoadContract(t, "mde/mde_isolation.handwritten.openapi.yaml")
	d := newDefender(newWorld(t))
	d.Web.Transport = c
	d.Steer(d.base, "personas", `{"personas":{"pc-2":"tagged","pc-3":"offline","pc-4":"protected","pc-5":"already_isolated"}}`)
	for _, name := range []string{"pc-1", "pc-2", "pc-3", "pc-4", "pc-5"} {
		id := d.machine(name)
		d.api("GET", "machines/"+id, "")
		a := d.api("POST", "machines/"+id+"/isolate", isolation)
		d.api("POST", "machines/"+id+"/unisolate", `{"Comment":"x"}`)
		d.actions(id)
		if action, ok := a.Get("id").(string); ok {
			d.api("GET", "machineactions/"+action, "")
			d.api("POST", "machineactions/"+action+"/cancel", `{"Comment":"x"}`)
		}
	}
	id := d.machine("pc-1")
	for _, status := range []string{"400", "401", "403", "429", "500"} {
		d.Fault(d.base, `{"op":"isolate","kind":"status","status":`+status+`,"times":1}`)
		d.api("POST", "machines/"+id+"/isolate", isolation)
	}
	if c.Checked < 30 {
		t.Errorf("only %d requests were checked", c.Checked)
	}
}
