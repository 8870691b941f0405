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

// clientPath returns a path below the scene's client in the API.
func (s *scene) clientPath(path string) string { return fmt.Sprintf("/clients/%d%s", s.number, path) }

// signAuthority lets the client's admin sign a response authority with the same decision about every isolation. Two
// persons must agree about the assets of twoPersons.
func (s *scene) signAuthority(decision authority.Decision, twoPersons ...authority.AssetSelector) {
	s.t.Helper()
	var drafted authority.Authority
	s.post(s.lead, s.clientPath("/response-authority"), map[string]any{"rules": []map[string]any{
		{"name": "as the test wants it", "action": "isolated", "decision": decision}, {"name": "release", "action": "released", "decision": "auto"},
	}, "never": []string{}, "two_persons": append([]authority.AssetSelector{}, twoPersons...)}, &drafted)
	s.post(s.admin, s.clientPath("/response-authority/"+strconv.Itoa(drafted.Version)+"/sign"), nil, nil)
}

// askAboutIsolation opens an incident and waits until the client is asked about the isolation of its device.
func (s *scene) askAboutIsolation() {
	s.t.Helper()
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitQuestion("a1")
}

func TestAnApprovalIsGivenByPhone(t *testing.T) {
	s := newScene(t, 2)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.steer("twilio", "personas", map[string]any{"personas": map[string]string{s.contacts[0].Phone: "approves", s.contacts[1].Phone: "no_answer", s.contacts[2].Phone: "no_answer"}})
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitContainment(incident.ContainmentContained)
	e := s.current().Endpoints[0]
	if len(e.Approval.Given) != 1 || e.Approval.Given[0].By.ID != "contact:"+s.contacts[0].ID.String() || e.Approval.Given[0].Via != "voice" {
		t.Errorf("the consents are %+v, want one of the first contact by voice", e.Approval.Given)
	}
	if e.AgentID == "" || e.Approval.Ruling.Rule != "as the test wants it" {
		t.Errorf("the approval is for agent %q by the rule %q, want an agent and the signed rule", e.AgentID, e.Approval.Ruling.Rule)
	}
	said := s.callsTo(0)[0].Said
	spoken := strings.Join(strings.Split(strings.SplitN(s.host, "-", 2)[0], ""), " ")
	for n, u := range said {
		if named := strings.Contains(u.Text, spoken); named != (u.AfterKey != "") && strings.Contains(u.Text, "Press 1 to") {
			t.Errorf("sentence %d of the call, after key %q, names the device at the wrong place: %s", n, u.AfterKey, u.Text)
		}
	}
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
}

func TestAnApprovalIsGivenOrDeniedInThePortal(t *testing.T) {
	s := newScene(t, 1)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.askAboutIsolation()
	s.wantRejected(s.viewer, http.StatusForbidden, &incident.Approve{Approval: "a1"})
	s.wantRejected(s.lead, http.StatusConflict, &incident.Approve{Approval: "a1"})
	if got := s.actions(); len(got) != 0 {
		t.Errorf("before anybody approved, the EDR carried out %v", got)
	}
	s.send(s.responder, &incident.Approve{Approval: "a1"})
	s.awaitContainment(incident.ContainmentContained)
	s.settleAndRelease()

	s.askAboutIsolation()
	s.send(s.admin, &incident.Deny{Approval: "a1", Reason: "It is the payment server."})
	s.until("a task for the SOC", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskDenied)) == 1 })
	s.wantActions("contain", "lift_containment")
}
