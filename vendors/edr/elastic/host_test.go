package elastic

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func pc1(state models.HostState) models.Host {
	return models.Host{ID: agentID, Hostname: "PC-1", State: state, Online: true,
		SeenAt: time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)}
}

func TestFind(t *testing.T) {
	list := func(documents ...string) string {
		return fmt.Sprintf(`{"data":[%s],"total":%d}`, strings.Join(documents, ","), len(documents))
	}
	several := func(id, name string) models.Host { // whose states are not asked for
		h := pc1(models.HostUnknown)
		h.ID, h.Hostname = id, name
		return h
	}
	const pc1Query = `united.endpoint.host.hostname: ("PC-1" or PC-1 or PC-1.* or pC-1 or pC-1.* or Pc-1 or Pc-1.* or pc-1 or pc-1.*)`
	for _, c := range []struct {
		name, hostname, answer, kuery string
		want                          []models.Host
	}{
		{"one", "PC-1", list(documentJSON(agentID, "PC-1", false)), pc1Query, []models.Host{pc1(models.HostNormal)}},
		{"two of one name", "PC-1", list(documentJSON(agentID, "PC-1", false), documentJSON(otherID, "pc-1", true)), pc1Query,
			[]models.Host{several(agentID, "PC-1"), several(otherID, "pc-1")}},
		{"one and one with a domain", "PC-1", list(documentJSON(otherID, "pc-1.corp.example", true), documentJSON(agentID, "PC-1", false)), pc1Query,
			[]models.Host{several(otherID, "pc-1.corp.example"), pc1(models.HostNormal)}},
		{"with a domain", "PC-1", list(documentJSON(agentID, "PC-1.corp", false)), pc1Query, []models.Host{several(agentID, "PC-1.corp")}},
		{"a short name is not meant", "1.2", list(documentJSON(agentID, "1", false)), `united.endpoint.host.hostname: ("1.2" or 1.2 or 1.2.*)`, nil},
		{"others with a longer name are not meant", "PC-1", list(documentJSON(otherID, "PC-10", false), documentJSON(agentID, "PC-1", false)), pc1Query,
			[]models.Host{pc1(models.HostNormal)}},
		{"unenrolled agents are not hosts", "PC-1", list(strings.Replace(documentJSON(otherID, "PC-1", false), "healthy", "unenrolled", 1)), pc1Query, nil},
		{"none", "PC-1", list(), pc1Query, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			var kuery string
			k.answers["GET /api/endpoint/metadata"] = func(w http.ResponseWriter, r *http.Request) {
				kuery = r.URL.Query().Get("kuery")
				vendortest.Answer(w, 200, c.answer)
			}
			got, err := k.tenant(t).Find(t.Context(), c.hostname)
			if err != nil || !reflect.DeepEqual(got, c.want) || kuery != c.kuery {
				t.Errorf("got %+v, %v; asked %s", got, err, kuery)
			}
		})
	}
}

