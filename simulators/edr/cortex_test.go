package edr

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

// signedAt signs like the vendor's own example: key, nonce, milliseconds.
func signedAt(at time.Time, nonce string) func(*http.Request) {
	return func(r *http.Request) {
		values, stamp := Credentials("cortex"), strconv.FormatInt(at.UnixMilli(), 10)
		sum := sha256.Sum256([]byte(values["api_key"] + nonce + stamp))
		r.Header.Set("x-xdr-auth-id", values["api_key_id"])
		r.Header.Set("x-xdr-nonce", nonce)
		r.Header.Set("x-xdr-timestamp", stamp)
		r.Header.Set("Authorization", hex.EncodeToString(sum[:]))
	}
}

func (w *world) cortex(path, data string, prepare ...func(*http.Request)) stagetest.Answered {
	w.T.Helper()
	right := signedAt(time.Now(), stage.RandomHex(64))
	return w.Do("POST", w.EDR["cortex"]+"/public_api/v1"+path, "application/json", `{"request_data":`+data+`}`,
		append([]func(*http.Request){right}, prepare...)...)
}

func (w *world) cortexHosts(field, value string) stagetest.Answered {
	return w.cortex("/endpoints/get_endpoint", `{"filters":[{"field":"`+field+`","operator":"in","value":["`+value+`"]}],"search_from":0,"search_to":100}`)
}

func (w *world) cortexHost(name string) string {
	w.T.Helper()
	id, _ := w.cortexHosts("hostname", name).Get("reply", "endpoints", "endpoint_id").(string)
	if id == "" {
		w.T.Fatalf("no endpoint %s", name)
	}
	return id
}

func (w *world) cortexAct(what, id string) stagetest.Answered {
	return w.cortex("/endpoints/"+what, `{"endpoint_id":"`+id+`"}`)
}

func (w *world) cortexState(id string) any {
	return w.cortexHosts("endpoint_id_list", id).Get("reply", "endpoints", "is_isolated")
}

func (w *world) cortexAction(action, id string) any {
	return w.cortex("/actions/get_action_status", `{"group_action_id":`+action+`}`).Get("reply", "data", id)
}

