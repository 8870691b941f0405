package carbonblack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func deviceJSON(id int, name string, quarantined bool) string {
	return fmt.Sprintf(`{"id":%d,"name":%q,"quarantined":%t,"status":"REGISTERED"}`, id, name, quarantined)
}

func results(list ...string) string {
	return fmt.Sprintf(`{"results":[%s],"num_found":%d}`, strings.Join(list, ","), len(list))
}

func TestFind(t *testing.T) {
	gone := `{"id":3,"name":"PC-1","quarantined":true,"status":"DEREGISTERED"}`
	want := models.Host{ID: "98765", Hostname: "PC-1", State: models.HostNormal}
	for _, c := range []struct {
		name, body string
		want       []models.Host
	}{
		{"one", results(deviceJSON(98765, "PC-1", false)), []models.Host{want}},
		{"two of one name", results(deviceJSON(98765, "PC-1", false), deviceJSON(2, `CORP\pc-1`, true)),
			[]models.Host{want, {ID: "2", Hostname: "pc-1", State: models.HostIsolated}}},
		{"the search was loose", results(deviceJSON(2, "PC-10", false), deviceJSON(98765, "PC-1", false)), []models.Host{want}},
		{"deregistered", results(gone), nil},
		{"none", results(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := cloud(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.URL.Path != "/appservices/v6/orgs/ORG12345/devices/_search" ||
					string(body) != `{"query":"name:PC\\-1","start":0,"rows":200}` {
					t.Errorf("%s %s %s", r.Method, r.URL, body)
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

func TestTheNameIsOneLiteralOfTheSearch(t *testing.T) {
	for hostname, want := range map[string]string{
		`x" OR name:y`: `name:x\"\ OR\ name\:y`,
		`a) || (b`:     `name:a\)\ \|\|\ \(b`,
		"büro_1.local": "name:büro_1.local",
	} {
		tenant := cloud(t, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Query string }
			if json.NewDecoder(r.Body).Decode(&body) != nil || body.Query != want {
				t.Errorf("query %s, want %s", body.Query, want)
			}
			vendortest.Answer(w, 200, results())
		})
		if _, err := tenant.Find(t.Context(), hostname); err != nil {
			t.Error(err)
		}
	}
}

func TestFindReadsAllPages(t *testing.T) {
	var starts []int
	pages := func(total int) *Tenant {
		starts = nil
		return cloud(t, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Start int }
			_ = json.NewDecoder(r.Body).Decode(&body)
			starts = append(starts, body.Start)
			list := make([]string, 200)
			for i := range list {
				list[i] = deviceJSON(body.Start+i+1, "PC-10", false)
			}
			if body.Start == 200 && total == 201 {
				list = []string{deviceJSON(98765, "PC-1", false)}
			}
			vendortest.Answer(w, 200, fmt.Sprintf(`{"results":[%s],"num_found":%d}`, strings.Join(list, ","), total))
		})
	}
	got, err := pages(201).Find(t.Context(), "PC-1")
	if err != nil || len(got) != 1 || got[0].ID != id || !reflect.DeepEqual(starts, []int{0, 200}) {
		t.Errorf("got %+v, %v after %v", got, err, starts)
	}
	_, err = pages(1_000_000).Find(t.Context(), "PC-1")
	vendortest.WantClass(t, err, models.Rejected)
	if len(starts) != 10 {
		t.Errorf("%d pages were read", len(starts))
	}
}

// Carbon Black may give fewer devices than were asked for: none of them is passed over for that.
func TestFindReadsShortPages(t *testing.T) {
	var starts []int
	pages := func(shown, total int) *Tenant {
		starts = nil
		return cloud(t, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Start int }
			_ = json.NewDecoder(r.Body).Decode(&body)
			starts = append(starts, body.Start)
			var list []string
			for n := body.Start; n < min(body.Start+50, shown); n++ {
				list = append(list, deviceJSON(n+1, map[bool]string{true: "PC-1", false: "PC-10"}[n == 70], false))
			}
			vendortest.Answer(w, 200, fmt.Sprintf(`{"results":[%s],"num_found":%d}`, strings.Join(list, ","), total))
		})
	}
	got, err := pages(120, 120).Find(t.Context(), "PC-1")
	if err != nil || len(got) != 1 || got[0].ID != "71" || !reflect.DeepEqual(starts, []int{0, 50, 100}) {
		t.Errorf("got %+v, %v after %v", got, err, starts)
	}
	_, err = pages(60, 120).Find(t.Context(), "PC-1") // it does not show the rest
	if v := vendortest.ErrorOf(t, err); v.Code != "too_many_hosts" || !reflect.DeepEqual(starts, []int{0, 50, 60}) {
		t.Errorf("%+v after %v", v, starts)
	}
	_, err = pages(10_000, 10_000).Find(t.Context(), "PC-1")
	if v := vendortest.ErrorOf(t, err); v.Code != "too_many_hosts" || len(starts) != 40 {
		t.Errorf("%+v after %d pages", v, len(starts))
	}
}

