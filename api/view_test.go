package api_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/api"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestTheClientSeesWhatIsPublishedAndNoMore(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	w.happen(ref, w.users["analyst"].Actor(), &incident.Assessed{
		Severity: models.SeverityLow, Assessment: incident.Assessment{Title: "Unpublished title", Summary: "Unpublished summary"}})

	var soc, client incident.Incident
	w.must(http.StatusOK, w.get("analyst", at(ref))).into(t, &soc)
	w.must(http.StatusOK, w.get("viewer", at(ref))).into(t, &client)
	if soc.Assessment.Title != "Unpublished title" || soc.Severity != models.SeverityLow || len(soc.Tasks) != 1 {
		t.Errorf("the SOC sees %+v", soc)
	}
	if client.Assessment.Title != "Published title" || client.Severity != models.SeverityCritical || len(client.Tasks) != 0 {
		t.Errorf("the client sees %+v", client)
	}
	for _, path := range []string{at(ref), at(ref, "events"), at(ref, "revisions"), at(ref, "deliveries"), "/api/v1/incidents"} {
		a := w.must(http.StatusOK, w.get("viewer", path))
		for _, hidden := range []string{"Unpublished", "First title", "refuses our key"} {
			if strings.Contains(string(a.body), hidden) {
				t.Errorf("%s shows %q to the client: %s", path, hidden, a.body)
			}
		}
	}
	var list struct{ Items []struct{ Severity string } }
	w.must(http.StatusOK, w.get("viewer", "/api/v1/incidents?severity=critical")).into(t, &list)
	if len(list.Items) != 1 {
		t.Errorf("%d critical incidents", len(list.Items))
	}
	w.must(http.StatusOK, w.get("viewer", "/api/v1/incidents?severity=low")).into(t, &list)
	if len(list.Items) != 0 {
		t.Errorf("%d low incidents", len(list.Items))
	}
}

func TestIncidentsAreFoundByWhatIsOpenAtNight(t *testing.T) {
	w := newWorld(t)
	quiet, busy := w.incident(), w.published() // the second has an open task and an endpoint to be isolated
	w.happen(quiet, w.users["analyst"].Actor(), &incident.Published{Expedited: true})
	var drill incident.Incident
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents",
		map[string]any{"client": w.acme.Number, "title": "T", "severity": "low", "exercise": "exercise"})).into(t, &drill)
	w.happen(drill.Reference, w.users["analyst"].Actor(), &incident.Published{Expedited: true})
	w.must(http.StatusOK, w.post("responder", at(quiet, "comment"), map[string]any{"text": "Your turn."}))
	all := []models.Reference{quiet, busy, drill.Reference}
	for query, want := range map[string]struct{ analyst, viewer []models.Reference }{
		"open_tasks=true":       {all[1:2], nil}, // the SOC's tasks are not the client's to find
		"open_tasks=false":      {[]models.Reference{quiet, drill.Reference}, all},
		"drill=true":            {all[2:], all[2:]},
		"drill=false":           {all[:2], all[:2]},
		"containment=requested": {all[1:2], all[1:2]},
		"containment=none":      {[]models.Reference{quiet, drill.Reference}, []models.Reference{quiet, drill.Reference}},
		"containment=failed":    {nil, nil},
		"turn=soc":              {all[:1], all[:1]},
		"turn=client&drill=false&open_tasks=true&containment=requested": {all[1:2], nil},
	} {
		for who, want := range map[string][]models.Reference{"analyst": want.analyst, "viewer": want.viewer} {
			var list struct{ Items []store.IncidentRow }
			w.must(http.StatusOK, w.get(who, "/api/v1/incidents?"+query)).into(t, &list)
			var found []models.Reference
			for _, row := range list.Items {
				found = append(found, row.Reference)
			}
			slices.Sort(found)
			if !slices.Equal(found, want) {
				t.Errorf("%s finds %v with %s, want %v", who, found, query, want)
			}
		}
	}
}

