package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// disableResponder lets the client's admin disable its responder.
func (s *scene) disableResponder() uuid.UUID {
	s.t.Helper()
	var users struct{ Items []models.Account }
	if err := s.operator.Get(s.t.Context(), s.clientPath("/users"), &users); err != nil {
		s.t.Fatal(err)
	}
	n := slices.IndexFunc(users.Items, func(a models.Account) bool { return a.Role == models.RoleResponder })
	disabled := map[string]any{"role": "responder", "disabled": true}
	if err := s.admin.Put(s.t.Context(), s.clientPath("/users/"+users.Items[n].ID.String()), disabled, nil); err != nil {
		s.t.Fatal(err)
	}
	return users.Items[n].ID
}

// Commands of both sides wait for a worker, and their senders are disabled before one is there. Neither counts, and
// both stand in the event log as refused.
func TestWhoIsDisabledMeanwhileDoesNotCount(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	var invited struct {
		User       models.Account
		Invitation string
	}
	if err := s.operator.Post(t.Context(), "/users", map[string]any{"name": "Gone Soon", "email": t.Name() + "@soc.example", "role": "analyst"}, &invited); err != nil {
		t.Fatal(err)
	}
	var made struct{ Secret string }
	status, answer := sendRaw(t, http.MethodPost, "/tokens", invited.Invitation, `{"name":"laptop"}`)
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("a token is answered with %d: %v", status, err)
	}
	lastWorker().Stop()
	queue := func(who string, token, body string) {
		t.Helper()
		status, answer := sendRaw(t, http.MethodPost, "/incidents/"+string(s.ref)+"/comment", token, body)
		if status != http.StatusAccepted {
			t.Fatalf("the comment of the %s is answered with %d: %s", who, status, answer)
		}
	}
	queue("responder", system.Dev.Token(models.RoleResponder, s.number), `{"text":"Close it."}`)
	queue("analyst", made.Secret, `{"text":"All done."}`)

	responder := s.disableResponder()
	disabled := map[string]any{"role": "analyst", "disabled": true, "limited": false}
	if err := s.operator.Put(t.Context(), "/users/"+invited.User.ID.String(), disabled, nil); err != nil {
		t.Fatal(err)
	}
	s.startWorker()
	s.await("the refusals", func() (bool, error) { return len(eventsOf[*incident.CommandRejected](s)) >= 2, nil })
	var by []string
	for _, r := range eventsOf[*incident.CommandRejected](s) {
		by = append(by, r.By.ID)
	}
	slices.Sort(by)
	want := []string{responder.String(), invited.User.ID.String()}
	slices.Sort(want)
	if !slices.Equal(by, want) {
		t.Errorf("refused were %v, want %v", by, want)
	}
	if said := eventsOf[*incident.Commented](s); len(said) != 0 {
		t.Errorf("the incident has the comments %+v", said)
	}
	if status, _ := sendRaw(t, http.MethodGet, "/incidents", made.Secret, ""); status != http.StatusUnauthorized {
		t.Errorf("the token of a disabled user is answered with %d", status)
	}
}
