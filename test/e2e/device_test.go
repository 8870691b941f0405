package e2e

import (
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Two domains of the client have a device of one name. Watchfire isolates neither on a guess, and its task says which
// they are; the analyst then asks for one of them by its full name.
func TestADomainIsNotGuessed(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.host = strings.TrimSuffix(s.host, ".corp")
	s.setDevicePersona("domains")
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.isolate()
	s.until("a task about the endpoint", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskUnconfirmed)) == 1 })
	task := openTasks(s.current(), incident.TaskUnconfirmed)[0]
	for _, domain := range []string{".corp.example", ".lab.example"} {
		if !strings.Contains(task.Detail, `"`+s.host+domain+`"`) {
			t.Errorf("the task says %q, want it to name the device in the domain %s", task.Detail, domain)
		}
	}
	s.wantActions()
	s.send(s.analyst, &incident.Isolate{Hostname: strings.ToLower(s.host) + ".LAB.example", Reason: "Files are being encrypted."})
	s.until("the isolation", func(i incident.Incident) bool {
		return len(i.Endpoints) == 2 && i.Endpoints[1].Observed == models.HostIsolated
	})
	if e := s.current().Endpoints; e[1].DeviceName != s.host+".lab.example" || e[0].AgentID != "" {
		t.Errorf("the endpoints are %q with agent %q and %q, want none and the device in the other domain", e[0].DeviceName, e[0].AgentID, e[1].DeviceName)
	}
	s.wantActions("contain")
}

// The client's rule for everything does not let a domain controller be isolated unasked.
func TestADomainControllerIsAskedAbout(t *testing.T) {
	s := newScene(t, 2)
	s.setDevicePersona("domain_controller")
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.isolate()
	s.until("the question to the client", func(i incident.Incident) bool { return i.Endpoints[0].Approval.IsAnswerable() })
	if r := s.current().Endpoints[0].Approval.Ruling; !strings.Contains(r.Rule, "domain controller") {
		t.Errorf("the client is asked because %q, want the domain controller to be named", r.Rule)
	}
	s.wantActions()
	s.send(s.responder, &incident.Approve{Approval: "a1"})
	s.awaitContainment(incident.ContainmentContained)
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
}
