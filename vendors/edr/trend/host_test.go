package trend

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func endpointJSON(id, name, kind, isolation, connectivity string) string {
	return fmt.Sprintf(`{"agentGuid":%q,"endpointName":%q,"type":%q,"isolationStatus":%q,
		"edrSensor":{"status":"enabled","connectivity":%q,"lastConnectedDateTime":"2026-03-01T12:00:00"},
		"eppAgent":{"status":"unknown","lastConnectedDateTime":"2026-03-01T11:00:00Z"}}`, id, name, kind, isolation, connectivity)
}

func taskJSON(id, action, status, agent, created string) string {
	return fmt.Sprintf(`{"id":%q,"action":%q,"status":%q,"agentGuid":%q,"createdDateTime":%q}`, id, action, status, agent, created)
}

func hostOf(id, name string, state models.HostState) models.Host {
	return models.Host{ID: id, Hostname: name, State: state, Online: true, Class: models.ClassWorkstation, SeenAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func TestFindTakesTheExactNameFromEveryPage(t *testing.T) {
	pages := 0
	tenant := newTenant(t, func(w http.ResponseWriter, r *http.Request) {
		pages++
		if r.URL.Path != "/v3.0/endpointSecurity/endpoints" || r.Header.Get("TMV1-Filter") != "" {
			t.Errorf("%s, filter %q", r.URL, r.Header.Get("TMV1-Filter"))
		}
		if r.URL.Query().Get("skipToken") == "" {
			vendortest.Answer(w, 200, `{"items":[`+endpointJSON(other, "PC-10", "desktop", "off", "connected")+`,{"endpointName":"PC-1"}],
				"nextLink":"https://evil.example/elsewhere?skipToken=a%2Fb&top=200"}`)
			return
		}
		if r.URL.Query().Get("skipToken") != "a/b" {
			t.Errorf("%s", r.URL)
		}
		vendortest.Answer(w, 200, `{"items":[`+endpointJSON(host, "pc-1", "desktop", "on", "connected")+`,`+endpointJSON(other, "PC-1", "server", "off", "disconnected")+`]}`)
	})
	got, err := tenant.Find(t.Context(), "PC-1")
	server := hostOf(other, "PC-1", models.HostNormal)
	server.Class, server.Online = models.ClassServer, false
	if want := []models.Host{hostOf(host, "pc-1", models.HostIsolated), server}; err != nil || !reflect.DeepEqual(got, want) || pages != 2 {
		t.Errorf("got %+v, %v, %d pages", got, err, pages)
	}
}

func TestFindEndsSomewhere(t *testing.T) {
	_, err := newTenant(t, vendortest.Answering(200, `{"items":[],"nextLink":"/v3.0/x?skipToken=1"}`)).Find(t.Context(), "PC")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "too_many_hosts" {
		t.Errorf("%+v", v)
	}
}

// Only a name of which the inventory has no device at all is asked for as well.
func TestFindAsksForANameThatTheInventoryDoesNotHave(t *testing.T) {
	for have, want := range map[string]string{
		"PC-10": "endpointName eq 'Pc-1' or endpointName eq 'pc-1' or endpointName eq 'PC-1'",
		"PC-1":  "",
	} {
		filter, first := "", true
		got, err := newTenant(t, func(w http.ResponseWriter, r *http.Request) {
			if first {
				first = false
				vendortest.Answer(w, 200, `{"items":[{"endpointName":"`+have+`"}]}`)
				return
			}
			filter = r.Header.Get("TMV1-Filter")
			vendortest.Answer(w, 200, `{"items":[`+endpointJSON(host, "PC-1", "desktop", "off", "connected")+`]}`)
		}).Find(t.Context(), "Pc-1")
		if err != nil || len(got) == 1 != (want != "") || filter != want {
			t.Errorf("%s: %+v, %v, filter %s", have, got, err, filter)
		}
	}
}

func TestFindRejectsWithoutAsking(t *testing.T) {
	tenant := newTenant(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	vendortest.RejectsNames(t, tenant.Find, "x' or endpointName eq 'y", `a\`, "Rechner-Süd")
}

func TestBrokenAnswersAreNotNoHosts(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"items":null}`, `{"items":[{"agentGuid"`, `{"items":[1]}`, `{"items":[],"nextLink":"no query"}`,
		`{"items":[{"agentGuid":"../x","endpointName":"PC-1"}]}`, `{"items":[],"nextLink":"/?` + strings.Repeat("x", 5000) + `"}`} {
		_, err := newTenant(t, vendortest.Answering(200, body)).Find(t.Context(), "PC-1")
		vendortest.WantClass(t, err, models.Transient)
	}
}

// vision answers for one endpoint and its tasks.
type vision struct {
	endpoint string // "" = unknown
	tasks    string // the rows of the list
	action   http.HandlerFunc
	filter   string // of the list of tasks
	actions  atomic.Int32
}

func (v *vision) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		v.actions.Add(1)
		v.action(w, r)
	case r.URL.Path == "/v3.0/response/tasks":
		v.filter = r.URL.Query().Get("filter")
		vendortest.Answer(w, 200, `{"items":[`+v.tasks+`]}`)
	case r.URL.Path == "/v3.0/endpointSecurity/endpoints/"+host && v.endpoint != "":
		vendortest.Answer(w, 200, v.endpoint)
	default:
		vendortest.Answer(w, 404, `{"error":{"code":"NotFound"}}`)
	}
}

// A release ends between the two requests: the endpoint must not look isolated, or an isolation would not be sent.
func TestATaskThatEndsMeanwhileDoesNotLookUndone(t *testing.T) {
	v := inState("on", taskJSON("1", "restoreIsolate", "running", host, "2026-03-01T10:00:00Z"), nil)
	got, err := newTenant(t, func(w http.ResponseWriter, r *http.Request) {
		v.ServeHTTP(w, r)
		v.endpoint, v.tasks = endpointJSON(host, "PC-1", "desktop", "off", "connected"), ""
	}).State(t.Context(), host)
	if err != nil || got.State != models.HostReleasing {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStateIsTheInventorysUnlessATaskIsUnderWay(t *testing.T) {
	const early, late = "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"
	for _, c := range []struct {
		name, isolation, tasks string
		want                   models.HostState
	}{
		{"free", "off", "", models.HostNormal},
		{"isolated", "on", "", models.HostIsolated},
		{"nobody knows", "unknown", "", models.HostUnknown},
		{"queued", "off", taskJSON("1", "isolate", "queued", host, early), models.HostIsolating},
		{"running", "off", taskJSON("1", "isolate", "running", host, early), models.HostIsolating},
		{"a person must approve", "off", taskJSON("1", "isolate", "waitForApproval", host, early), models.HostIsolating},
		{"restoring", "on", taskJSON("1", "restoreIsolate", "running", host, early), models.HostReleasing},
		{"the newest counts", "on", taskJSON("2", "restoreIsolate", "queued", host, late) + "," + taskJSON("1", "isolate", "running", host, early), models.HostReleasing},
		{"another endpoint's", "off", taskJSON("1", "isolate", "running", other, early), models.HostNormal},
		{"over, though the filter asked for others", "off", taskJSON("1", "isolate", "succeeded", host, early), models.HostNormal},
		{"something else", "off", taskJSON("1", "collectFile", "running", host, early), models.HostNormal},
	} {
		v := &vision{endpoint: endpointJSON(host, "PC-1", "desktop", c.isolation, "connected"), tasks: c.tasks}
		got, err := newTenant(t, v.ServeHTTP).State(t.Context(), host)
		if err != nil || !reflect.DeepEqual(got, hostOf(host, "PC-1", c.want)) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if want := "(action eq 'isolate' or action eq 'restoreIsolate') and (status eq 'queued' or status eq 'running' or status eq 'pendingApproval')"; v.filter != want {
			t.Errorf("filter %s", v.filter)
		}
	}
}

func TestStateFailures(t *testing.T) {
	for _, c := range []struct {
		name string
		api  http.Handler
		want models.VendorClass
		code string
	}{
		{"unknown", &vision{}, models.Rejected, "no_such_host"},
		{"another host", &vision{endpoint: endpointJSON(other, "PC-1", "desktop", "on", "connected")}, models.Transient, ""},
		{"tasks cut", &vision{endpoint: endpointJSON(host, "PC-1", "desktop", "on", "connected"), tasks: `{"id"`}, models.Transient, ""},
		{"forbidden", vendortest.Answering(403, `{"error":{"code":"AccessDenied"}}`), models.Config, "AccessDenied"},
		{"broken", vendortest.Answering(500, `{"error":{"code":"<b>"}}`), models.Transient, ""},
		{"too many", vendortest.Answering(429, ""), models.Throttled, ""},
	} {
		_, err := newTenant(t, c.api.ServeHTTP).State(t.Context(), host)
		vendortest.WantClass(t, err, c.want)
		if v := vendortest.ErrorOf(t, err); v.Code != c.code {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	tenant := newTenant(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	vendortest.RejectsIDs(t, tenant, "", "*", "export", host+","+other, host+"/..", "../"+host)
	for _, action := range []string{"", "..", "a/b", strings.Repeat("1", 65)} {
		_, err := tenant.Action(t.Context(), host, action)
		vendortest.WantClass(t, err, models.Rejected)
	}
}

func TestActionSaysWhatBecameOfTheTask(t *testing.T) {
	const at = "2026-03-01T10:00:00Z"
	for status, want := range map[string]models.ActionState{
		"queued": models.ActionPending, "running": models.ActionPending, "waitForApproval": models.ActionPending,
		"succeeded": models.ActionSucceeded, "failed": models.ActionFailed, "rejected": models.ActionFailed, "canceled": models.ActionFailed,
	} {
		tenant := newTenant(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v3.0/response/tasks/00000003" {
				t.Errorf("%s", r.URL)
			}
			vendortest.Answer(w, 200, taskJSON("00000003", "isolate", status, strings.ToUpper(host), at))
		})
		if got, err := tenant.Action(t.Context(), host, "00000003"); err != nil || got != want {
			t.Errorf("%s: %q, %v", status, got, err)
		}
	}
	for _, c := range []struct {
		status int
		body   string
		want   models.VendorClass
	}{
		{404, `{"error":{"code":"NotFound"}}`, models.Rejected},
		{200, taskJSON("3", "isolate", "running", other, at), models.Rejected},
		{200, taskJSON("3", "collectFile", "running", host, at), models.Rejected},
		{200, taskJSON("4", "isolate", "running", host, at), models.Transient},
		{200, taskJSON("3", "isolate", "strange", host, at), models.Transient},
		{200, "", models.Transient},
	} {
		_, err := newTenant(t, vendortest.Answering(c.status, c.body)).Action(t.Context(), host, "3")
		vendortest.WantClass(t, err, c.want)
	}
}
