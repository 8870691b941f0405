package e2e

import (
	"slices"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The vendors carry out every request, and their answer is lost, late, an error or cut in half.
func TestALostAnswerOfAVendorDoesNothingTwice(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "no_answer", "acknowledges")
	once := func(op, kind string) rule { return rule{Op: op, Kind: kind, Times: 1} }
	late := func(op string) rule { return rule{Op: op, Kind: "late", DelayMS: 2300, Times: 1} } // longer than the product's timeout
	s.faults("sendgrid", once("send_mail", "reset_after"), late("send_mail"), once("send_mail", "status_after"))
	s.faults("twilio", once("place_call", "reset_after"), late("place_call"), once("place_call", "truncate"))
	s.faults("crowdstrike", once("device_action", "reset_after"), late("device_action"))
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitContainment(incident.ContainmentContained)
	s.awaitAcknowledgement()
	s.settleAndRelease()
	s.closeIncident()
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.wantCalls(1, 1, 1)
	s.wantActions("contain", "lift_containment")
	if tasks := s.current().Tasks; slices.ContainsFunc(tasks, func(t incident.Task) bool { return !t.Done }) {
		t.Errorf("some tasks stay open: %+v", tasks)
	}
}
