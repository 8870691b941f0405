package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// largeAlerts are the same oversized finding by both entrances.
func largeAlerts(w *world) map[string]string {
	const assets, indicators, techniques = 10_000, 3_000, 500
	own := map[string]any{
		"client": w.acme.Number, "source": "realtime", "finding_id": strings.Repeat("i", 600), "title": strings.Repeat("ü", 1000),
		"detail": strings.Repeat("d", 4<<20), "severity": "high",
	}
	var hosts, found, attacks, observables, resources, theirAttacks []any
	for n := range assets {
		name := fmt.Sprintf("ws-%05d.client.example", n)
		hosts, resources = append(hosts, name), append(resources, map[string]any{"hostname": name, "tags": []string{"a", "b"}})
	}
	for n := range indicators {
		domain := fmt.Sprintf("c2-%d.example", n)
		found = append(found, map[string]any{"type": "domain", "value": domain}, map[string]any{"type": "domain", "value": domain})
		observables = append(observables, map[string]any{"type_id": 1, "value": domain}, map[string]any{"type_id": 1, "value": domain})
	}
	long := "https://malware.example/" + strings.Repeat("p", 600)
	found, observables = append(found, map[string]any{"type": "url", "value": long}), append(observables, map[string]any{"type_id": 6, "value": long})
	for n := range techniques {
		id := fmt.Sprintf("T%04d", 1000+n)
		attacks, theirAttacks = append(attacks, id), append(theirAttacks, map[string]any{"technique": map[string]any{"uid": id}})
	}
	own["hostnames"], own["indicators"], own["techniques"] = hosts, found, attacks
	deep := any("deep")
	for range 500 {
		deep = map[string]any{"raw": deep}
	}
	ocsf := map[string]any{
		"class_uid": 2004, "severity_id": 4, "resources": resources, "observables": observables, "unmapped": deep, "attacks": theirAttacks,
		"finding_info": map[string]any{"uid": strings.Repeat("i", 600), "title": own["title"], "desc": own["detail"]},
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		w.ok(err)
		return string(b)
	}
	return map[string]string{
		"/api/v1/alerts": text(own), fmt.Sprintf("/api/v1/alerts/ocsf?source=integration&client=%d", w.acme.Number): text(ocsf),
	}
}

// An alert that is larger than the fields that people work with is not refused: it is kept as it came, shows how much
// was left out, and can be worked with.
func TestALargeAlertIsKeptWholeAndWorkedWith(t *testing.T) {
	w := newWorld(t)
	want := map[string]int{"hostnames": 9900, "indicators": 2901, "techniques": 400, "title": 800, "detail": 4<<20 - 16<<10}
	for target, body := range largeAlerts(w) {
		var r struct{ Alert models.Alert }
		w.must(http.StatusCreated, w.post("operator", target, body)).into(t, &r)
		a := r.Alert
		if !maps.Equal(a.Truncated, want) {
			t.Errorf("%.20s: left out %v, want %v", target, a.Truncated, want)
		}
		if len(a.Hostnames) != 100 || len(a.Indicators) != 100 || len(a.Techniques) != 100 || a.Problem != "" ||
			a.Title != strings.Repeat("ü", 200) || len(a.Detail) != 16<<10 || !strings.HasPrefix(a.FindingID, "sha256:") {
			t.Errorf("%.20s: %d hosts, %d indicators, %d techniques, problem %q", target, len(a.Hostnames), len(a.Indicators), len(a.Techniques), a.Problem)
		}
		raw := w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+a.ID.String()+"/raw"))
		if string(raw.body) != body {
			t.Errorf("%.20s: %d bytes came and %d were kept", target, len(body), len(raw.body))
		}
		var again struct{ Outcome string }
		w.must(http.StatusOK, w.post("operator", target, body)).into(t, &again)
		if again.Outcome != "unchanged" {
			t.Errorf("%.20s: sent again it is %s", target, again.Outcome)
		}
		var i incident.Incident
		w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{"client": w.acme.Number, "alerts": []uuid.UUID{a.ID}})).into(t, &i)
		if i.Severity != models.SeverityHigh || len(i.Alerts) != 1 {
			t.Errorf("%.20s: the incident is %s with %d alerts", target, i.Severity, len(i.Alerts))
		}
	}
	list := w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts"))
	if len(list.body) > 128<<10 {
		t.Errorf("the list of two large alerts has %d bytes", len(list.body))
	}
}

// The mark is of the latest version.
func TestAnAlertThatShrinksLosesItsMark(t *testing.T) {
	w := newWorld(t)
	target := fmt.Sprintf("/api/v1/alerts/ocsf?source=integration&client=%d", w.acme.Number)
	finding := func(title string) string {
		return fmt.Sprintf(`{"class_uid":2004,"severity_id":4,"finding_info":{"uid":"u","title":%q}}`, title)
	}
	for _, step := range []struct {
		title string
		left  int
	}{{strings.Repeat("t", 203), 3}, {"t", 0}, {strings.Repeat("t", 201), 1}} {
		var r struct{ Alert models.Alert }
		w.post("operator", target, finding(step.title)).into(t, &r)
		var read models.Alert
		w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+r.Alert.ID.String())).into(t, &read)
		if read.Truncated["title"] != step.left || r.Alert.Truncated["title"] != step.left {
			t.Errorf("%d characters: %v, %v, want %d left out", len(step.title), r.Alert.Truncated, read.Truncated, step.left)
		}
	}
}

// An attacker writes the texts of an alert. They cannot have it refused by them, and nobody reads them unclean: the
// payload keeps them as they came.
func TestAnAlertIsTakenWhateverItsTextsHold(t *testing.T) {
	w := newWorld(t)
	raw := fmt.Sprintf(`{"client":%d,"source":"realtime","finding_id":"f\u202e1","title":"Invoice\u202Efdp.exe\nopened \u0641\u200c\u0642","severity":"high",`+
		`"detail":"one\u0007\ntwo","hostnames":["ws\u001b17","\u2800"],"indicators":[{"type":"file_name","value":"\u202egpj.exe"}],`+
		`"occurred_at":"2026-01-02T03:04:05.123456789Z"}`, w.acme.Number)
	var got struct{ Alert models.Alert }
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/alerts", raw)).into(t, &got)
	a := got.Alert
	if a.Title != "Invoicefdp.exe opened ف\u200cق" || a.Detail != "one\ntwo" || !strings.HasPrefix(a.FindingID, "sha256:") ||
		fmt.Sprint(a.Hostnames, a.Indicators) != "[ws 17] [{file_name gpj.exe}]" {
		t.Errorf("reads %+q", fmt.Sprint(a))
	}
	var again models.Alert
	w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+a.ID.String())).into(t, &again)
	if !again.OccurredAt.Equal(a.OccurredAt) || a.OccurredAt.Nanosecond() != 123456000 {
		t.Errorf("it occurred at %s, and reads %s", a.OccurredAt, again.OccurredAt)
	}
	if kept := w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+a.ID.String()+"/raw")); string(kept.body) != raw {
		t.Errorf("the payload is %q", kept.body)
	}
	var i incident.Incident
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{"client": w.acme.Number, "alerts": []uuid.UUID{a.ID}})).into(t, &i)
	if i.Assessment.Title != a.Title {
		t.Errorf("the incident is titled %+q", i.Assessment.Title)
	}
}
