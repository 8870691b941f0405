package e2e

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func down(kind string) rule { return rule{Op: "*", Kind: kind, Status: 503} }

// cleared waits until no task is open any more. Nobody ends them by hand.
func (s *scene) cleared() {
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
			s := newcomer(t, func(*models.Policy) {})
			s.faults("sendgrid", down(kind))
			s.faults("smtp", rule{Op: "*", Kind: "refuse"}) // and so is the one that would stand in
			s.open(models.SeverityCritical)
			s.assess()
			s.publish()
			s.until("a task for every mail", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskVendorDown)) == 2 })
			s.reached() // the phone does not wait for the mail
			s.heal("sendgrid", "smtp")
			s.cleared()
			s.wantMails(notify.PurposePublished)
		})
	}
}

func TestWhileThePhoneIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	s := newcomer(t, func(p *models.Policy) { p.Rounds = 50 })
	s.faults("twilio", down("refuse"))
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("a task about the phone", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskVendorDown)) == 1 })
	s.wantMails(notify.PurposePublished) // the mails do not wait for the phone
	if n := len(s.calls()); n != 0 {
		t.Errorf("%d calls were placed while the phone was down", n)
	}
	s.heal("twilio")
	s.reached()
	s.cleared()
	s.wantOrderlyCalls()
	if n := len(s.calls()); n != 1 {
		t.Errorf("%d calls were placed when the phone was back, want the one that was acknowledged", n)
	}
}

func TestWhileTheEDRIsDownTheIncidentShowsItAndGoesOnAfterwards(t *testing.T) {
	s := newcomer(t, func(*models.Policy) {})
	s.faults("crowdstrike", down("refuse"))
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.until("a task about the endpoint", func(i incident.Incident) bool {
		return len(openTasks(i, incident.TaskUnconfirmed)) == 1 && i.Containment() == incident.ContainmentFailed
	})
	s.reached()
	s.wantOrders()
	s.heal("crowdstrike")
	s.contained(incident.ContainmentContained)
	s.cleared()
	s.wantOrders("contain")
}
