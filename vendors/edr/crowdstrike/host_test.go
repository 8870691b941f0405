package crowdstrike

import (
	"encoding/json"
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

// fleet answers the three reads from what it holds.
type fleet struct {
	found   string // resources of the search
	devices string // resources of the details
	online  string // resources of the online state, "" = broken
	filter  string // what was searched for
	asked   []string
}

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/devices/queries/devices/v1":
		f.filter = r.URL.Query().Get("filter")
		vendortest.Answer(w, 200, enveloped(f.found, "[]"))
	case r.Method == http.MethodPost && r.URL.Path == "/devices/entities/devices/v2":
		var body struct{ IDs []string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		f.asked = body.IDs
		vendortest.Answer(w, 200, enveloped(f.devices, "[]"))
	case r.Method == http.MethodGet && r.URL.Path == "/devices/entities/online-state/v1" && f.online != "":
		vendortest.Answer(w, 200, enveloped(f.online, "[]"))
	default:
		vendortest.Answer(w, 500, "")
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name, hostname string
		fleet          fleet
		want           []models.Host
		filter         string
	}{
		{"one", "PC-1", fleet{found: `["a1"]`, devices: "[" + deviceJSON("a1", "PC-1", "normal") + "]"},
			[]models.Host{{ID: "a1", Hostname: "PC-1", State: models.HostNormal}}, `hostname:~'PC-1',hostname:'PC-1*',hostname:'pc-1*'`},
		{"two of one name", "PC-1", fleet{found: `["a1","a2"]`,
			devices: "[" + deviceJSON("a1", "PC-1", "contained") + "," + deviceJSON("a2", "pc-1", "Normal") + "]"},
			[]models.Host{{ID: "a1", Hostname: "PC-1", State: models.HostIsolated}, {ID: "a2", Hostname: "pc-1", State: models.HostNormal}}, `hostname:~'PC-1',hostname:'PC-1*',hostname:'pc-1*'`},
		{"others with a longer name are not meant", "PC-1", fleet{found: `["a1","a2"]`,
			devices: "[" + deviceJSON("a1", "PC-10", "normal") + "," + deviceJSON("a2", "PC-1", "normal") + "]"},
			[]models.Host{{ID: "a2", Hostname: "PC-1", State: models.HostNormal}}, `hostname:~'PC-1',hostname:'PC-1*',hostname:'pc-1*'`},
		{"with a domain", "Pc-1", fleet{found: `["a1"]`, devices: "[" + deviceJSON("a1", "PC-1.corp.example", "normal") + "]"},
			[]models.Host{{ID: "a1", Hostname: "PC-1.corp.example", State: models.HostNormal}}, `hostname:~'Pc-1',hostname:'Pc-1*',hostname:'pc-1*',hostname:'PC-1*'`},
		{"a short name is not meant", "PC-1.corp", fleet{found: `["a1"]`, devices: "[" + deviceJSON("a1", "PC-1", "normal") + "]"},
			nil, `hostname:~'PC-1.corp',hostname:'PC-1.corp*',hostname:'pc-1.corp*',hostname:'PC-1.CORP*'`},
		{"none", "PC-1", fleet{found: `[]`}, nil, `hostname:~'PC-1',hostname:'PC-1*',hostname:'pc-1*'`},
		{"quotes are part of the name", `x'+hostname:!'y\`, fleet{found: `[]`}, nil, `hostname:~'x\'+hostname:!\'y\\',hostname:'x\'+hostname:!\'y\\*',hostname:'X\'+HOSTNAME:!\'Y\\*'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := newCloud(t, c.fleet.ServeHTTP).falcon(t).Find(t.Context(), c.hostname)
			if err != nil || !reflect.DeepEqual(got, c.want) || c.fleet.filter != c.filter {
				t.Errorf("got %+v, %v; filter %s", got, err, c.fleet.filter)
			}
		})
	}
}

// The ids come in pages, and the hosts in portions.
func TestFindReadsToTheEndOrFails(t *testing.T) {
	var offsets, portions []int
	cloudOf := func(total, shown int) *Tenant {
		offsets, portions = nil, nil
		return newCloud(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				var body struct{ IDs []string }
				_ = json.NewDecoder(r.Body).Decode(&body)
				portions = append(portions, len(body.IDs))
				var devices []string
				for _, id := range body.IDs {
					devices = append(devices, deviceJSON(id, map[bool]string{true: "PC-1", false: "PC-10"}[id == "a"+strconv.Itoa(total-1)], "normal"))
				}
				vendortest.Answer(w, 200, enveloped("["+strings.Join(devices, ",")+"]", "[]"))
				return
			}
			q := r.URL.Query()
			offset, _ := strconv.Atoi(q.Get("offset"))
			limit, _ := strconv.Atoi(q.Get("limit"))
			if offsets = append(offsets, offset); q.Get("sort") != "device_id.asc" {
				t.Errorf("%s", r.URL)
			}
			ids := []string{}
			for n := offset; n < min(offset+limit, shown); n++ {
				ids = append(ids, "a"+strconv.Itoa(n))
			}
			raw, _ := json.Marshal(ids)
			vendortest.Answer(w, 200, fmt.Sprintf(`{"meta":{"pagination":{"offset":%d,"limit":%d,"total":%d}},"resources":%s,"errors":[]}`, offset, limit, total, raw))
		}).falcon(t)
	}
	got, err := cloudOf(701, 701).Find(t.Context(), "PC-1")
	if err != nil || len(got) != 1 || got[0].ID != "a700" || !reflect.DeepEqual(offsets, []int{0, 500}) || !reflect.DeepEqual(portions, []int{200, 200, 200, 101}) {
		t.Errorf("got %+v, %v after %v, %v", got, err, offsets, portions)
	}
	for _, c := range [][2]int{{5000, 5000}, {701, 500}, {10, 0}} {
		hosts, err := cloudOf(c[0], c[1]).Find(t.Context(), "PC-1")
		if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "too_many_hosts" || len(hosts) > 0 || len(portions) > 0 {
			t.Errorf("%v: %+v, %+v", c, v, hosts)
		}
	}
}

