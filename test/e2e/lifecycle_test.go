package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestACriticalIncidentLivesFromFindingToClosure(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "repeats_then_acknowledges")
	nightDesk := s.addNightDesk()
	s.openFromFinding()
	s.assess()
	s.isolate()
	s.wantRejected(s.analyst, http.StatusConflict, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "tidy up"})
	s.publish()
	s.wantRejected(s.analyst, http.StatusConflict, &incident.Publish{})
	s.awaitAcknowledgement()
	s.awaitContainment(incident.ContainmentContained)
	s.wantFoundByOperators()
	s.wantRejected(s.analyst, http.StatusConflict, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "tidy up"})
	s.wantRejected(s.lead, http.StatusConflict, &incident.ConfirmClosure{Reason: "tidy up"})
	s.wantRejected(s.viewer, http.StatusForbidden, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "I only look"})
	s.wantRejected(s.admin, http.StatusConflict, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "r1 is not settled"})
	s.settleAndRelease()
	s.closeIncident()

	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.mailsTellNoMoreThanTheyShould()
	s.wantCalls(1, 1, 0)
	s.callsTellNoMoreThanTheyShould()
	s.wantActions("contain", "lift_containment")
	s.wantNotReached(nightDesk)
	s.wantFinished()
}

// addNightDesk adds a contact who is not to be reached for critical incidents.
func (s *scene) addNightDesk() models.Contact {
	s.t.Helper()
	var c models.Contact
	s.post(s.operator, fmt.Sprintf("/clients/%d/contacts", s.number), map[string]any{
		"name": "Night desk", "language": "en", "order": 0, "email": "nightdesk@nordwind.example", "phone": "+493023125099",
		"severities": []string{"low"}, "channels": []string{"email", "voice"},
	}, &c)
	return c
}

// openFromFinding hands in a finding and opens an incident from its alert.
func (s *scene) openFromFinding() {
	s.t.Helper()
	var received struct {
		Outcome string
		Alert   models.Alert
	}
	finding := fmt.Sprintf(`{"class_uid":2004,"severity_id":5,"time":1773889800000,"finding_info":{"uid":%q,"title":%q}}`, uuid.NewString(), title)
	s.post(s.analyst, fmt.Sprintf("/alerts/ocsf?client=%d&source=integration", s.number), []byte(finding), &received)
	if received.Outcome != "created" || received.Alert.Problem != "" {
		s.t.Fatalf("the outcome of the finding is %s, its problem %q, want created and none", received.Outcome, received.Alert.Problem)
	}
	var i incident.Incident
	s.post(s.analyst, "/incidents", map[string]any{"client": s.number, "alerts": []uuid.UUID{received.Alert.ID}}, &i)
	s.ref = i.Reference
	if i.Severity != models.SeverityCritical || i.Assessment.Title != title {
		s.t.Errorf("the incident has the severity %s and the title %q, want those of its alert", i.Severity, i.Assessment.Title)
	}
}

// mailsTellNoMoreThanTheyShould checks that mails name the severity and the link, and hold no secret and no attacker's
// text.
func (s *scene) mailsTellNoMoreThanTheyShould() {
	s.t.Helper()
	ids := map[string]bool{}
	for _, m := range s.mails() {
		id := cmp.Or(m.Headers["Message-ID"], m.MessageID)
		if ids[id] || id == "" || strings.Contains(id, string(s.ref)) {
			s.t.Errorf("Message-ID %q is missing, not unique or names the incident", id)
		}
		ids[id] = true
		for name, value := range byName(m.CustomArgs) {
			if _, err := uuid.Parse(value); err != nil || !slices.Contains([]string{"mdr_delivery_id", "mdr_client_id"}, name) {
				s.t.Errorf("the vendor gets %s=%q, which is not an opaque id", name, value)
			}
		}
	}
	entries, err := system.Dev.Journal(s.t.Context(), "sendgrid")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(e.Body, string(s.ref)) {
			continue
		}
		var body struct{ Content []struct{ Value string } }
		if err := json.Unmarshal([]byte(e.Body), &body); err != nil || len(body.Content) != 2 {
			s.t.Fatalf("a mail has %d parts: %v", len(body.Content), err)
		}
		link := system.Dev.App + "/portal/incidents/" + string(s.ref)
		for _, part := range body.Content {
			if !strings.Contains(part.Value, link) || !strings.Contains(part.Value, "kritisch") { // the contacts of this client read German
				s.t.Errorf("a mail lacks the severity or the direct link:\n%s", part.Value)
			}
			if strings.Contains(part.Value, "canary-7731") || strings.Contains(part.Value, "http://evil") || strings.Contains(body.Content[1].Value, "<b>FILESRV") {
				s.t.Errorf("a mail tells too much, or holds an attacker's link or markup:\n%s", part.Value)
			}
		}
	}
}

// callsTellNoMoreThanTheyShould checks the keys and the words of the acknowledged call.
func (s *scene) callsTellNoMoreThanTheyShould() {
	s.t.Helper()
	answered := s.callsTo(1)[0]
	var said []string
	for _, u := range answered.Said {
		said = append(said, u.Text)
	}
	all := strings.Join(said, "\n")
	if len(answered.Keys) != 2 || answered.Keys[0].Key != "2" || answered.Keys[1].Key != "1" {
		s.t.Errorf("the second contact pressed %v, want 2 and 1", answered.Keys)
	}
	if strings.Count(all, spellOut(s.ref)) < 2 {
		s.t.Errorf("the call does not read the reference out twice:\n%s", all)
	}
	for _, secret := range []string{"FILESRV", "Ransomware", "Nordwind", "evil"} {
		if strings.Contains(all, secret) {
			s.t.Errorf("the call says %q", secret)
		}
	}
}

// wantNotReached checks that no mail and no call went to a contact.
func (s *scene) wantNotReached(c models.Contact) {
	s.t.Helper()
	var mails struct{ Mails map[string][]mail }
	var calls struct{ Calls map[string][]call }
	s.effects("sendgrid", &mails)
	s.effects("twilio", &calls)
	told := slices.DeleteFunc(mails.Mails[c.Email], func(m mail) bool { return !strings.Contains(m.Subject, string(s.ref)) })
	if n := len(told) + len(calls.Calls[c.Phone]); n != 0 {
		s.t.Errorf("a contact who takes low severity only was reached %d times", n)
	}
}