func TestListsArePagedWithoutLossOrRepeat(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.alert()
		w.incident()
	}
	ref := w.published()
	for path, want := range map[string]int{"/api/v1/alerts": 5, "/api/v1/incidents": 6, "/api/v1/clients": 2, at(ref, "events"): 6} {
		seen := map[string]bool{}
		next, pages := "", 0
		for {
			var page struct {
				Items []map[string]any
				Next  string
			}
			target := path + "?limit=2"
			if next != "" {
				target += "&cursor=" + next
			}
			w.must(http.StatusOK, w.get("analyst", target)).into(t, &page)
			for _, item := range page.Items {
				seen[fmt.Sprint(item["id"], item["reference"], item["number"], item["seq"])] = true
			}
			if pages++; page.Next == "" || pages > 10 {
				break
			}
			next = page.Next
		}
		if len(seen) != want || pages != (want+1)/2 {
			t.Errorf("%s: %d entries on %d pages, want %d", path, len(seen), pages, want)
		}
	}
}

func TestAlertsAreTheSameByTheirFindingNotByTheirTitle(t *testing.T) {
	w := newWorld(t)
	target := fmt.Sprintf("/api/v1/alerts/ocsf?source=integration&client=%d", w.acme.Number)
	event := func(uid, desc string) string {
		return fmt.Sprintf(`{"class_uid":2004,"severity_id":4,"finding_info":{"uid":%q,"title":"Same title","desc":%q}}`, uid, desc)
	}
	type receipt struct {
		Outcome string
		Alert   models.Alert
	}
	var first, unchanged, updated, second receipt
	w.must(http.StatusCreated, w.post("operator", target, event("u1", "a"))).into(t, &first)
	w.must(http.StatusOK, w.post("operator", target, event("u1", "a"))).into(t, &unchanged)
	w.must(http.StatusOK, w.post("operator", target, event("u1", "b"))).into(t, &updated)
	w.must(http.StatusCreated, w.post("operator", target, event("u2", "a"))).into(t, &second)
	if unchanged.Outcome != "unchanged" || updated.Outcome != "updated" || updated.Alert.Version != 2 || updated.Alert.Detail != "b" {
		t.Errorf("%+v\n%+v", unchanged, updated)
	}
	if updated.Alert.ID != first.Alert.ID || second.Alert.ID == first.Alert.ID {
		t.Error("one finding became two alerts, or two became one")
	}
	raw := w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+first.Alert.ID.String()+"/raw?version=1"))
	if string(raw.body) != event("u1", "a") {
		t.Errorf("the body was not kept: %s", raw.body)
	}
}

func TestAnAlertThatCannotBeReadIsKeptAndShown(t *testing.T) {
	w := newWorld(t)
	target := fmt.Sprintf("/api/v1/alerts/ocsf?source=integration&client=%d", w.acme.Number)
	bodies := []string{`{"class_uid":1007,"message":"a process"}`, `{}`, `{"class_uid":2004,"finding_info":{"uid":"u","title":7}}`,
		`{"x":"\u0000"}`, `{"a":1,"a":2}`, `{"class_uid":2004,"finding_info":"x","time":"then","observables":{},"severity_id":[]}`}
	for _, body := range bodies {
		var r struct{ Alert models.Alert }
		w.must(http.StatusCreated, w.post("operator", target, body)).into(t, &r)
		if r.Alert.Problem == "" || !strings.HasPrefix(r.Alert.FindingID, "sha256:") {
			t.Errorf("%s: %+v", body, r.Alert)
		}
		raw := w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+r.Alert.ID.String()+"/raw"))
		if string(raw.body) != body {
			t.Errorf("%s was kept as %s", body, raw.body)
		}
	}
	var list struct{ Items []models.Alert }
	w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts?problem=true&state=new")).into(t, &list)
	if len(list.Items) != len(bodies) {
		t.Errorf("analysts see %d of %d", len(list.Items), len(bodies))
	}
}

func TestRealSamplesAreTaken(t *testing.T) {
	folder := filepath.Join("..", "..", "shared", "testdata", "alerts")
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the folder of real samples, ../shared/testdata/alerts, is not here; desk/testdata covers their shapes")
	}
	w := newWorld(t)
	target := fmt.Sprintf("/api/v1/alerts/ocsf?source=integration&client=%d", w.acme.Number)
	for file, readable := range map[string]bool{
		"ocsf-guardduty-finding.json": true, "ocsf-okta-detection-finding.json": true, "aws-securityhub-guardduty.json": false,
	} {
		body, err := os.ReadFile(filepath.Join(folder, file))
		w.ok(err)
		var r struct{ Alert models.Alert }
		w.must(http.StatusCreated, w.post("operator", target, body)).into(t, &r)
		if (r.Alert.Problem == "") != readable {
			t.Errorf("%s: %+v", file, r.Alert)
		}
	}
}

