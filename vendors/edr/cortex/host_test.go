package cortex

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

func pc1(state models.HostState) models.Host {
	return models.Host{ID: hostID, Hostname: "PC-1", State: state, Online: true, Class: models.ClassWorkstation,
		Tags: []string{"finance", "vip"}, SeenAt: time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)}
}

func listedJSON(id, name, status string) string {
	return `{"agent_id":"` + id + `","host_name":"` + name + `","agent_status":"` + status + `","agent_type":"Workstation","ip":["192.0.2.1"]}`
}

func TestFind(t *testing.T) {
	second := strings.NewReplacer(hostID, otherID, "PC-1", "pc-1", "WORKSTATION", "SERVER").Replace(endpointJSON("AGENT_ISOLATED"))
	other := pc1(models.HostIsolated)
	other.ID, other.Hostname, other.Class = otherID, "pc-1", models.ClassServer
	full := pc1(models.HostNormal)
	full.Hostname = "PC-1.corp.example"
	for _, c := range []struct {
		name, hostname, listed, endpoints string
		asked                             condition
		want                              []models.Host
	}{
		{"one", "PC-1", listedJSON(hostID, "PC-1", "Connected") + "," + listedJSON(otherID, "PC-10", "CONNECTED"), endpointJSON("AGENT_UNISOLATED"),
			condition{"endpoint_id_list", "in", []string{hostID}}, []models.Host{pc1(models.HostNormal)}},
		{"two of one name", "Pc-1", listedJSON(hostID, "PC-1", "") + "," + listedJSON(otherID, "pc-1", "Lost"), endpointJSON("AGENT_UNISOLATED") + "," + second,
			condition{"endpoint_id_list", "in", []string{hostID, otherID}}, []models.Host{pc1(models.HostNormal), other}},
		{"with a domain", "PC-1", listedJSON(hostID, "pc-1.corp.example", "Connected"), strings.Replace(endpointJSON("AGENT_UNISOLATED"), "PC-1", "PC-1.corp.example", 1),
			condition{"endpoint_id_list", "in", []string{hostID}}, []models.Host{full}},
		{"another one answers", "PC-1", listedJSON(hostID, "PC-1", "Connected"), strings.Replace(second, "pc-1", "pc-10", 1),
			condition{"endpoint_id_list", "in", []string{hostID}}, nil},
		{"uninstalled by the list", "PC-1", listedJSON(hostID, "PC-1", "Uninstalled"), "", condition{}, nil},
		{"uninstalled since", "PC-1", listedJSON(hostID, "PC-1", "Connected"), strings.Replace(endpointJSON("AGENT_UNISOLATED"), "CONNECTED", "UNINSTALLED", 1),
			condition{"endpoint_id_list", "in", []string{hostID}}, nil},
		{"not on the list yet", "Pc-1", listedJSON(otherID, "PC-10", "Connected"), endpointJSON("AGENT_UNISOLATED"),
			condition{"hostname", "in", []string{"Pc-1", "pc-1", "PC-1"}}, []models.Host{pc1(models.HostNormal)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.listed, cl.endpoints = c.listed, c.endpoints
			got, err := cl.tenant(t).Find(t.Context(), c.hostname)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
			requests := cl.askedSoFar()
			if requests[0] != `/endpoints/get_endpoints {"request_data":{}}` || len(requests) > 1 != (c.asked.Field != "") {
				t.Fatalf("asked %v", requests)
			}
			if len(requests) == 1 {
				return
			}
			var asked search
			requestData(t, requests[1], &asked)
			if want := (search{Filters: []condition{c.asked}, To: 100}); !reflect.DeepEqual(asked, want) {
				t.Errorf("asked %s", requests[1])
			}
		})
	}
}

func TestFindReadsToTheEndOrFails(t *testing.T) {
	const page = `{"reply":{"total_count":%d,"result_count":1,"endpoints":[%s]}}`
	for name, listed := range map[string]string{"by name": "", "by id": listedJSON(otherID, "PC-1", "") + "," + listedJSON(hostID, "PC-1", "")} {
		t.Run("short pages "+name, func(t *testing.T) {
			cl, asked := newCloud(t), [][2]int{}
			cl.listed = listed
			cl.answers["/endpoints/get_endpoint"] = func(w http.ResponseWriter, _ *http.Request) {
				var s search
				seen := cl.askedSoFar()
				requestData(t, seen[len(seen)-1], &s)
				asked = append(asked, [2]int{s.From, s.To})
				one := endpointJSON("AGENT_UNISOLATED")
				if s.From == 0 {
					one = strings.Replace(one, hostID, otherID, 1)
				}
				vendortest.Answer(w, 200, fmt.Sprintf(page, 2, one))
			}
			got, err := cl.tenant(t).Find(t.Context(), "PC-1")
			if err != nil || len(got) != 2 || !reflect.DeepEqual(asked, [][2]int{{0, 100}, {1, 101}}) {
				t.Errorf("got %+v, %v, asked for %v", got, err, asked)
			}
		})
	}
	t.Run("a second page", func(t *testing.T) {
		cl, pages := newCloud(t), 0
		cl.answers["/endpoints/get_endpoint"] = func(w http.ResponseWriter, _ *http.Request) {
			pages++
			gone := strings.Replace(endpointJSON("AGENT_UNISOLATED"), "CONNECTED", "UNINSTALLED", 1)
			vendortest.Answer(w, 200, fmt.Sprintf(page, 2, []string{gone, endpointJSON("AGENT_UNISOLATED")}[pages-1]))
		}
		got, err := cl.tenant(t).Find(t.Context(), "PC-1")
		if err != nil || !reflect.DeepEqual(got, []models.Host{pc1(models.HostNormal)}) || pages != 2 {
			t.Errorf("got %+v, %v after %d pages", got, err, pages)
		}
	})
	living := strings.TrimSuffix(strings.Repeat(listedJSON(hostID, "PC-1", "Connected")+",", 101), ",")
	long := strings.Repeat(" ", maxList) + listedJSON(hostID, "PC-1", "Connected")
	for name, c := range map[string]struct {
		listed string
		total  int
	}{
		"pages without end": {"", 1 << 30},
		"too many of one":   {living, 1},
		"a list too long":   {long, 1},
	} {
		cl := newCloud(t)
		cl.listed = c.listed
		cl.answers["/endpoints/get_endpoint"] = vendortest.Answering(200, fmt.Sprintf(page, c.total, endpointJSON("AGENT_UNISOLATED")))
		hosts, err := cl.tenant(t).Find(t.Context(), "PC-1")
		vendortest.WantClass(t, err, models.Rejected)
		if v := vendortest.ErrorOf(t, err); v.Code != "too_many_hosts" || len(hosts) > 0 {
			t.Errorf("%s: %+v, %+v", name, v, hosts)
		}
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
	for _, body := range []string{"", "{}", "[]", `{"reply":null}`, `{"reply":{}}`, `{"reply":[1]}`, `{"reply":[{}]}`, `{"reply":[{"agent_id":"../x","host_name":"PC-1"}]}`} {
		c := newCloud(t)
		c.answers["/endpoints/get_endpoints"] = vendortest.Answering(200, body)
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
