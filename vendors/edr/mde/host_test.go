package mde

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func TestFind(t *testing.T) {
	const second = "2e5bc9d7e413ddd7902c2932e418702b84d0cc07"
	for _, c := range []struct {
		hostname, filter string
		names            []string // of the answer
		want             []string
	}{
		{"PC-1", "startswith(computerDnsName,'pc-1')", []string{"pc-1.corp.example"}, []string{"pc-1.corp.example"}},
		{"pc-1.corp.example", "startswith(computerDnsName,'pc-1.corp.example')", []string{"PC-1.corp.example"}, []string{"PC-1.corp.example"}},
		{"pc-1.corp.example", "startswith(computerDnsName,'pc-1.corp.example')", []string{"pc-1", "pc-1.lab.example"}, nil},
		{"PC-1", "startswith(computerDnsName,'pc-1')", []string{"pc-10", "pc-1a.corp.example"}, nil},
		{"PC-1", "startswith(computerDnsName,'pc-1')", []string{"pc-1", "pc-1.corp.example"}, []string{"pc-1", "pc-1.corp.example"}},
		{"O'Brien", "startswith(computerDnsName,'o''brien')", nil, nil},
	} {
		cl := newCloud(t)
		cl.machines = nil
		for i, name := range c.names {
			cl.machines = append(cl.machines, map[string]any{"id": []string{id, second}[i], "computerDnsName": name})
		}
		if len(c.names) > 1 {
			cl.actions = nil
		}
		hosts, err := cl.tenant().Find(t.Context(), c.hostname)
		var got []string
		for _, h := range hosts {
			got = append(got, h.Hostname)
		}
		if err != nil || !reflect.DeepEqual(got, c.want) || cl.filters[0] != c.filter {
			t.Errorf("%s: %v, %v, %v", c.hostname, got, err, cl.filters)
		}
	}
}

func TestFindRejects(t *testing.T) {
	c := newCloud(t)
	vendortest.RejectsNames(t, c.tenant().Find)
	if c.tokens != 0 {
		t.Error("a request was made")
	}
	c.machines[0]["id"] = "../x"
	_, err := c.tenant().Find(t.Context(), "pc-1")
	vendortest.WantClass(t, err, models.Transient)
}

// Devices come in pages; those without a sensor were only seen on the network.
func TestFindReadsToTheEndOrFails(t *testing.T) {
	var skips []string
	cloudOf := func(total int) *Tenant {
		skips = nil
		c := newCloud(t)
		c.instead["GET /api/machines"] = func(w http.ResponseWriter, r *http.Request) {
			skips = append(skips, r.URL.Query().Get("$skip"))
			skip, _ := strconv.Atoi(r.URL.Query().Get("$skip"))
			rows := []map[string]any{}
			for n := skip; n < min(skip+1000, total); n++ {
				rows = append(rows, map[string]any{"id": fmt.Sprintf("%s%08d", id[:32], n), "computerDnsName": "pc-1", "onboardingStatus": "CanBeOnboarded"})
			}
			if last := len(rows) - 1; skip+1000 >= total && last >= 0 {
				rows[last]["onboardingStatus"] = "onboarded"
				rows[last]["id"] = id
			}
			c.collection(w, rows)
		}
		return c.tenant()
	}
	got, err := cloudOf(2500).Find(t.Context(), "PC-1")
	if err != nil || len(got) != 1 || got[0].ID != id || got[0].State != models.HostNormal || !reflect.DeepEqual(skips, []string{"", "1000", "2000"}) {
		t.Errorf("got %+v, %v after %v", got, err, skips)
	}
	if got, err = cloudOf(2000).Find(t.Context(), "PC-1"); err != nil || len(got) != 1 || len(skips) != 3 {
		t.Errorf("got %+v, %v after %v", got, err, skips)
	}
	_, err = cloudOf(1_000_000).Find(t.Context(), "PC-1")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "too_many_hosts" || len(skips) != 10 {
		t.Errorf("%+v after %v", v, skips)
	}
	c := newCloud(t)
	c.instead["GET /api/machines"] = vendortest.Answering(200, `{"value":[],"@odata.nextLink":"https://evil.example/"}`)
	_, err = c.tenant().Find(t.Context(), "PC-1")
	if v := vendortest.ErrorOf(t, err); v.Code != "too_many_hosts" {
		t.Errorf("%+v", v)
	}
}

