package edr

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

// centralUser is a client of the simulated Sophos Central.
type centralUser struct {
	*world
	base, token, tenant string
}

func (w *world) sophosForm(secret string) string {
	return "grant_type=client_credentials&scope=token&client_id=" + Credentials("sophos")["client_id"] + "&client_secret=" + secret
}

func newCentralUser(w *world) *centralUser {
	w.T.Helper()
	u := &centralUser{world: w, base: w.EDR["sophos"]}
	u.logIn()
	u.tenant, _ = u.central("GET", "/whoami/v1", "").Get("id").(string)
	if len(u.tenant) != 36 {
		w.T.Fatalf("tenant %q", u.tenant)
	}
	return u
}

func (u *centralUser) logIn() {
	u.T.Helper()
	a := u.Do("POST", u.base+"/api/v2/oauth2/token", "application/x-www-form-urlencoded", u.sophosForm(Credentials("sophos")["client_secret"]))
	u.token, _ = a.Get("access_token").(string)
	if a.Status != 200 || u.token == "" || a.Get("expires_in") != 3600.0 {
		u.T.Fatalf("login: %d %s", a.Status, a.Body)
	}
}

func (u *centralUser) central(method, path, body string) stagetest.Answered {
	u.T.Helper()
	kind := ""
	if body != "" {
		kind = "application/json"
	}
	return u.Do(method, u.base+path, kind, body, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+u.token)
		r.Header.Set("X-Tenant-ID", u.tenant)
	})
}

// ids are the endpoints the text finds.
func (u *centralUser) ids(text string) []string {
	u.T.Helper()
	a := u.central("GET", "/endpoint/v1/endpoints?view=full&hostnameContains="+text, "")
	items, ok := a.Get("items").([]any)
	if a.Status != 200 || !ok {
		u.T.Fatalf("list: %d %s", a.Status, a.Body)
	}
	var out []string
	for _, item := range items {
		out = append(out, item.(map[string]any)["id"].(string))
	}
	return out
}

func (u *centralUser) isolate(id, enabled string) stagetest.Answered {
	u.T.Helper()
	return u.central("PATCH", "/endpoint/v1/endpoints/"+id+"/isolation", `{"enabled":`+enabled+`,"comment":"SI-1"}`)
}

// status returns the isolation that the endpoint reports, and the one wanted of it.
func (u *centralUser) status(id string) (reported, wanted any) {
	u.T.Helper()
	path := "/endpoint/v1/endpoints/" + id
	return u.central("GET", path+"?view=full", "").Get("isolation", "status"), u.central("GET", path+"/isolation", "").Get("enabled")
}

func (u *centralUser) wantViolations(want int) {
	u.T.Helper()
	var e struct{ Violations []stage.Violation }
	u.Effects(u.base, &e)
	if len(e.Violations) != want {
		u.T.Errorf("%d violations, want %d: %+v", len(e.Violations), want, e.Violations)
	}
}

func TestSophosIsolatesAndReleases(t *testing.T) {
	u := newCentralUser(unhurried(t))
	id := u.ids("PC-1")[0]
	if a := u.isolate(id, "true"); a.Status != 200 || a.Get("enabled") != true || a.Get("comment") != "SI-1" {
		t.Fatalf("isolate: %d %s", a.Status, a.Body)
	}
	if reported, wanted := u.status(id); reported != "notIsolated" || wanted != true {
		t.Errorf("right after: %v, wanted %v", reported, wanted)
	}
	if a := u.isolate(id, "true"); a.Status != 400 || a.Get("error") != "BadRequest" {
		t.Errorf("again: %d %s", a.Status, a.Body)
	}
	u.Until("it is isolated", func() bool { reported, _ := u.status(id); return reported == "isolated" })
	if a := u.isolate(id, "false"); a.Status != 200 || a.Get("enabled") != false {
		t.Errorf("release: %d %s", a.Status, a.Body)
	}
	u.Until("it is free", func() bool { reported, _ := u.status(id); return reported == "notIsolated" })
	var e struct {
		Commands []fleetCommand `json:"commands"`
	}
	u.Effects(u.base, &e)
	if len(e.Commands) != 2 || e.Commands[0].Action != "isolate" || e.Commands[1].Action != "release" || e.Commands[0].DeviceID != id {
		t.Errorf("effective actions %+v", e.Commands)
	}
	u.wantViolations(0)
}