func TestNothingIsAskedForWhatCannotBe(t *testing.T) {
	tenant := cloud(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	vendortest.RejectsNames(t, tenant.Find, `CORP\PC-1`)
	vendortest.RejectsIDs(t, tenant, "", "*", "0", "-1", "+1", "01", "1,2", "1 ", "1/../2", strings.Repeat("1", 19))
	state, err := tenant.Action(t.Context(), id, "1")
	vendortest.WantClass(t, err, models.Rejected)
	if v := vendortest.ErrorOf(t, err); state != "" || v.Code != "no_actions" {
		t.Errorf("%q, %+v", state, v)
	}
}

func TestWhatADeviceSaysOfItself(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, more string
		want       models.Host
	}{
		{"seen just now", `"quarantined":false,"last_contact_time":"2026-03-01T11:59:30.518Z"`,
			models.Host{State: models.HostNormal, Online: true, SeenAt: time.Date(2026, 3, 1, 11, 59, 30, 518000000, time.UTC)}},
		{"seen an hour ago", `"quarantined":true,"last_contact_time":"2026-03-01T12:00:00+01:00"`,
			models.Host{State: models.HostIsolated, SeenAt: at.Add(-time.Hour)}},
		{"uninstalled", `"quarantined":true,"last_contact_time":"2026-03-01T12:00:00Z","status":"UNINSTALLED"`,
			models.Host{State: models.HostUnknown, SeenAt: at}},
		{"a server by its platform", `"quarantined":false,"windows_platform":"SERVER_X64"`,
			models.Host{State: models.HostNormal, Class: models.ClassServer}},
		{"a server by its system", `"quarantined":false,"windows_platform":null,"os":"WINDOWS","os_version":"Windows Server 2019 x64"`,
			models.Host{State: models.HostNormal, Class: models.ClassServer}},
		{"a client", `"quarantined":false,"windows_platform":"CLIENT_X64","os":"WINDOWS","os_version":"Windows 11 x64"`,
			models.Host{State: models.HostNormal, Class: models.ClassWorkstation}},
		{"a Mac", `"quarantined":false,"os":"MAC"`, models.Host{State: models.HostNormal, Class: models.ClassWorkstation}},
		{"a Linux system may be either", `"quarantined":false,"os":"LINUX","os_version":"Ubuntu 22.04"`, models.Host{State: models.HostNormal}},
		{"groups", `"quarantined":false,"asset_group":[{"id":"1","name":"do-not-isolate"}],"groups":[{"name":"Ber\nlin"},{"name":""}]`,
			models.Host{State: models.HostNormal, Tags: []string{"do-not-isolate", "Ber lin"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.ID, c.want.Hostname = id, "PC-1"
			tenant := cloud(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/appservices/v6/orgs/ORG12345/devices/98765" || r.URL.RawQuery != "" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				w.Header().Set("Date", at.Format(http.TimeFormat))
				vendortest.Answer(w, 200, `{"id":98765,"name":"PC-1",`+c.more+`}`)
			})
			got, err := tenant.State(t.Context(), id)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestStateOfNobody(t *testing.T) {
	_, err := cloud(t, vendortest.Answering(404, `{"error_code":"NOT_FOUND"}`)).State(t.Context(), id)
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "no_such_host" {
		t.Errorf("%+v", v)
	}
	_, err = cloud(t, vendortest.Answering(200, deviceJSON(2, "PC-1", false))).State(t.Context(), id)
	vendortest.WantClass(t, err, models.Transient)
}
