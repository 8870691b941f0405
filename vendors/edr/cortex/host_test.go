package cortex

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func pc1(state models.HostState) models.Host {
	return models.Host{ID: hostID, Hostname: "PC-1", State: state, Online: true, Class: models.ClassWorkstation,
		Tags: []string{"finance", "vip"}, SeenAt: time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)}
}

func TestFind(t *testing.T) {
	second := strings.NewReplacer(hostID, otherID, "PC-1", "pc-1", "WORKSTATION", "SERVER").Replace(endpointJSON("AGENT_ISOLATED"))
	other := pc1(models.HostIsolated)
	other.ID, other.Hostname, other.Class = otherID, "pc-1", models.ClassServer
	for _, c := range []struct {
		name, hostname, endpoints string
		value                     []string
		want                      []models.Host
	}{
		{"one", "PC-1", endpointJSON("AGENT_UNISOLATED"), []string{"PC-1", "pc-1"}, []models.Host{pc1(models.HostNormal)}},
		{"two of one name", "Pc-1", endpointJSON("AGENT_UNISOLATED") + "," + second, []string{"Pc-1", "pc-1", "PC-1"},
			[]models.Host{pc1(models.HostNormal), other}},
		{"others with a longer name are not meant", "PC-1",
			strings.Replace(second, "pc-1", "pc-10", 1) + "," + endpointJSON("AGENT_UNISOLATED"), []string{"PC-1", "pc-1"}, []models.Host{pc1(models.HostNormal)}},
		{"uninstalled agents are not hosts", "PC-1", strings.Replace(endpointJSON("AGENT_UNISOLATED"), "CONNECTED", "UNINSTALLED", 1),
			[]string{"PC-1", "pc-1"}, nil},
		{"none", "PC-1", "", []string{"PC-1", "pc-1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.endpoints = c.endpoints
			got, err := cl.tenant(t).Find(t.Context(), c.hostname)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
			var asked search
			requestData(t, cl.askedSoFar()[0], &asked)
			if want := (search{Filters: []condition{{"hostname", "in", c.value}}, To: 100}); !reflect.DeepEqual(asked, want) {
				t.Errorf("asked %s", cl.askedSoFar()[0])
			}
		})
	}
}

func TestFindRejectsWithoutAsking(t *testing.T) {
	c := newCloud(t)
	vendortest.RejectsNames(t, c.tenant(t).Find)
	if len(c.askedSoFar()) != 0 {
		t.Errorf("asked %v", c.askedSoFar())
	}
}

func TestBrokenAnswersAreNotNoHosts(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"reply":null}`, `{"reply":false}`, `{"reply":{"endpoints":null}}`, `{"reply":{"endpoints":[`,
		`{"reply":{"endpoints":[1]}}`, `{"reply":{"endpoints":[{"endpoint_id":"../x","endpoint_name":"PC-1"}]}}`} {
		c := newCloud(t)
		c.answers["/endpoints/get_endpoint"] = vendortest.Answering(200, body)
		_, err := c.tenant(t).Find(t.Context(), "PC-1")
		vendortest.WantClass(t, err, models.Transient)
	}
}

func TestState(t *testing.T) {
	for isolation, want := range map[string]models.HostState{
		"AGENT_UNISOLATED": models.HostNormal, "AGENT_PENDING_ISOLATION": models.HostIsolating, "AGENT_ISOLATED": models.HostIsolated,
		"AGENT_PENDING_ISOLATION_CANCELLATION": models.HostReleasing, "AGENT_STRANGE": models.HostUnknown, "": models.HostUnknown,
	} {
		c := newCloud(t)
		c.endpoints = endpointJSON(isolation)
		got, err := c.tenant(t).State(t.Context(), hostID)
		if err != nil || !reflect.DeepEqual(got, pc1(want)) {
			t.Errorf("%q: %+v, %v", isolation, got, err)
		}
		if asked := `/endpoints/get_endpoint {"request_data":{"filters":[{"field":"endpoint_id_list","operator":"in","value":["` + hostID + `"]}],"search_from":0,"search_to":100}}`; c.askedSoFar()[0] != asked {
			t.Errorf("asked %s", c.askedSoFar()[0])
		}
	}
}

func TestWhatCortexTellsOfAHost(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		change   func(*models.Host)
	}{
		"disconnected": {`"CONNECTED"`, `"DISCONNECTED"`, func(h *models.Host) { h.Online = false }},
		"lost":         {`"CONNECTED"`, `"LOST"`, func(h *models.Host) { h.Online = false }},
		"uninstalled": {`"CONNECTED"`, `"UNINSTALLED"`, func(h *models.Host) {
			h.Online, h.State = false, models.HostUnknown
		}},
		"server":                {"WORKSTATION", "SERVER", func(h *models.Host) { h.Class = models.ClassServer }},
		"phone":                 {"WORKSTATION", "MOBILE", func(h *models.Host) { h.Class = "" }},
		"no tags":               {`{"server_tags":["finance"],"endpoint_tags":["vip"]}`, `[]`, func(h *models.Host) { h.Tags = nil }},
		"tags null":             {`{"server_tags":["finance"],"endpoint_tags":["vip"]}`, `null`, func(h *models.Host) { h.Tags = nil }},
		"never seen":            {"1772366405000", "null", func(h *models.Host) { h.SeenAt = time.Time{} }},
		"cannot be isolated":    {`"AGENT_ISOLATED"`, "null", func(h *models.Host) { h.State = models.HostUnknown }},
		"a name of other words": {"PC-1", "PC-9", func(h *models.Host) { h.Hostname = "PC-9" }},
	} {
		cl := newCloud(t)
		cl.endpoints = strings.Replace(endpointJSON("AGENT_ISOLATED"), c.from, c.to, 1)
		want := pc1(models.HostIsolated)
		c.change(&want)
		got, err := cl.tenant(t).State(t.Context(), hostID)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestStateFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   models.VendorClass
	}{
		{"none", vendortest.Answering(200, `{"reply":{"endpoints":[]}}`), models.Rejected},
		{"another host", vendortest.Answering(200, `{"reply":{"endpoints":[{"endpoint_id":"`+otherID+`"}]}}`), models.Rejected},
		{"broken", vendortest.Answering(500, rejected(500, `"can't create group action id for ISOLATE"`)), models.Transient},
		{"proxy page", vendortest.Answering(502, "<html>"), models.Transient},
		{"too many", vendortest.Answering(429, ""), models.Throttled},
		{"forbidden", vendortest.Answering(403, ""), models.Config},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.answers["/endpoints/get_endpoint"] = c.answer
			_, err := cl.tenant(t).State(t.Context(), hostID)
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); (c.want == models.Rejected) != (v.Code == "no_such_host") {
				t.Errorf("code %q", v.Code)
			}
		})
	}
}

func TestIDsAreCheckedBeforeAsking(t *testing.T) {
	c := newCloud(t)
	tenant := c.tenant(t)
	vendortest.RejectsIDs(t, tenant, "", "*", "a,b", "a b", "../x", "-", strings.Repeat("a", 65))
	for _, action := range []string{"", "0", "-1", "1e3", "1.0", "07", "x", strings.Repeat("9", 19)} {
		_, err := tenant.Action(t.Context(), hostID, action)
		vendortest.WantClass(t, err, models.Rejected)
	}
	if len(c.askedSoFar()) != 0 {
		t.Errorf("asked %v", c.askedSoFar())
	}
}