func TestTheFilterMindsNoCaseAndEscapesWhatItMust(t *testing.T) {
	for hostname, want := range map[string]string{
		`x" or y\`:  `("x\" or y\\" or x*or*y* or x*or*y*.* or X*or*y* or X*or*y*.* or x*Or*y* or`,
		"Bü(1)":     `("Bü(1)" or B*1* or B*1*.* or b*1* or b*1*.*)`,
		"名前":        `("名前" or * or *.*)`,
		"or":        `("or" or or* or Or* or oR* or OR*)`,
		"10.1.2.3":  `("10.1.2.3" or 10.1.2.3 or 10.1.2.3.*)`,
		"FILESRV-1": `("FILESRV-1" or FILES*-1 or FILES*-1.* or fILES*-1 or`,
	} {
		got := strings.TrimPrefix(filter(hostname), "united.endpoint.host.hostname: ")
		if !strings.HasPrefix(got, want) || strings.HasSuffix(want, ")") && got != want || len(got) > 2000 {
			t.Errorf("%s: %s", hostname, got)
		}
	}
}

// Documents come in pages, those of agents that are gone too. A page that comes twice does no harm.
func TestFindReadsToTheEndOrFails(t *testing.T) {
	var asked []string
	kibanaOf := func(total int, repeat bool) *Tenant {
		asked = nil
		k := newKibana(t)
		k.answers["GET /api/endpoint/metadata"] = func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			asked = append(asked, q.Get("page"))
			page, _ := strconv.Atoi(q.Get("page"))
			if repeat {
				page = max(page-1, 0)
			}
			var documents []string
			for n := page * 100; n < min(page*100+100, total); n++ {
				d := documentJSON(fmt.Sprintf("%s%04d", agentID[:32], n), "PC-1", false)
				if n < total-1 {
					d = strings.Replace(d, "healthy", "unenrolled", 1)
				}
				documents = append(documents, d)
			}
			if q.Get("pageSize") != "100" {
				t.Errorf("%s", r.URL)
			}
			vendortest.Answer(w, 200, fmt.Sprintf(`{"data":[%s],"total":%d}`, strings.Join(documents, ","), total))
		}
		return k.tenant(t)
	}
	for _, repeat := range []bool{false, true} {
		got, err := kibanaOf(251, repeat).Find(t.Context(), "PC-1")
		if err != nil || len(got) != 1 || got[0].ID != agentID[:32]+"0250" || len(asked) != 3 && !repeat {
			t.Errorf("got %+v, %v; asked %q", got, err, asked)
		}
	}
	_, err := kibanaOf(2001, false).Find(t.Context(), "PC-1")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "too_many_hosts" || len(asked) != 20 {
		t.Errorf("%+v after %d pages", v, len(asked))
	}
	k := newKibana(t)
	k.answers["GET /api/endpoint/metadata"] = vendortest.Answering(200, `{"data":[],"total":51}`)
	_, err = k.tenant(t).Find(t.Context(), "PC-1")
	if v := vendortest.ErrorOf(t, err); v.Code != "too_many_hosts" {
		t.Errorf("%+v", v)
	}
}

func TestFindKnowsActionsUnderWay(t *testing.T) {
	k := newKibana(t)
	k.actions = actionJSON(actionID, "isolate", "2026-03-01T11:58:00Z", pending)
	got, err := k.tenant(t).Find(t.Context(), "PC-1")
	if err != nil || !reflect.DeepEqual(got, []models.Host{pc1(models.HostIsolating)}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFindRejectsWithoutAsking(t *testing.T) {
	k := newKibana(t)
	vendortest.RejectsNames(t, k.tenant(t).Find)
	if len(k.askedSoFar()) != 0 {
		t.Errorf("asked %v", k.askedSoFar())
	}
}

func TestBrokenAnswersAreNotNoHosts(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"data":null}`, `{"data":[`, `{"data":[1]}`, `{"data":[` + documentJSON("../x", "PC-1", false) + `]}`,
		`{"data":[]}`} {
		k := newKibana(t)
		k.answers["GET /api/endpoint/metadata"] = vendortest.Answering(200, body)
		_, err := k.tenant(t).Find(t.Context(), "PC-1")
		vendortest.WantClass(t, err, models.Transient)
	}
}

func TestStateFollowsSensorAndActions(t *testing.T) {
	const early, late = "2026-03-01T11:50:00Z", "2026-03-01T11:58:00Z"
	unreported := strings.Replace(succeeded, "11:59:00", "12:00:03", 1) // later than the sensor's report
	for _, c := range []struct {
		name     string
		isolated bool
		actions  []string
		want     models.HostState
	}{
		{"no action", false, nil, models.HostNormal},
		{"isolated long ago", true, nil, models.HostIsolated},
		{"sent", false, []string{actionJSON("o1", "isolate", late, pending)}, models.HostIsolating},
		{"sent twice", false, []string{actionJSON("o1", "isolate", late, pending), actionJSON("o2", "isolate", early, pending)}, models.HostIsolating},
		{"carried out", true, []string{actionJSON("o1", "isolate", late, succeeded)}, models.HostIsolated},
		{"carried out, the sensor has not reported yet", false, []string{actionJSON("o1", "isolate", late, unreported)}, models.HostIsolating},
		{"undone at the device since", false, []string{actionJSON("o1", "isolate", late, succeeded)}, models.HostNormal},
		{"failed", false, []string{actionJSON("o1", "isolate", late, failed)}, models.HostNormal},
		{"expired", false, []string{actionJSON("o1", "isolate", late, expired)}, models.HostNormal},
		{"release sent", true, []string{actionJSON("o2", "unisolate", late, pending), actionJSON("o1", "isolate", early, succeeded)}, models.HostReleasing},
		{"released", false, []string{actionJSON("o2", "unisolate", late, succeeded), actionJSON("o1", "isolate", early, succeeded)}, models.HostNormal},
		{"release after an isolation nobody carried out", false,
			[]string{actionJSON("o2", "unisolate", late, pending), actionJSON("o1", "isolate", early, pending)}, models.HostReleasing},
		{"the list may be in any order", false,
			[]string{actionJSON("o1", "isolate", early, pending), actionJSON("o2", "unisolate", late, pending)}, models.HostReleasing},
		{"duplicate pending on an isolated host", true, []string{actionJSON("o1", "isolate", late, pending)}, models.HostIsolated},
		{"other commands do not matter", false, []string{actionJSON("o1", "scan", late, pending)}, models.HostNormal},
		{"other hosts do not matter", false,
			[]string{strings.Replace(actionJSON("o1", "isolate", late, pending), agentID, otherID, 1)}, models.HostNormal},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.document, k.actions = documentJSON(agentID, "PC-1", c.isolated), strings.Join(c.actions, ",")
			got, err := k.tenant(t).State(t.Context(), agentID)
			if err != nil || !reflect.DeepEqual(got, pc1(c.want)) {
				t.Errorf("got %+v, %v", got, err)
			}
			asked, _ := url.Parse(strings.TrimPrefix(k.askedSoFar()[len(k.askedSoFar())-1], "GET "))
			if q := asked.Query(); !reflect.DeepEqual(q["agentIds"], []string{agentID}) || !reflect.DeepEqual(q["commands"], []string{"isolate", "unisolate"}) {
				t.Errorf("asked for %v", q)
			}
		})
	}
}