func TestHealthIsPublicAndSaysLittle(t *testing.T) {
	w := newWorld(t)
	w.must(http.StatusOK, w.get("", "/healthz"))
	for _, path := range []string{"/readyz", "/metrics"} { // the operator's, at another address
		w.must(http.StatusNotFound, w.get("", path))
		w.must(http.StatusNotFound, w.get("operator", path))
	}
	w.must(http.StatusOK, w.get("analyst", "/api/v1/incidents"))
	metrics := httptest.NewRecorder()
	w.metrics.Handler().ServeHTTP(metrics, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if !strings.Contains(metrics.Body.String(), `watchfire_http_requests_total{operation="GET /api/v1/incidents",status="200"} 1`) {
		t.Error("requests are not counted")
	}
}

func TestTheLogSaysWhoseRequestItWas(t *testing.T) {
	w := newWorld(t)
	var list struct{ Items []models.Token }
	w.must(http.StatusOK, w.get("analyst", "/api/v1/tokens")).into(t, &list)
	want := fmt.Sprintf(`"by":"%s","token_id":"%s"`, w.users["analyst"].ID, list.Items[0].ID)
	for _, path := range []string{"/api/v1/incidents", "/api/v1/operator/alarms", "/api/v1/incidents?limit=0"} {
		w.logs.Reset()
		w.get("analyst", path)
		if !strings.Contains(w.logs.String(), want) {
			t.Errorf("%s: the log does not hold %s: %s", path, want, w.logs)
		}
	}
	w.logs.Reset()
	w.must(http.StatusUnauthorized, w.get("", "/api/v1/incidents"))
	if strings.Contains(w.logs.String(), `"by"`) {
		t.Errorf("a stranger has a name in the log: %s", w.logs)
	}
}

func TestLogsHoldNoSecretsAndNoContent(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	w.post("analyst", at(ref, "comment"), map[string]any{"text": "canary-in-body"})
	w.get("analyst", "/api/v1/incidents?cursor=canary-in-query")
	w.get("analyst", "/canary-in-path")
	for _, canary := range []string{"canary", w.tokens["analyst"], w.tokens["analyst"][3:]} {
		if strings.Contains(w.logs.String(), canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
	if !strings.Contains(w.logs.String(), `"route":"/api/v1/incidents/:reference/comment"`) {
		t.Error("the request is not logged")
	}
}

func TestEveryAnswerCarriesItsHeadersAndAPanicTellsNothing(t *testing.T) {
	w := newWorld(t)
	log := observability.Logger(slog.LevelInfo, w.logs)
	handler, err := api.New(api.Options{
		Desk: w.desk, Auth: auth.New(w.store), Log: log, Metrics: observability.NewMetrics(),
		Routes: []func(gin.IRouter){func(r gin.IRouter) { r.GET("/hooks/boom", func(*gin.Context) { panic("secret inside") }) }},
	})
	w.ok(err)
	w.handler = handler
	a := w.must(http.StatusInternalServerError, w.get("", "/hooks/boom"))
	if strings.Contains(string(a.body)+w.logs.String(), "secret inside") {
		t.Error("the panic's value got out")
	}
	if !strings.Contains(string(a.body), "urn:watchfire:request:"+a.Header.Get("X-Request-Id")) {
		t.Errorf("the problem does not name its request: %s", a)
	}
	for name, want := range map[string]string{
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		"Content-Security-Policy":   "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":    "nosniff",
		"Referrer-Policy":           "no-referrer",
		"Cache-Control":             "no-store",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	r := w.request("", http.MethodGet, "/healthz", nil)
	r.Header.Set("X-Request-Id", "given-1")
	if a := w.send(r); a.Header.Get("X-Request-Id") != "given-1" {
		t.Error("the caller's request id is not kept")
	}
}
