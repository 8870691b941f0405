package edr

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func (w *world) s1(method, path, body string) stagetest.Answered {
	w.T.Helper()
	a := w.Do(method, w.EDR["sentinelone"]+"/web/api/v2.1"+path, "application/json", body, func(r *http.Request) {
		r.Header.Set("Authorization", "ApiToken "+Credentials("sentinelone")["api_token"])
	})
	if a.Err == nil && a.Head.Get("X-Rqid") == "" {
		w.T.Errorf("%s: no request id", path)
	}
	return a
}

// s1Agent is the id of the one agent with this name.
func (w *world) s1Agent(hostname string) string {
	w.T.Helper()
	a := w.s1("GET", "/agents?computerName="+url.QueryEscape(hostname), "")
	id, _ := a.Get("data", "id").(string)
	if a.Status != 200 || len(id) != 18 {
		w.T.Fatalf("agents of %s: %d %s", hostname, a.Status, a.Body)
	}
	return id
}

func (w *world) s1Read(id, field string) any {
	w.T.Helper()
	return w.s1("GET", "/agents?ids="+id, "").Get("data", field)
}

func (w *world) s1Act(action, filter string) stagetest.Answered {
	w.T.Helper()
	return w.s1("POST", "/agents/actions/"+action, `{"filter":`+filter+`,"data":{}}`)
}

func byAgent(id string) string { return `{"ids":["` + id + `"]}` }

func TestAnAgentIsDisconnectedAndConnected(t *testing.T) {
	w := unhurried(t)
	id := w.s1Agent("FIN-1")
	if w.s1Read(id, "networkStatus") != "connected" || w.s1Read(id, "machineType") != "desktop" || w.s1Read(id, "isActive") != true {
		t.Errorf("at first: %s", w.s1("GET", "/agents?ids="+id, "").Body)
	}
	if a := w.s1Act("disconnect", byAgent(id)); a.Status != 200 || a.Get("data", "affected") != 1.0 {
		t.Fatalf("disconnect: %d %s", a.Status, a.Body)
	}
	if got := w.s1Read(id, "networkStatus"); got != "disconnecting" {
		t.Errorf("right after: %v", got)
	}
	if a := w.s1Act("disconnect", byAgent(id)); a.Status != 200 || a.Get("data", "affected") != 0.0 {
		t.Errorf("disconnect again: %d %s", a.Status, a.Body)
	}
	w.Until("it is disconnected", func() bool { return w.s1Read(id, "networkStatus") == "disconnected" })
	if a := w.s1Act("connect", byAgent(id)); a.Get("data", "affected") != 1.0 {
		t.Errorf("connect: %d %s", a.Status, a.Body)
	}
	w.Until("it is connected", func() bool { return w.s1Read(id, "networkStatus") == "connected" })
	e := w.fleetEffects("sentinelone")
	var states []string
	for _, c := range e.Hosts[0].Changes {
		states = append(states, c.State)
	}
	if strings.Join(states, " ") != "normal isolating isolated releasing normal" || len(e.Commands) != 2 || len(e.Violations) != 0 {
		t.Errorf("states %v, commands %+v, violations %+v", states, e.Commands, e.Violations)
	}
}

func TestALooseFilterReachesTheWholeFleet(t *testing.T) {
	for name, c := range map[string]struct {
		filter   string
		affected float64
	}{
		"nothing":                {`{}`, 3},
		"no ids":                 {`{"ids":[]}`, 3},
		"an empty name":          {`{"computerName":""}`, 3},
		"part of a name":         {`{"computerName__like":"srv"}`, 2},
		"a name, which is loose": {`{"computerName":"SRV-1"}`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, host := range []string{"PC-1", "SRV-1", "SRV-10"} {
				w.s1("GET", "/agents?computerName="+host, "")
			}
			if a := w.s1Act("disconnect", c.filter); a.Status != 200 || a.Get("data", "affected") != c.affected {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			e := w.fleetEffects("sentinelone")
			if len(e.Commands) != int(c.affected) || len(e.Violations) != 1 {
				t.Errorf("commands %+v, violations %+v", e.Commands, e.Violations)
			}
		})
	}
	w := newWorld(t)
	two := `{"ids":["` + w.s1Agent("PC-1") + `","` + w.s1Agent("PC-2") + `"]}`
	if a := w.s1Act("disconnect", two); a.Get("data", "affected") != 2.0 || len(w.fleetEffects("sentinelone").Violations) != 1 {
		t.Errorf("two ids: %s", a.Body)
	}
}