func TestStateFollowsFromTheActions(t *testing.T) {
	for _, c := range []struct {
		name    string
		actions []action
		want    models.HostState
	}{
		{"nothing ever sent", nil, models.HostNormal},
		{"sent", []action{newAction(1, isolate, "Pending", 1, 1)}, models.HostIsolating},
		{"the sensor is at it", []action{newAction(1, isolate, "InProgress", 1, 1)}, models.HostIsolating},
		{"a status of tomorrow", []action{newAction(1, isolate, "Thinking", 1, 1)}, models.HostIsolating},
		{"done", []action{newAction(1, isolate, "Succeeded", 1, 2)}, models.HostIsolated},
		{"failed", []action{newAction(1, isolate, "Failed", 1, 2)}, models.HostNormal},
		{"timed out", []action{newAction(1, isolate, "TimeOut", 1, 2)}, models.HostNormal},
		{"cancelled", []action{newAction(1, isolate, "Cancelled", 1, 2)}, models.HostNormal},
		{"release sent", []action{newAction(1, isolate, "Succeeded", 1, 2), newAction(2, unisolate, "Pending", 3, 3)}, models.HostReleasing},
		{"release failed", []action{newAction(1, isolate, "Succeeded", 1, 2), newAction(2, unisolate, "Failed", 3, 4)}, models.HostIsolated},
		{"released", []action{newAction(1, isolate, "Succeeded", 1, 2), newAction(2, unisolate, "Succeeded", 3, 4)}, models.HostNormal},
		{"isolated again", []action{newAction(3, isolate, "Succeeded", 5, 6), newAction(1, isolate, "Succeeded", 1, 2), newAction(2, unisolate, "Succeeded", 3, 4)}, models.HostIsolated},
		{"released from what nobody remembers", []action{newAction(1, unisolate, "Pending", 1, 1)}, models.HostReleasing},
		{"a duplicate waits while it is isolated", []action{newAction(1, isolate, "Succeeded", 1, 2), newAction(2, isolate, "Pending", 3, 3)}, models.HostIsolated},
		{"a duplicate waits after the release", []action{newAction(1, isolate, "Succeeded", 1, 2), newAction(2, isolate, "Pending", 3, 3),
			newAction(3, unisolate, "Succeeded", 4, 5)}, models.HostIsolating},
		{"a duplicate ran after the release", []action{newAction(1, isolate, "Succeeded", 1, 2), newAction(2, isolate, "Succeeded", 3, 9),
			newAction(3, unisolate, "Succeeded", 4, 5)}, models.HostIsolated},
		{"other actions do not count", []action{newAction(1, "RunAntiVirusScan", "Succeeded", 1, 2), newAction(2, "Offboard", "Pending", 1, 2)}, models.HostNormal},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, err := newCloud(t, c.actions...).tenant().State(t.Context(), id)
			if err != nil || host.State != c.want {
				t.Errorf("%q, %v", host.State, err)
			}
		})
	}
}

