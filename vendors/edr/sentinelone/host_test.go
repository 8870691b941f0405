package sentinelone

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func TestFind(t *testing.T) {
	gone := `{"id":"` + other + `","computerName":"PC-1","networkStatus":"connected","isUninstalled":true}`
	retired := `{"id":"` + other + `","computerName":"PC-1","networkStatus":"connected","isDecommissioned":true}`
	want := models.Host{ID: id, Hostname: "PC-1", State: models.HostNormal, Online: true, Class: models.ClassWorkstation}
	full := want
	full.Hostname = "PC-1.corp.example"
	second := models.Host{ID: other, Hostname: "pc-1", State: models.HostIsolated, Online: true, Class: models.ClassWorkstation}
	for _, c := range []struct {
		name, body string
		want       []models.Host
	}{
		{"one", agents(agentJSON(id, "PC-1", "connected")), []models.Host{want}},
		{"two of one name", agents(agentJSON(id, "PC-1", "connected"), agentJSON(other, "pc-1", "disconnected")), []models.Host{want, second}},
		{"the filter was loose", agents(agentJSON(other, "PC-10", "connected"), agentJSON(id, "PC-1", "connected")), []models.Host{want}},
		{"uninstalled", agents(gone, agentJSON(id, "PC-1", "connected")), []models.Host{want}},
		{"decommissioned", agents(retired), nil},
		{"with a domain", agents(agentJSON(id, "PC-1.corp.example", "connected")), []models.Host{full}},
		{"none", agents(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := console(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/web/api/v2.1/agents" || r.URL.RawQuery != "computerName__like=PC-1&limit=100" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				vendortest.Answer(w, 200, c.body)
			})
			got, err := tenant.Find(t.Context(), "PC-1")
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestFindReadsAllPages(t *testing.T) {
	asked := 0
	tenant := console(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		q, _ := url.ParseQuery(r.URL.RawQuery)
		switch {
		case asked == 1 && !q.Has("cursor"):
			vendortest.Answer(w, 200, `{"data":[`+agentJSON(other, "PC-10", "connected")+`],"pagination":{"nextCursor":"a+b/c="}}`)
		case asked == 2 && q.Get("cursor") == "a+b/c=":
			vendortest.Answer(w, 200, agents(agentJSON(id, "PC-1", "connected")))
		default:
			t.Errorf("request %d: %s", asked, r.URL)
		}
	})
	if got, err := tenant.Find(t.Context(), "PC-1"); err != nil || len(got) != 1 || got[0].ID != id {
		t.Errorf("got %+v, %v", got, err)
	}
	endless := 0
	tenant = console(t, func(w http.ResponseWriter, _ *http.Request) {
		endless++
		vendortest.Answer(w, 200, `{"data":[],"pagination":{"nextCursor":"more"}}`)
	})
	_, err := tenant.Find(t.Context(), "PC-1")
	vendortest.WantClass(t, err, models.Rejected)
	if endless != 20 || vendortest.ErrorOf(t, err).Code != "too_many_hosts" {
		t.Errorf("%d pages were read", endless)
	}
}

func TestNothingIsAskedForWhatCannotBe(t *testing.T) {
	tenant := console(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	vendortest.RejectsNames(t, tenant.Find)
	vendortest.RejectsIDs(t, tenant, "", "*", id+","+other, id+" ", "123", "12345678901234567x", strings.Repeat("1", 21))
	state, err := tenant.Action(t.Context(), id, "1")
	vendortest.WantClass(t, err, models.Rejected)
	if v := vendortest.ErrorOf(t, err); state != "" || v.Code != "no_actions" {
		t.Errorf("%q, %+v", state, v)
	}
}

func TestStateOfAHost(t *testing.T) {
	for status, want := range map[string]models.HostState{
		"connected": models.HostNormal, "disconnecting": models.HostIsolating, "disconnected": models.HostIsolated,
		"connecting": models.HostReleasing, "": models.HostUnknown, "Connected ": models.HostUnknown,
	} {
		tenant := console(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/web/api/v2.1/agents" || r.URL.RawQuery != "ids="+id+"&limit=100" {
				t.Errorf("%s", r.URL)
			}
			vendortest.Answer(w, 200, agents(agentJSON(other, "PC-2", "disconnected"), agentJSON(id, "PC-1", status)))
		})
		got, err := tenant.State(t.Context(), id)
		if err != nil || got.State != want || got.ID != id {
			t.Errorf("%q: %+v, %v", status, got, err)
		}
	}
	for _, body := range []string{agents(), agents(agentJSON(other, "PC-2", "connected"))} {
		_, err := console(t, vendortest.Answering(200, body)).State(t.Context(), id)
		if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "no_such_host" {
			t.Errorf("%+v", v)
		}
	}
}

func TestWhatAnAgentSaysOfItself(t *testing.T) {
	for _, c := range []struct {
		name, more string
		want       models.Host
	}{
		{"a server with tags", `"isActive":true,"machineType":"server","lastActiveDate":"2026-03-01T12:00:00.123456+01:00",
			"tags":{"sentinelone":[{"key":"site","value":"Ber\nlin"},{"key":"do-not-isolate","value":""},{"key":"","value":""}]}`,
			models.Host{Online: true, Class: models.ClassServer, SeenAt: time.Date(2026, 3, 1, 11, 0, 0, 123456000, time.UTC),
				Tags: []string{"site:Ber lin", "do-not-isolate"}}},
		{"a laptop", `"isActive":false,"machineType":"laptop","lastActiveDate":null,"tags":null`, models.Host{Class: models.ClassWorkstation}},
		{"a node", `"machineType":"kubernetes node","lastActiveDate":"None","tags":{}`, models.Host{}},
		{"uninstalled", `"isActive":true,"isUninstalled":true`, models.Host{State: models.HostUnknown}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.ID, c.want.Hostname = id, "PC-1"
			if c.want.State == "" {
				c.want.State = models.HostIsolated
			}
			body := fmt.Sprintf(`{"id":%q,"computerName":"PC-1","networkStatus":"disconnected",%s}`, id, c.more)
			got, err := console(t, vendortest.Answering(200, agents(body))).State(t.Context(), id)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}