func TestPersonasOfAgents(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["sentinelone"], "personas", `{"personas":{"GONE":"missing","TWIN":"duplicate","GUARDED":"protected","OLD":"already_isolated",
		"SRV":"server","DC":"domain_controller","MINE":"tagged","DEAD":"uninstalled","RETIRED":"decommissioned","AWAY":"offline"}}`)
	for name, n := range map[string]float64{"GONE": 0, "TWIN": 2, "SRV": 1} {
		if a := w.s1("GET", "/agents?computerName="+name, ""); a.Get("pagination", "totalItems") != n {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	for name, status := range map[string]string{"GUARDED": "connected", "DEAD": "connected", "RETIRED": "connected", "OLD": "disconnected"} {
		id := w.s1Agent(name)
		a := w.s1Act("disconnect", byAgent(id))
		if a.Status != 200 || a.Get("data", "affected") != 0.0 || w.s1Read(id, "networkStatus") != status {
			t.Errorf("%s: %d %s, then %v", name, a.Status, a.Body, w.s1Read(id, "networkStatus"))
		}
	}
	for _, c := range []struct {
		name, field string
		want        any
	}{
		{"SRV", "machineType", "server"}, {"DC", "machineType", "server"}, {"DEAD", "isUninstalled", true},
		{"RETIRED", "isDecommissioned", true}, {"AWAY", "isActive", false},
	} {
		if got := w.s1Read(w.s1Agent(c.name), c.field); got != c.want {
			t.Errorf("%s of %s: %v", c.field, c.name, got)
		}
	}
	if got := w.s1("GET", "/agents?computerName=MINE", "").Get("data", "tags", "sentinelone", "key"); got != "finance" {
		t.Errorf("tag: %v", got)
	}
	if e := w.fleetEffects("sentinelone"); len(e.Commands) != 0 || len(e.Violations) != 0 {
		t.Errorf("nothing took effect, but %+v", e)
	}
}

func TestAnOfflineAgentWaitsUntilItChecksIn(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.EDR["sentinelone"], "personas", `{"personas":{"AWAY":"offline"}}`)
	away, here := w.s1Agent("AWAY"), w.s1Agent("HERE")
	w.s1Act("disconnect", byAgent(away))
	w.s1Act("disconnect", byAgent(here))
	w.Until("the online agent is disconnected", func() bool { return w.s1Read(here, "networkStatus") == "disconnected" })
	if got := w.s1Read(away, "networkStatus"); got != "disconnecting" {
		t.Fatalf("offline agent: %v", got)
	}
	w.Steer(w.EDR["sentinelone"], "personas", `{"personas":{"AWAY":"online"}}`)
	w.Until("it is disconnected", func() bool { return w.s1Read(away, "networkStatus") == "disconnected" })
}

func TestAgentsComeInPages(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.s1("GET", fmt.Sprintf("/agents?computerName=PC-%d", i), "")
	}
	a := w.s1("GET", "/agents?computerName__like=pc-", "") // which is the thirteenth
	list, _ := a.Get("data").([]any)
	next, _ := a.Get("pagination", "nextCursor").(string)
	if len(list) != 10 || next == "" {
		t.Fatalf("first page: %d agents, cursor %q", len(list), next)
	}
	a = w.s1("GET", "/agents?computerName__like=pc-&cursor="+url.QueryEscape(next), "")
	list, _ = a.Get("data").([]any)
	if len(list) != 3 || a.Get("pagination", "nextCursor") != nil {
		t.Errorf("last page: %s", a.Body)
	}
	if a := w.s1("GET", "/agents?computerName=PC-1", ""); a.Get("pagination", "totalItems") != 3.0 {
		t.Errorf("PC-1 finds PC-10 and PC-11 too: %s", a.Body)
	}
}

