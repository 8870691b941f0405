package e2e

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// outage returns a fault of every operation of a vendor: "refuse" refuses connections, "status" answers 503.
func outage(kind string) rule { return rule{Op: "*", Kind: kind, Status: 503} }

// awaitTasksDone waits until Watchfire has ended every task by itself.
func (s *scene) awaitTasksDone() {
	s.t.Helper()
	s.until("the tasks to end by themselves", func(i incident.Incident) bool {
		for _, t := range i.Tasks {
			if !t.Done {
				return false
			}
		}
		return len(i.Tasks) > 0
	})
}

func TestWhileMailIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	for _, kind := range []string{"refuse", "status"} {
		t.Run(kind, func(t *testing.T) {
			s := newClientScene(t, func(*models.Policy) {})
			s.faults("sendgrid", outage(kind))
			s.faults("smtp", rule{Op: "*", Kind: "refuse"}) // so is the second mailer
			s.open(models.SeverityCritical)
			s.assess()
			s.publish()
			s.until("a task for every mail", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskVendorDown)) == 2 })
			s.awaitAcknowledgement() // the phone does not wait for the mail
			s.clearFaults("sendgrid", "smtp")
			s.awaitTasksDone()
			s.wantMails(notify.PurposePublished)
		})
	}
}

func TestWhileThePhoneIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	s := newClientScene(t, func(p *models.Policy) { p.Rounds = 50 })
	s.faults("twilio", outage("refuse"))
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("a task about the phone", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskVendorDown)) == 1 })
	s.wantMails(notify.PurposePublished) // the mails do not wait for the phone
	if n := len(s.calls()); n != 0 {
		t.Errorf("%d calls were placed while the phone was down", n)
	}
	s.clearFaults("twilio")
	s.awaitAcknowledgement()
	s.awaitTasksDone()
	s.wantOrderlyCalls()
	if n := len(s.calls()); n != 1 {
		t.Errorf("%d calls were placed after the outage, want the one that was acknowledged", n)
	}
}

func TestWhileTheEDRIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.faults("crowdstrike", outage("refuse"))
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.until("a task about the endpoint", func(i incident.Incident) bool {
		return len(openTasks(i, incident.TaskUnconfirmed)) == 1 && i.Containment() == incident.ContainmentFailed
	})
	s.awaitAcknowledgement()
	s.wantActions()
	s.clearFaults("crowdstrike")
	s.awaitContainment(incident.ContainmentContained)
	s.awaitTasksDone()
	s.wantActions("contain")
}
