package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
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
	s.askAboutIsolation()
	if r := s.current().Endpoints[0].Approval.Ruling; !strings.Contains(r.Rule, "domain controller") {
		t.Errorf("the client is asked because %q, want the domain controller to be named", r.Rule)
	}
	s.wantActions()
	s.send(s.responder, &incident.Approve{Approval: "a1"})
	s.awaitContainment(incident.ContainmentContained)
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")
}

// The client permits the isolation of a device that has been set up anew since, under its old name. The agent that has
// the name now is isolated when a person has said that it is meant, and the client has permitted that, too.
func TestADeviceSetUpAnewUnderItsOldNameIsAskedAbout(t *testing.T) {
	s := newScene(t, 2)
	defer s.signAuthority(authority.DecideAuto)
	s.signAuthority(authority.DecideAsk)
	s.setPhonePersonas("no_answer", "no_answer", "no_answer")
	s.askAboutIsolation()
	old := s.agent()
	s.setDevicePersona("reinstalled")
	s.send(s.responder, &incident.Approve{Approval: "a1"})
	s.until("a task about the device", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskUnconfirmed)) == 1 })
	anew := s.agent()
	task := openTasks(s.current(), incident.TaskUnconfirmed)[0]
	if anew == old || !strings.Contains(task.Detail, "agent "+anew) {
		t.Errorf("the task says %q, want it to name the agent %s, which has the name of %s now", task.Detail, anew, old)
	}
	isolateElsewhere(t) // which takes longer than a wrong isolation would
	s.wantOrders([]string{old, anew})
	s.send(s.analyst, &incident.CompleteTask{Task: task.ID})
	s.awaitQuestion("a2")
	s.wantOrders([]string{old, anew})
	s.send(s.responder, &incident.Approve{Approval: "a2"})
	s.awaitContainment(incident.ContainmentContained)
	if e := s.current().Endpoints[0]; e.AgentID != anew || len(openTasks(s.current(), incident.TaskUnconfirmed)) > 0 {
		t.Errorf("the endpoint is agent %s and the tasks are %+v, want agent %s and none about the device", e.AgentID, s.current().Tasks, anew)
	}
	s.settleAndRelease()
	s.wantOrders([]string{old, anew}, "contain "+anew, "lift_containment "+anew)
}

// isolateElsewhere isolates and releases a device of another client.
func isolateElsewhere(t *testing.T) {
	t.Helper()
	s := newScene(t, 0)
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitContainment(incident.ContainmentContained)
	s.settleAndRelease()
}

// wantOrders checks what the product has asked CrowdStrike to do to agents, whether it took effect or not.
func (s *scene) wantOrders(agents []string, want ...string) {
	s.t.Helper()
	entries, err := system.Dev.Journal(s.t.Context(), "crowdstrike")
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		for _, id := range agents {
			if strings.HasSuffix(e.Path, "/devices-actions/v2") && strings.Contains(e.Body, id) {
				got = append(got, strings.TrimPrefix(e.Query, "action_name=")+" "+id)
			}
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: CrowdStrike was asked for %q, want %q", s.ref, got, want)
	}
}

// awaitQuestion waits until the client is asked for an approval of the scene's device.
func (s *scene) awaitQuestion(approval string) {
	s.t.Helper()
	s.until("the question to the client", func(i incident.Incident) bool {
		a := i.Endpoints[0].Approval
		return a.IsAnswerable() && a.ID == approval
	})
}

// agent returns the id of the one agent that CrowdStrike has of the scene's device.
func (s *scene) agent() string {
	s.t.Helper()
	var e fleetEffects
	s.effects("crowdstrike", &e)
	var ids []string
	for _, h := range e.Hosts {
		if h.Hostname == s.host {
			ids = append(ids, h.DeviceID)
		}
	}
	if len(ids) != 1 {
		s.t.Fatalf("CrowdStrike has the agents %v of %s, want one", ids, s.host)
	}
	return ids[0]
}

// Hundreds of devices, more than a page of the product's look-up, come before the one of the name, which is found. Where
// there are more than the product reads, it says so and isolates none.
func TestADeviceIsFoundBehindACrowdAndNotGuessedBehindAThrong(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.vendor = "crowdstrike"
	s.host = strings.TrimSuffix(s.host, ".corp")
	s.setDevicePersona("crowd")
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitContainment(incident.ContainmentContained)
	if e, agent := s.current().Endpoints[0], s.agent(); e.AgentID != agent || e.DeviceName != s.host {
		t.Errorf("the endpoint is %s, agent %s, want %s, agent %s", e.DeviceName, e.AgentID, s.host, agent)
	}
	s.wantState(s.host, "isolated")
	s.settleAndRelease()
	s.wantActions("contain", "lift_containment")

	s.host = "SRV" + s.host
	s.setDevicePersona("throng")
	s.send(s.analyst, &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."})
	s.until("a task about the device", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskUnconfirmed)) == 1 })
	if detail := openTasks(s.current(), incident.TaskUnconfirmed)[0].Detail; !strings.Contains(detail, "too_many_hosts") {
		t.Errorf("the task says %q, want it to say that there are too many devices", detail)
	}
	if e := s.current().Endpoints[1]; e.AgentID != "" {
		t.Errorf("the endpoint is agent %s, want none", e.AgentID)
	}
	s.wantActions()
}