func TestSentinelOneRefusals(t *testing.T) {
	w := newWorld(t)
	for _, auth := range []string{"", "ApiToken wrong", "Bearer " + Credentials("sentinelone")["api_token"]} {
		a := w.Do("GET", w.EDR["sentinelone"]+"/web/api/v2.1/agents", "", "", func(r *http.Request) { r.Header.Set("Authorization", auth) })
		if a.Status != 401 || a.Get("errors", "code") != 4010010.0 {
			t.Errorf("%q: %d %s", auth, a.Status, a.Body)
		}
	}
	id := w.s1Agent("PC-1")
	refused := map[string]stagetest.Answered{
		"no filter":          w.s1("POST", "/agents/actions/disconnect", `{}`),
		"unknown field":      w.s1("POST", "/agents/actions/disconnect", `{"filter":`+byAgent(id)+`,"comment":"x"}`),
		"unknown filter":     w.s1Act("disconnect", `{"agentName":"PC-1"}`),
		"a query":            w.s1("POST", "/agents/actions/disconnect?x=1", `{"filter":`+byAgent(id)+`}`),
		"unknown search":     w.s1("GET", "/agents?hostname=PC-1", ""),
		"repeated ids":       w.s1("GET", "/agents?ids=1&ids=2", ""),
		"a page too large":   w.s1("GET", "/agents?limit=1001", ""),
		"an invented cursor": w.s1("GET", "/agents?cursor=x", ""),
	}
	for name, a := range refused {
		if a.Status != 400 || a.Get("errors", "code") != 4000010.0 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := w.s1("POST", "/agents/actions/uninstall", `{}`); a.Status != 404 {
		t.Errorf("unknown path: %d", a.Status)
	}
	e := w.fleetEffects("sentinelone")
	if len(e.Violations) != len(refused)+1 || len(e.Commands) != 0 {
		t.Errorf("violations %+v, commands %+v", e.Violations, e.Commands)
	}
}

func TestFaultsOfSentinelOne(t *testing.T) {
	w := newWorld(t)
	id := w.s1Agent("PC-1")
	w.Steer(w.EDR["sentinelone"], "faults", `{"rules":[{"op":"disconnect","kind":"status","status":429,"times":1},{"op":"disconnect","kind":"reset_after","times":1}]}`)
	if a := w.s1Act("disconnect", byAgent(id)); a.Status != 429 || a.Head.Get("Retry-After") != "2" || a.Get("errors", "code") != 4290010.0 {
		t.Errorf("429: %d %v %s", a.Status, a.Head, a.Body)
	}
	if a := w.s1Act("disconnect", byAgent(id)); a.Err == nil {
		t.Errorf("not cut: %d", a.Status)
	}
	if n := len(w.fleetEffects("sentinelone").Commands); n != 1 {
		t.Errorf("%d actions took effect", n)
	}
	if a := w.Do("POST", w.EDR["sentinelone"]+"/_sim/faults", "application/json", `{"rules":[{"op":"token","kind":"expire"}]}`); a.Status != 400 {
		t.Errorf("there are no tokens to expire: %d", a.Status)
	}
	journal := string(w.Do("GET", w.EDR["sentinelone"]+"/_sim/journal", "", "").Body)
	if strings.Contains(journal, Credentials("sentinelone")["api_token"]) {
		t.Error("the token is in the journal")
	}
	if _, err := time.Parse(time.RFC3339, w.s1Read(id, "lastActiveDate").(string)); err != nil {
		t.Error(err)
	}
}
