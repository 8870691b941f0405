package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// client is a path of the scene's client.
func (s *scene) client(path string) string { return fmt.Sprintf("/clients/%d%s", s.number, path) }

// wantAsked lets the client's admin sign a response authority that decides the same about every isolation.
func (s *scene) wantAsked(rule authority.Decision) {
	s.t.Helper()
	var drafted authority.Authority
	s.send(s.lead, s.client("/response-authority"), map[string]any{"rules": []map[string]any{
		{"name": "as the test wants it", "action": "isolated", "decision": rule}, {"name": "release", "action": "released", "decision": "auto"},
	}, "never": []string{}, "two_persons": []any{}}, &drafted)
	s.send(s.admin, s.client("/response-authority/"+strconv.Itoa(drafted.Version)+"/sign"), nil, nil)
}

func TestAnApprovalIsGivenByPhone(t *testing.T) {
	s := at(t, 2)
	defer s.wantAsked(authority.DecideAuto)
	s.wantAsked(authority.DecideAsk)
	s.steer("twilio", "personas", map[string]any{"personas": map[string]string{s.contacts[0].Phone: "approves", s.contacts[1].Phone: "no_answer", s.contacts[2].Phone: "no_answer"}})
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.isolate()
	s.contained(incident.ContainmentContained)
	e := s.now().Endpoints[0]
	if len(e.Approval.Given) != 1 || e.Approval.Given[0].By.ID != "contact:"+s.contacts[0].ID.String() || e.Approval.Given[0].Via != "voice" {
		t.Errorf("approved by %+v", e.Approval.Given)
	}
	if e.AgentID == "" || e.Approval.Ruling.Rule != "as the test wants it" {
		t.Errorf("the approver was shown agent %q, ruled by %q", e.AgentID, e.Approval.Ruling.Rule)
	}
	said := s.callsTo(0)[0].Said
	spoken := strings.Join(strings.Split(strings.SplitN(s.host, "-", 2)[0], ""), " ")
	for n, u := range said {
		if named := strings.Contains(u.Text, spoken); named != (u.AfterKey != "") && strings.Contains(u.Text, "Press 1 to") {
			t.Errorf("what was said %d (after key %q): %s", n, u.AfterKey, u.Text)
		}
	}
	s.settle()
	s.wantOrders("contain", "lift_containment")
}

func TestAnApprovalIsGivenInThePortalOrRefused(t *testing.T) {
	s := at(t, 1)
	defer s.wantAsked(authority.DecideAuto)
	s.wantAsked(authority.DecideAsk)
	s.persona("no_answer", "no_answer", "no_answer")
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.isolate()
	s.until("the question to the client", func(i incident.Incident) bool { return i.Endpoints[0].Approval.IsAnswerable() })
	s.refused(s.viewer, http.StatusForbidden, &incident.Approve{Approval: "a1"})
	s.refused(s.lead, http.StatusConflict, &incident.Approve{Approval: "a1"})
	if got := s.orders(); len(got) != 0 {
		t.Errorf("before anybody approved: %v", got)
	}
	s.give(s.responder, &incident.Approve{Approval: "a1"})
	s.contained(incident.ContainmentContained)
	s.settle()

	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.isolate()
	s.until("the question to the client", func(i incident.Incident) bool { return i.Endpoints[0].Approval.IsAnswerable() })
	s.give(s.admin, &incident.Deny{Approval: "a1", Reason: "It is the payment server."})
	s.until("a task for the SOC", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskDenied)) == 1 })
	s.wantOrders("contain", "lift_containment")
}