func TestCortexIsolatesAndReleases(t *testing.T) {
	w := unhurried(t)
	id := w.cortexHost("PC-1")
	a := w.cortexAct("isolate", id)
	n, _ := a.Get("reply", "action_id").(float64)
	if a.Status != 200 || n == 0 || a.Get("reply", "endpoints_count") != 1.0 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if w.cortexState(id) != "AGENT_PENDING_ISOLATION" {
		t.Errorf("state %v", w.cortexState(id))
	}
	w.Until("isolated", func() bool { return w.cortexState(id) == "AGENT_ISOLATED" })
	if got := w.cortexAction(strconv.Itoa(int(n)), id); got != "COMPLETED_SUCCESSFULLY" {
		t.Errorf("action %v", got)
	}
	a = w.cortexAct("unisolate", id)
	action, _ := a.Get("reply", "action_id").(string)
	if a.Status != 200 || action == "" || w.cortexState(id) != "AGENT_PENDING_ISOLATION_CANCELLATION" || w.cortexAction(action, id) != "IN_PROGRESS" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	w.Until("released", func() bool { return w.cortexState(id) == "AGENT_UNISOLATED" })
	if e := w.fleetEffects("cortex"); len(e.Commands) != 2 || len(e.Violations) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestCortexMakesNoActionWithoutNeed(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["cortex"], "personas", `{"personas":{"cut":"already_isolated","safe":"protected","old":"uninstalled","away":"offline"}}`)
	away := w.cortexHost("away")
	if a := w.cortexAct("isolate", away); a.Status != 200 || w.cortexAction("4701", away) != "PENDING" {
		t.Fatalf("offline: %d %s", a.Status, a.Body)
	}
	for name, a := range map[string]stagetest.Answered{
		"isolated":            w.cortexAct("isolate", w.cortexHost("cut")),
		"protected":           w.cortexAct("isolate", w.cortexHost("safe")),
		"uninstalled":         w.cortexAct("isolate", w.cortexHost("old")),
		"under way":           w.cortexAct("isolate", away),
		"the opposite of it":  w.cortexAct("unisolate", away),
		"unknown":             w.cortexAct("isolate", stage.HashHex("nobody")),
		"release of a normal": w.cortexAct("unisolate", w.cortexHost("PC-1")),
	} {
		extra, _ := a.Get("reply", "err_extra").(string)
		if a.Status != 500 || !strings.HasPrefix(extra, "can't create group action id for ") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if e := w.fleetEffects("cortex"); len(e.Commands) != 1 || len(e.Violations) != 0 {
		t.Errorf("%+v", e)
	}
	w.Steer(w.EDR["cortex"], "personas", `{"personas":{"away":"online"}}`)
	w.Until("isolated when it came back", func() bool { return w.cortexState(away) == "AGENT_ISOLATED" })
}

func TestCortexPersonas(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["cortex"], "personas",
		`{"personas":{"gone":"missing","twin":"duplicate","old":"uninstalled","away":"offline","dc":"domain_controller","vip":"tagged","bad":"fails"}}`)
	for name, want := range map[string]float64{"gone": 0, "twin": 2} {
		if a := w.cortexHosts("hostname", name); a.Get("reply", "total_count") != want {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	for _, c := range []struct{ name, field, want string }{
		{"old", "endpoint_status", "UNINSTALLED"}, {"away", "endpoint_status", "DISCONNECTED"}, {"PC-1", "endpoint_status", "CONNECTED"},
		{"dc", "endpoint_type", "AGENT_TYPE_SERVER"}, {"PC-1", "endpoint_type", "AGENT_TYPE_WORKSTATION"},
	} {
		if got := w.cortexHosts("hostname", c.name).Get("reply", "endpoints", c.field); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if a := w.cortexHosts("hostname", "vip"); !strings.Contains(string(a.Body), `"server_tags":["finance"`) {
		t.Errorf("tagged: %s", a.Body)
	}
	bad := w.cortexHost("bad")
	w.cortexAct("isolate", bad)
	w.Until("failed", func() bool { return w.cortexAction("4701", bad) == "FAILED" })
	if w.cortexState(bad) != "AGENT_UNISOLATED" {
		t.Errorf("state %v", w.cortexState(bad))
	}
}

func TestCortexSignatures(t *testing.T) {
	w := newWorld(t)
	list := func(prepare ...func(*http.Request)) int {
		return w.cortex("/endpoints/get_endpoint", `{"search_from":0,"search_to":1}`, prepare...).Status
	}
	used := stage.RandomHex(64)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name    string
		prepare func(*http.Request)
		want    int
	}{
		{"right", signedAt(time.Now(), used), 200},
		{"the nonce again", signedAt(time.Now(), used), 401},
		{"a clock a minute off", signedAt(time.Now().Add(-time.Minute), stage.RandomHex(64)), 200},
		{"a clock six minutes slow", signedAt(time.Now().Add(-6*time.Minute), stage.RandomHex(64)), 401},
		{"a clock six minutes fast", signedAt(time.Now().Add(6*time.Minute), stage.RandomHex(64)), 401},
		{"a short nonce", signedAt(time.Now(), stage.RandomHex(32)), 401},
		{"the key itself", header("Authorization", Credentials("cortex")["api_key"]), 401},
		{"another key id", header("x-xdr-auth-id", "18"), 401},
		{"another time than signed", header("x-xdr-timestamp", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10)), 401},
		{"no time", header("x-xdr-timestamp", ""), 401},
	} {
		if got := list(c.prepare); got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
	if raw := string(w.Do("GET", w.EDR["cortex"]+"/_sim/journal", "", "").Body); strings.Contains(raw, Credentials("cortex")["api_key"]) {
		t.Error("the key is in the journal")
	}
}

func TestCortexRefusals(t *testing.T) {
	w := newWorld(t)
	id := w.cortexHost("PC-1")
	for name, a := range map[string]stagetest.Answered{
		"unknown field":    w.cortex("/endpoints/isolate", `{"endpoint_id":"`+id+`","force":true}`),
		"no endpoint":      w.cortex("/endpoints/isolate", `{}`),
		"many by a filter": w.cortex("/endpoints/isolate", `{"filters":[{"field":"endpoint_id_list","operator":"in","value":["`+id+`"]}]}`),
		"unknown filter":   w.cortexHosts("alias", "PC-1"),
		"page too large":   w.cortex("/endpoints/get_endpoint", `{"search_from":0,"search_to":101}`),
		"no action":        w.cortex("/actions/get_action_status", `{}`),
	} {
		if a.Status != 400 || a.Get("reply", "err_code") != 400.0 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := w.cortex("/endpoints/everything", `{}`); a.Status != 404 {
		t.Errorf("unknown path: %d", a.Status)
	}
	if a := w.cortex("/actions/get_action_status", `{"group_action_id":9}`); a.Status != 200 || string(a.Body) != `{"reply":{"data":{}}}` {
		t.Errorf("unknown action: %d %s", a.Status, a.Body)
	}
	if e := w.fleetEffects("cortex"); len(e.Violations) != 7 || len(e.Commands) != 0 {
		t.Errorf("%d violations: %+v", len(e.Violations), e)
	}
	w.Steer(w.EDR["cortex"], "faults", `{"rules":[{"op":"isolate","kind":"status","status":429,"times":1}]}`)
	if a := w.cortexAct("isolate", id); a.Status != 429 || a.Head.Get("Retry-After") != "2" {
		t.Errorf("throttled: %d %v", a.Status, a.Head)
	}
}