func TestFindRejectsWithoutAsking(t *testing.T) {
	f := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") }).falcon(t)
	vendortest.RejectsNames(t, f.Find)
}

func TestBrokenAnswersAreNotNoHosts(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"resources":null,"errors":null}`, `{"resources":["a"`, `{"resources":[1]}`} {
		_, err := newCloud(t, vendortest.Answering(200, body)).falcon(t).Find(t.Context(), "PC-1")
		vendortest.WantClass(t, err, models.Transient)
	}
}

func TestState(t *testing.T) {
	for status, want := range map[string]models.HostState{
		"normal": models.HostNormal, "Normal": models.HostNormal, "contained": models.HostIsolated,
		"containment_pending": models.HostIsolating, "lift_containment_pending": models.HostReleasing,
		"": models.HostUnknown, "uninstalled": models.HostUnknown,
	} {
		fl := &fleet{devices: "[" + deviceJSON(aid, "PC-1", status) + "]", online: `[{"id":"` + aid + `","state":"online"}]`}
		got, err := newCloud(t, fl.ServeHTTP).falcon(t).State(t.Context(), aid)
		if err != nil || !reflect.DeepEqual(got, models.Host{ID: aid, Hostname: "PC-1", State: want, Online: true}) {
			t.Errorf("%q: %+v, %v", status, got, err)
		}
		if !reflect.DeepEqual(fl.asked, []string{aid}) {
			t.Errorf("asked for %v", fl.asked)
		}
	}
}

func TestWhatIsToldOfAHost(t *testing.T) {
	for kind, want := range map[string]models.AssetClass{
		"Workstation": models.ClassWorkstation, "Server": models.ClassServer, "Domain Controller": models.ClassDomainController, "Pod": "", "": "",
	} {
		fl := &fleet{devices: `[{"device_id":"` + aid + `","hostname":"PC-1","status":"normal","product_type_desc":"` + kind + `",
			"tags":["FalconGroupingTags/finance","SensorGroupingTags/do-not-isolate","bare"],"last_seen":"2026-03-01T12:00:00Z"}]`}
		got, err := newCloud(t, fl.ServeHTTP).falcon(t).State(t.Context(), aid)
		if err != nil || got.Class != want || !reflect.DeepEqual(got.Tags, []string{"finance", "do-not-isolate", "bare"}) ||
			!got.SeenAt.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
			t.Errorf("%q: %+v, %v", kind, got, err)
		}
	}
}

func TestOnlineIsBestEffort(t *testing.T) {
	for _, online := range []string{"", "[]", `[{"id":"` + aid + `","state":"offline"}]`, `[{"id":"other","state":"online"}]`, "null"} {
		fl := &fleet{devices: "[" + deviceJSON(aid, "PC-1", "contained") + "]", online: online}
		got, err := newCloud(t, fl.ServeHTTP).falcon(t).State(t.Context(), aid)
		if err != nil || got.Online || got.State != models.HostIsolated {
			t.Errorf("%q: %+v, %v", online, got, err)
		}
	}
}

func TestStateFailures(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
	}{
		{"nothing known", enveloped("[]", "[]"), 200, models.Rejected},
		{"another host", enveloped("["+deviceJSON("a2", "PC-2", "normal")+"]", "[]"), 200, models.Rejected},
		{"error inside success", enveloped("[]", `[{"code":404,"message":"No device"}]`), 200, models.Rejected},
		{"error inside success, no list", enveloped("null", `[{"code":500,"message":"x"}]`), 200, models.Transient},
		{"not found", enveloped("[]", `[{"code":404,"message":"x"}]`), 404, models.Rejected},
		{"scope missing", enveloped("[]", `[{"code":403,"message":"x"}]`), 403, models.Config},
		{"broken", "", 500, models.Transient},
		{"proxy page", "<html>", 502, models.Transient},
		{"too many", "", 429, models.Throttled},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newCloud(t, vendortest.Answering(c.status, c.body)).falcon(t).State(t.Context(), aid)
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); c.want == models.Rejected && v.Code != "no_such_host" {
				t.Errorf("code %q", v.Code)
			}
		})
	}
	f := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") }).falcon(t)
	vendortest.RejectsIDs(t, f, "", "*", "a,b", "a b", "../x")
}
