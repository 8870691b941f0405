package sophos

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func endpointJSON(id, hostname, kind, isolation string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"hostname":%q,"online":true,"lastSeenAt":"2026-03-01T12:00:00.500Z","isolation":%s}`, id, kind, hostname, isolation)
}

const (
	free     = `{"status":"notIsolated","adminIsolated":false,"selfIsolated":false}`
	isolated = `{"status":"isolated","adminIsolated":true,"selfIsolated":false}`
	itself   = `{"status":"isolated","adminIsolated":false,"selfIsolated":true}`
)

var seen = time.Date(2026, 3, 1, 12, 0, 0, 5e8, time.UTC)

func TestFindTakesTheExactNameFromEveryPage(t *testing.T) {
	var asked []string
	c := newCentral(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("pageFromKey"))
		if r.URL.Path != "/endpoint/v1/endpoints" || q.Get("hostnameContains") != "PC-1" || q.Get("view") != "full" || q.Get("pageSize") != "100" {
			t.Errorf("%s", r.URL)
		}
		if q.Get("pageFromKey") == "" {
			vendortest.Answer(w, 200, `{"items":[`+endpointJSON(other, "PC-10", "computer", free)+`],"pages":{"nextKey":"a/b=="}}`)
			return
		}
		vendortest.Answer(w, 200, `{"items":[`+endpointJSON(host, "pc-1", "computer", isolated)+`,`+endpointJSON(other, "PC-1", "server", free)+`],"pages":{}}`)
	})
	got, err := c.tenant(t).Find(t.Context(), "PC-1")
	want := []models.Host{
		{ID: host, Hostname: "pc-1", State: models.HostIsolated, Online: true, Class: models.ClassWorkstation, SeenAt: seen},
		{ID: other, Hostname: "PC-1", State: models.HostNormal, Online: true, Class: models.ClassServer, SeenAt: seen},
	}
	if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(asked, []string{"", "a/b=="}) {
		t.Errorf("got %+v, %v; asked %q", got, err, asked)
	}
}

func TestFindEndsSomewhere(t *testing.T) {
	_, err := newCentral(t, vendortest.Answering(200, `{"items":[],"pages":{"nextKey":"again"}}`)).tenant(t).Find(t.Context(), "PC")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "too_many_hosts" {
		t.Errorf("%+v", v)
	}
}

func TestFindRejectsWithoutAsking(t *testing.T) {
	tenant := newCentral(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") }).tenant(t)
	vendortest.RejectsNames(t, tenant.Find)
}

func TestBrokenAnswersAreNotNoHosts(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"items":null}`, `{"items":[{"id"`, `{"items":[1]}`, `{"items":[{"id":"../x"}]}`,
		`{"items":[],"pages":{"nextKey":"` + strings.Repeat("x", 2000) + `"}}`} {
		_, err := newCentral(t, vendortest.Answering(200, body)).tenant(t).Find(t.Context(), "PC-1")
		vendortest.WantClass(t, err, models.Transient)
	}
}

// region answers for one endpoint.
type region struct {
	endpoint, setting string // "" = unknown
	patch             func(w http.ResponseWriter, body string)
}

func (g region) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what, body := r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/endpoint/v1/endpoints/"+host), ""
	switch what {
	case "GET ?view=full":
		body = g.endpoint
	case "GET /isolation":
		body = g.setting
	case "PATCH /isolation":
		sent := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(sent)
		g.patch(w, string(sent))
		return
	}
	if body == "" {
		vendortest.Answer(w, 404, `{"error":"NotFound","requestId":"r-404"}`)
		return
	}
	vendortest.Answer(w, 200, body)
}

func TestStateHoldsTheSettingAgainstTheReport(t *testing.T) {
	both := `{"status":"isolated","adminIsolated":true,"selfIsolated":true}`
	for _, c := range []struct {
		reported string
		enabled  bool
		want     models.HostState
	}{
		{free, false, models.HostNormal},
		{free, true, models.HostIsolating},
		{isolated, true, models.HostIsolated},
		{isolated, false, models.HostReleasing},
		{itself, false, models.HostIsolated},
		{itself, true, models.HostIsolating}, // until the setting has arrived as well
		{both, true, models.HostIsolated},
		{both, false, models.HostReleasing},
		{`{"status":"isolated"}`, true, models.HostIsolated},
		{`{"status":"strange"}`, true, models.HostUnknown},
		{`{}`, false, models.HostUnknown},
	} {
		g := region{endpoint: endpointJSON(host, "PC-1", "computer", c.reported), setting: fmt.Sprintf(`{"enabled":%t}`, c.enabled)}
		got, err := newCentral(t, g.ServeHTTP).tenant(t).State(t.Context(), host)
		want := models.Host{ID: host, Hostname: "PC-1", State: c.want, Online: true, Class: models.ClassWorkstation, SeenAt: seen}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s, enabled %t: %+v, %v", c.reported, c.enabled, got, err)
		}
	}
}

func TestStateFailures(t *testing.T) {
	good := endpointJSON(host, "PC-1", "computer", free)
	for _, c := range []struct {
		name string
		api  http.Handler
		want models.VendorClass
		code string
	}{
		{"unknown", region{}, models.Rejected, "no_such_host"},
		{"no setting to read", region{endpoint: good}, models.Rejected, "no_such_host"},
		{"another host", region{endpoint: endpointJSON(other, "PC-1", "computer", free), setting: `{"enabled":true}`}, models.Transient, ""},
		{"setting without a word", region{endpoint: good, setting: `{}`}, models.Transient, ""},
		{"setting cut", region{endpoint: good, setting: `{"enabled":tr`}, models.Transient, ""},
		{"forbidden", vendortest.Answering(403, `{"error":"Forbidden","requestId":"r-1"}`), models.Config, "Forbidden"},
		{"broken", vendortest.Answering(500, `{"error":"Internal Server Error"}`), models.Transient, "Internal_Server_Error"},
		{"too many", vendortest.Answering(429, ""), models.Throttled, ""},
		{"an error that is no code", vendortest.Answering(400, `{"error":"<script>"}`), models.Rejected, ""},
	} {
		_, err := newCentral(t, c.api.ServeHTTP).tenant(t).State(t.Context(), host)
		vendortest.WantClass(t, err, c.want)
		if v := vendortest.ErrorOf(t, err); v.Code != c.code {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	tenant := newCentral(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") }).tenant(t)
	vendortest.RejectsIDs(t, tenant, "", "*", "isolation", host+","+other, host+"/..", "../"+host)
}