func TestOnline(t *testing.T) {
	for status, want := range map[string]bool{"healthy": true, "unhealthy": true, "updating": true, "offline": false, "inactive": false, "": false} {
		k := newKibana(t)
		k.document = strings.Replace(k.document, `"healthy"`, `"`+status+`"`, 1)
		if got, err := k.tenant(t).State(t.Context(), agentID); err != nil || got.Online != want || got.State != models.HostNormal {
			t.Errorf("%q: %+v, %v", status, got, err)
		}
	}
}

func TestWhatKibanaDoesNotSayIsUnknown(t *testing.T) {
	for name, change := range map[string][2]string{
		"isolation":  {`"state":{"isolation":false},`, ""},
		"unenrolled": {"healthy", "unenrolled"},
	} {
		k := newKibana(t)
		k.document = strings.Replace(k.document, change[0], change[1], 1)
		if got, err := k.tenant(t).State(t.Context(), agentID); err != nil || got.State != models.HostUnknown {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	k := newKibana(t)
	k.document = strings.Replace(k.document, "2026-03-01T12:00:05.000Z", "", 1)
	if got, _ := k.tenant(t).State(t.Context(), agentID); !got.SeenAt.Equal(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)) {
		t.Errorf("seen at %v", got.SeenAt)
	}
}

func TestStateFailures(t *testing.T) {
	const at = "GET /api/endpoint/metadata/" + agentID
	for _, c := range []struct {
		name, at string
		answer   http.HandlerFunc
		want     models.VendorClass
	}{
		{"not found", at, vendortest.Answering(404, `{"statusCode":404}`), models.Rejected},
		{"another host", at, vendortest.Answering(200, documentJSON(otherID, "PC-1", false)), models.Transient},
		{"empty", at, vendortest.Answering(200, "{}"), models.Transient},
		{"broken", at, vendortest.Answering(500, ""), models.Transient},
		{"proxy page", at, vendortest.Answering(502, "<html>"), models.Transient},
		{"too many", at, vendortest.Answering(429, ""), models.Throttled},
		{"forbidden", at, vendortest.Answering(403, ""), models.Config},
		{"actions broken", "GET /api/endpoint/action", vendortest.Answering(500, ""), models.Transient},
		{"actions missing", "GET /api/endpoint/action", vendortest.Answering(200, "{}"), models.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.answers[c.at] = c.answer
			_, err := k.tenant(t).State(t.Context(), agentID)
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); (c.want == models.Rejected) != (v.Code == "no_such_host") {
				t.Errorf("code %q", v.Code)
			}
		})
	}
}

func TestIDsAreCheckedBeforeAsking(t *testing.T) {
	k := newKibana(t)
	tenant := k.tenant(t)
	bad := []string{"", "*", "a,b", "a b", "../x", "a/b", "a?b", "-", strings.Repeat("a", 129)}
	vendortest.RejectsIDs(t, tenant, bad...)
	for _, action := range bad {
		_, err := tenant.Action(t.Context(), agentID, action)
		vendortest.WantClass(t, err, models.Rejected)
	}
	if len(k.askedSoFar()) != 0 {
		t.Errorf("asked %v", k.askedSoFar())
	}
}
