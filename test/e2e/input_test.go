package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// sendRaw sends a raw request and returns the status and the body of the answer. An answer without success must be a
// problem document.
func sendRaw(t *testing.T, method, path, token, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, system.Dev.App+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: the answer with %d is no problem document: %s", method, path, res.StatusCode, raw)
	}
	return res.StatusCode, string(raw)
}

func TestBadInputIsRejectedWithItsReason(t *testing.T) {
	s := newScene(t, 0)
	s.open(models.SeverityLow)
	analyst := system.Dev.Token(models.RoleAnalyst, 0)
	incident := "/incidents/" + string(s.ref)
	alert := fmt.Sprintf(`{"client":%d,"source":"realtime","finding_id":"f","title":"t","severity":"low","detail":%%q}`, s.number)
	for _, c := range []struct {
		what, path, body string
		status           int
		mentions         string
	}{
		{"an unknown field", incident + "/comment", `{"text":"x","secret":1}`, 422, "/secret"},
		{"a wrong type", incident + "/comment", `{"text":7}`, 422, "/text"},
		{"malformed JSON", incident + "/comment", `{"text":`, 400, "JSON"},
		{"an over-long alert", "/alerts", fmt.Sprintf(alert, strings.Repeat("x", 16<<20)), 413, "16384 KiB"},
		{"an unknown client", "/alerts", strings.Replace(fmt.Sprintf(alert, ""), fmt.Sprint(s.number), "999999", 1), 404, "does not exist"},
		{"an unknown command", incident + "/explode", `{}`, 404, ""},
		{"a wild-card host", incident + "/isolate", `{"hostname":"*","reason":"x"}`, 422, "/hostname"},
	} {
		status, answer := sendRaw(t, http.MethodPost, c.path, analyst, c.body)
		if status != c.status || !strings.Contains(answer, c.mentions) {
			t.Errorf("%s: the answer is %d %s, want %d and a mention of %q", c.what, status, answer, c.status, c.mentions)
		}
	}
	if n := s.current().Seq; n != 1 {
		t.Errorf("rejected requests left %d events", n-1)
	}
}

func TestAnotherClientsIncidentLooksUnknown(t *testing.T) {
	s := newScene(t, 0)
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	stranger := system.Dev.Token(models.RoleAdmin, system.Dev.Clients[1].Number)
	random := models.NewReference(s.number, 987654)
	for _, tail := range []string{"", "/events", "/deliveries", "/revisions", "/comment", "/request-closure"} {
		method, body := http.MethodGet, ""
		switch tail {
		case "/comment":
			method, body = http.MethodPost, `{"text":"x"}`
		case "/request-closure":
			method, body = http.MethodPost, `{"outcome":"resolved","note":"x"}`
		}
		status, foreign := sendRaw(t, method, "/incidents/"+string(s.ref)+tail, stranger, body)
		_, unknown := sendRaw(t, method, "/incidents/"+string(random)+tail, stranger, body)
		if status != http.StatusNotFound || foreign != unknown {
			t.Errorf("%s %s: the answer is %d %s, for an unknown incident %s", method, tail, status, foreign, unknown)
		}
		if status, _ := sendRaw(t, method, "/incidents/"+string(s.ref)+tail, "", body); status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token is answered with %d, want 401", method, tail, status)
		}
		if status, _ := sendRaw(t, method, "/incidents/"+string(s.ref)+tail, "wf_wrong", body); status != http.StatusUnauthorized {
			t.Errorf("%s %s with a wrong token is answered with %d, want 401", method, tail, status)
		}
	}
	if n := len(eventsOf[*incident.Commented](s)); n != 0 {
		t.Error("another client's user commented")
	}
}

