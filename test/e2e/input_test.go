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

// ask sends a raw request and returns what a program would see of the answer.
func ask(t *testing.T, method, path, token, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, house.Dev.App+"/api/v1"+path, strings.NewReader(body))
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
		t.Errorf("%s %s: %d is no problem document: %s", method, path, res.StatusCode, raw)
	}
	return res.StatusCode, string(raw)
}

func TestBadInputIsRefusedWithItsReason(t *testing.T) {
	s := at(t, 0)
	s.open(models.SeverityLow)
	analyst := house.Dev.Token(models.RoleAnalyst, 0)
	incident := "/incidents/" + string(s.ref)
	alert := fmt.Sprintf(`{"client":%d,"source":"realtime","finding_id":"f","title":"t","severity":"low","detail":%%q}`, s.number)
	for _, c := range []struct {
		what, path, body string
		status           int
		says             string
	}{
		{"an unknown field", incident + "/comment", `{"text":"x","secret":1}`, 422, "/secret"},
		{"a wrong type", incident + "/comment", `{"text":7}`, 422, "/text"},
		{"malformed JSON", incident + "/comment", `{"text":`, 400, "JSON"},
		{"an over-long alert", "/alerts", fmt.Sprintf(alert, strings.Repeat("x", 1<<20)), 413, "1024 KiB"},
		{"an unknown client", "/alerts", strings.Replace(fmt.Sprintf(alert, ""), fmt.Sprint(s.number), "999999", 1), 404, "does not exist"},
		{"an unknown command", incident + "/explode", `{}`, 404, ""},
		{"a wild-card host", incident + "/isolate", `{"hostname":"*","reason":"x"}`, 422, "/hostname"},
	} {
		status, answer := ask(t, http.MethodPost, c.path, analyst, c.body)
		if status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %s, want %d and a word about %q", c.what, status, answer, c.status, c.says)
		}
	}
	if n := s.now().Seq; n != 1 {
		t.Errorf("refused requests left %d events", n-1)
	}
}

func TestWhatIsNotYoursDoesNotExist(t *testing.T) {
	s := at(t, 0)
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	stranger := house.Dev.Token(models.RoleAdmin, house.Dev.Clients[1].Number)
	random := models.NewReference(s.number, 987654)
	for _, tail := range []string{"", "/events", "/deliveries", "/revisions", "/comment", "/request-closure"} {
		method, body := http.MethodGet, ""
		switch tail {
		case "/comment":
			method, body = http.MethodPost, `{"text":"x"}`
		case "/request-closure":
			method, body = http.MethodPost, `{"outcome":"resolved","note":"x"}`
		}
		status, foreign := ask(t, method, "/incidents/"+string(s.ref)+tail, stranger, body)
		_, unknown := ask(t, method, "/incidents/"+string(random)+tail, stranger, body)
		if status != http.StatusNotFound || foreign != unknown {
			t.Errorf("%s %s: %d %s, for one that never was %s", method, tail, status, foreign, unknown)
		}
		if status, _ := ask(t, method, "/incidents/"+string(s.ref)+tail, "", body); status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d", method, tail, status)
		}
		if status, _ := ask(t, method, "/incidents/"+string(s.ref)+tail, "wf_wrong", body); status != http.StatusUnauthorized {
			t.Errorf("%s %s with a wrong token: %d", method, tail, status)
		}
	}
	if n := len(happened[*incident.Commented](s)); n != 0 {
		t.Error("a stranger commented")
	}
}

func TestAnAlertIsNeverDroppedAndNeverCountedTwice(t *testing.T) {
	s := at(t, 2)
	token := house.Dev.Token(models.RoleAnalyst, 0)
	type outcome struct {
		Outcome string
		Alert   models.Alert
	}
	receive := func(body string) (o outcome) {
		t.Helper()
		status, answer := ask(t, http.MethodPost, fmt.Sprintf("/alerts/ocsf?client=%d&source=integration", s.number), token, body)
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
		t.Errorf("the same finding came out as %s, %s, %s", first.Outcome, changed.Outcome, same.Outcome)
	}
	if second.Outcome != "created" || second.Alert.ID == first.Alert.ID {
		t.Errorf("another finding with the same title was %s", second.Outcome)
	}
	odd := fmt.Sprintf(`{"class_uid":1007, "process":{"name":"%s"},   "kept":"as it came"}`, one)
	kept := receive(odd)
	if kept.Outcome != "created" || kept.Alert.Problem == "" {
		t.Errorf("what is no finding was %s with problem %q", kept.Outcome, kept.Alert.Problem)
	}
	if status, raw := ask(t, http.MethodGet, "/alerts/"+kept.Alert.ID.String()+"/raw", token, ""); status != http.StatusOK || raw != odd {
		t.Errorf("its body is %d %q", status, raw)
	}
	status, list := ask(t, http.MethodGet, fmt.Sprintf("/alerts?problem=true&client=%d", s.number), token, "")
	if status != http.StatusOK || !strings.Contains(list, kept.Alert.ID.String()) {
		t.Errorf("analysts do not see it: %d %s", status, list)
	}
}