func TestWhatIsToldOfADevice(t *testing.T) {
	c := newCloud(t)
	c.machines[0] = map[string]any{"id": strings.ToUpper(id), "computerDnsName": "dc-1", "healthStatus": "Inactive", "osPlatform": "WindowsServer2022",
		"machineTags": []string{"finance"}, "lastSeen": "2026-03-01T12:00:00.1234567Z"}
	want := models.Host{ID: strings.ToUpper(id), Hostname: "dc-1", State: models.HostNormal, Class: models.ClassServer, Tags: []string{"finance"},
		SeenAt: time.Date(2026, 3, 1, 12, 0, 0, 123456700, time.UTC)}
	if got, err := c.tenant().State(t.Context(), id); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for os, want := range map[string]models.AssetClass{"Windows10": models.ClassWorkstation, "macOS": models.ClassWorkstation, "Linux": "", "": ""} {
		if got := class(os); got != want {
			t.Errorf("%s: %q", os, got)
		}
	}
	if filter := c.filters[0]; filter != "machineId eq '"+strings.ToUpper(id)+"'" {
		t.Errorf("filter %s", filter)
	}
}

func TestStateFailures(t *testing.T) {
	machine, list := "GET /api/machines/"+id, "GET /api/machineactions"
	for _, c := range []struct {
		name, path string
		answer     http.HandlerFunc
		want       models.VendorClass
		code       string
	}{
		{"no such host", machine, vendortest.Answering(404, `{"error":{"code":"ResourceNotFound","message":"x"}}`), models.Rejected, "no_such_host"},
		{"another host", machine, vendortest.Answering(200, `{"id":"2e5bc9d7e413ddd7902c2932e418702b84d0cc07"}`), models.Transient, ""},
		{"forbidden", machine, vendortest.Answering(403, `{"error":{"code":"Forbidden","message":"x"}}`), models.Config, "Forbidden"},
		{"broken", machine, vendortest.Answering(500, ""), models.Transient, ""},
		{"cut", machine, vendortest.Cut, models.Transient, ""},
		{"no list", list, vendortest.Answering(200, `{}`), models.Transient, ""},
		{"half a list", list, vendortest.Answering(200, `{"value":[{"id"`), models.Transient, ""},
		{"not an id", list, vendortest.Answering(200, `{"value":[{"id":"1","type":"Isolate","machineId":"`+id+`"}]}`), models.Transient, "invalid_answer"},
		{"of another host", list, vendortest.Answering(200, `{"value":[{"id":"`+nth(1)+`","type":"Isolate","machineId":"2"}]}`), models.Transient, "invalid_answer"},
		{"more than it shows", list, vendortest.Answering(200, `{"value":[],"@odata.nextLink":"x"}`), models.Rejected, "too_many_actions"},
		{"too many", list, vendortest.Answering(200, `{"value":[{}`+strings.Repeat(",{}", 999)+`]}`), models.Rejected, "too_many_actions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.instead[c.path] = c.answer
			_, err := cl.tenant().State(t.Context(), id)
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code {
				t.Errorf("code %q", v.Code)
			}
		})
	}
	vendortest.RejectsIDs(t, newCloud(t).tenant(), "", "*", "PC-1", id+"0", "../"+id)
}

func TestAction(t *testing.T) {
	for status, want := range map[string]models.ActionState{
		"Pending": models.ActionPending, "InProgress": models.ActionPending, "Succeeded": models.ActionSucceeded,
		"Failed": models.ActionFailed, "TimeOut": models.ActionFailed, "Cancelled": models.ActionFailed,
	} {
		c := newCloud(t)
		c.instead["GET /api/machineactions/"+nth(1)] = func(w http.ResponseWriter, _ *http.Request) {
			c.collection(w, newAction(1, isolate, status, 1, 1))
		}
		if got, err := c.tenant().Action(t.Context(), id, nth(1)); err != nil || got != want {
			t.Errorf("%s: %q, %v", status, got, err)
		}
	}
	c := newCloud(t)
	for action, answer := range map[string]http.HandlerFunc{
		"1":    nil,
		nth(2): nil, // not found
		nth(3): func(w http.ResponseWriter, _ *http.Request) {
			c.collection(w, newAction(3, "Offboard", "Pending", 1, 1))
		},
	} {
		c.instead["GET /api/machineactions/"+action] = answer
		_, err := c.tenant().Action(t.Context(), id, action)
		vendortest.WantClass(t, err, models.Rejected)
	}
}