func TestSophosFindsEveryNameThatContainsTheText(t *testing.T) {
	u := newCentralUser(newWorld(t))
	u.Steer(u.base, "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","SRV-1":"server"}}`)
	if n := len(u.ids("PC-10")); n != 1 {
		t.Errorf("PC-10: %d", n)
	}
	if got := u.ids("pc-1"); len(got) != 2 || !slices.Contains(got, u.ids("PC-10")[0]) {
		t.Errorf("pc-1: %v", got)
	}
	if n := len(u.ids("GONE")); n != 0 {
		t.Errorf("missing: %d", n)
	}
	if n := len(u.ids("TWIN")); n != 2 {
		t.Errorf("duplicate: %d", n)
	}
	first := u.central("GET", "/endpoint/v1/endpoints?pageSize=3&view=summary", "")
	if key := first.Get("pages", "nextKey"); key != "3" || first.Get("items", "isolation") != nil {
		t.Errorf("first page: %s", first.Body)
	}
	if a := u.central("GET", "/endpoint/v1/endpoints?pageSize=3&pageFromKey=3", ""); len(a.Get("items").([]any)) != 1 || a.Get("pages", "nextKey") != nil {
		t.Errorf("second page: %s", a.Body)
	}
	if a := u.central("GET", "/endpoint/v1/endpoints?view=full&hostnameContains=SRV-1", ""); a.Get("items", "type") != "server" {
		t.Errorf("server: %s", a.Body)
	}
	u.wantViolations(0)
}

func TestSophosPersonas(t *testing.T) {
	u := newCentralUser(newWorld(t))
	u.Steer(u.base, "personas", `{"personas":{"DC":"protected","OLD":"already_isolated","SELF":"self_isolated","HASTY":"too_soon","AWAY":"offline"}}`)
	for name, want := range map[string]int{"DC": 400, "OLD": 400, "SELF": 200, "HASTY": 200, "AWAY": 200} {
		if a := u.isolate(u.ids(name)[0], "true"); a.Status != want {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := u.isolate(u.ids("HASTY")[0], "false"); a.Status != 400 {
		t.Errorf("too soon: %d %s", a.Status, a.Body)
	}
	self := u.central("GET", "/endpoint/v1/endpoints?view=full&hostnameContains=SELF", "")
	if self.Get("items", "isolation").(map[string]any)["selfIsolated"] != true {
		t.Errorf("self: %s", self.Body)
	}
	away := u.ids("AWAY")[0]
	if a := u.central("GET", "/endpoint/v1/endpoints/"+away, ""); a.Get("online") != false {
		t.Errorf("away: %s", a.Body)
	}
	u.Steer(u.base, "personas", `{"personas":{"AWAY":"online"}}`)
	u.Until("it is isolated", func() bool { reported, _ := u.status(away); return reported == "isolated" })
}

func TestSophosRefusals(t *testing.T) {
	u := newCentralUser(newWorld(t))
	id := u.ids("PC-1")[0]
	form := "application/x-www-form-urlencoded"
	if a := u.Do("POST", u.base+"/api/v2/oauth2/token", form, u.sophosForm("wrong")); a.Status != 401 || a.Get("errorCode") != "oauth.invalid_client_secret" {
		t.Errorf("wrong secret: %d %s", a.Status, a.Body)
	}
	one := "/endpoint/v1/endpoints/" + id
	violations := 0
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/endpoint/v1/endpoints?hostname=PC-1", "", 400},
		{"GET", "/endpoint/v1/endpoints?pageSize=501", "", 400},
		{"GET", one + "?x=1", "", 400},
		{"GET", one + "/isolation?view=full", "", 400},
		{"PATCH", one + "/isolation", `{}`, 400},
		{"PATCH", one + "/isolation", `{"enabled":true,"ids":["x"]}`, 400},
		{"POST", "/endpoint/v1/endpoints/isolation", `{"enabled":true,"ids":[]}`, 404},
		{"DELETE", one, "", 404},
	} {
		violations++
		if a := u.central(c.method, c.path, c.body); a.Status != c.want || a.Get("error") == nil || a.Get("requestId") == nil {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.Status, a.Body)
		}
	}
	unknown := formatUUID(stage.HashHex("nobody"))
	for _, a := range []stagetest.Answered{u.central("GET", "/endpoint/v1/endpoints/"+unknown, ""), u.isolate(unknown, "true")} {
		if a.Status != 404 {
			t.Errorf("unknown endpoint: %d %s", a.Status, a.Body)
		}
	}
	u.wantViolations(violations)
	u.tenant = unknown
	if a := u.isolate(id, "true"); a.Status != 403 {
		t.Errorf("another tenant: %d %s", a.Status, a.Body)
	}
	u.tenant = ""
	if a := u.isolate(id, "true"); a.Status != 401 {
		t.Errorf("no tenant: %d %s", a.Status, a.Body)
	}
}

func TestSophosFaults(t *testing.T) {
	u := newCentralUser(newWorld(t))
	id := u.ids("PC-1")[0]
	u.Steer(u.base, "faults", `{"rules":[{"op":"token","kind":"expire"},{"op":"change_isolation","kind":"status","status":429,"times":1}]}`)
	if a := u.central("GET", "/whoami/v1", ""); a.Status != 401 {
		t.Errorf("old token: %d", a.Status)
	}
	u.logIn()
	if a := u.isolate(id, "true"); a.Status != 429 || a.Head.Get("Retry-After") == "" {
		t.Errorf("throttled: %d %v", a.Status, a.Head)
	}
	if _, wanted := u.status(id); wanted != false {
		t.Error("a throttled action took effect")
	}
	for _, e := range u.Journal(u.base) {
		if secret := Credentials("sophos")["client_secret"]; strings.Contains(e.Body, secret) || strings.Contains(e.Headers["Authorization"], u.token) {
			t.Errorf("the journal holds a secret: %+v", e)
		}
	}
}