// An alert with 10,000 assets and 5 MB is kept as it came, cut to what people work with, and becomes an incident.
func TestALargeAlertBecomesAnIncident(t *testing.T) {
	s := newScene(t, 0)
	finding := map[string]any{
		"class_uid": 2004, "severity_id": 4, "finding_info": map[string]any{"uid": uuid.NewString(), "title": "A worm on every host"},
	}
	var resources []any
	for n := range 10_000 {
		resources = append(resources, map[string]any{"hostname": fmt.Sprintf("ws-%05d.corp", n), "data": strings.Repeat("d", 470)})
	}
	finding["resources"] = resources
	raw, err := json.Marshal(finding)
	if err != nil || len(raw) < 5_000_000 {
		t.Fatalf("the finding has %d bytes (%v), want 5 MB", len(raw), err)
	}
	token := system.Dev.Token(models.RoleAnalyst, 0)
	var received struct{ Alert models.Alert }
	status, answer := sendRaw(t, http.MethodPost, fmt.Sprintf("/alerts/ocsf?client=%d&source=integration", s.number), token, string(raw))
	if err := json.Unmarshal([]byte(answer), &received); err != nil || status != http.StatusCreated {
		t.Fatalf("the large alert is answered with %d %.500s", status, answer)
	}
	a := received.Alert
	if len(a.Hostnames) != 100 || a.Truncated["hostnames"] != 9900 || a.Problem != "" {
		t.Errorf("the alert has %d hosts, %v left out, problem %q", len(a.Hostnames), a.Truncated, a.Problem)
	}
	if status, kept := sendRaw(t, http.MethodGet, "/alerts/"+a.ID.String()+"/raw", token, ""); status != http.StatusOK || kept != string(raw) {
		t.Errorf("its raw body is answered with %d and %d bytes, want the %d that came", status, len(kept), len(raw))
	}
	var opened incident.Incident
	if status := s.post(s.analyst, "/incidents", map[string]any{"client": s.number, "alerts": []uuid.UUID{a.ID}}, &opened); status != http.StatusCreated {
		t.Errorf("opening an incident from it is answered with %d", status)
	}
	s.ref = opened.Reference
	s.assess()
	s.publish()
	s.until("publication", func(i incident.Incident) bool { return i.IsPublished() && len(i.Alerts) == 1 && i.Alerts[0] == a.ID })
}

func TestAnAlertIsNeitherLostNorCountedTwice(t *testing.T) {
	s := newScene(t, 2)
	token := system.Dev.Token(models.RoleAnalyst, 0)
	type outcome struct {
		Outcome string
		Alert   models.Alert
	}
	receive := func(body string) (o outcome) {
		t.Helper()
		status, answer := sendRaw(t, http.MethodPost, fmt.Sprintf("/alerts/ocsf?client=%d&source=integration", s.number), token, body)
		if status/100 != 2 || json.Unmarshal([]byte(answer), &o) != nil {
			t.Fatalf("%d %s", status, answer)
		}
		return o
	}
	finding := func(id, what string) string {
		return fmt.Sprintf(`{"class_uid":2004,"severity_id":4,"finding_info":{"uid":%q,"title":"The same title"},"message":%q}`, id, what)
	}
	one, other := uuid.NewString(), uuid.NewString()
	first, changed, same, second := receive(finding(one, "a")), receive(finding(one, "b")), receive(finding(one, "b")), receive(finding(other, "a"))
	if first.Outcome != "created" || changed.Outcome != "updated" || same.Outcome != "unchanged" || changed.Alert.ID != first.Alert.ID || changed.Alert.Version != 2 {
		t.Errorf("the outcomes of the same finding are %s, %s, %s, want created, updated, unchanged", first.Outcome, changed.Outcome, same.Outcome)
	}
	if second.Outcome != "created" || second.Alert.ID == first.Alert.ID {
		t.Errorf("the outcome of another finding with the same title is %s, want created", second.Outcome)
	}
	odd := fmt.Sprintf(`{"class_uid":1007, "process":{"name":"%s"},   "kept":"as it came"}`, one)
	kept := receive(odd)
	if kept.Outcome != "created" || kept.Alert.Problem == "" {
		t.Errorf("the outcome of a body that is no finding is %s with the problem %q, want created with a problem", kept.Outcome, kept.Alert.Problem)
	}
	if status, raw := sendRaw(t, http.MethodGet, "/alerts/"+kept.Alert.ID.String()+"/raw", token, ""); status != http.StatusOK || raw != odd {
		t.Errorf("the answer with its raw body is %d %q", status, raw)
	}
	status, list := sendRaw(t, http.MethodGet, fmt.Sprintf("/alerts?problem=true&client=%d", s.number), token, "")
	if status != http.StatusOK || !strings.Contains(list, kept.Alert.ID.String()) {
		t.Errorf("the list of alerts with problems lacks it: %d %s", status, list)
	}
}
