package e2e

import (
	"slices"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The vendor does what it was asked, and the answer is lost, late, an error or cut in half.
func TestAnAnswerLostAfterTheDeedDoesNothingTwice(t *testing.T) {
	s := at(t, 0)
	s.persona("no_answer", "no_answer", "acknowledges")
	once := func(op, kind string) rule { return rule{Op: op, Kind: kind, Times: 1} }
	late := func(op string) rule { return rule{Op: op, Kind: "late", DelayMS: 2300, Times: 1} } // longer than the product waits
	s.faults("sendgrid", once("send_mail", "reset_after"), late("send_mail"), once("send_mail", "status_after"))
	s.faults("twilio", once("place_call", "reset_after"), late("place_call"), once("place_call", "truncate"))
	s.faults("crowdstrike", once("device_action", "reset_after"), late("device_action"))
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.contained(incident.ContainmentContained)
	s.reached()
	s.settle()
	s.closeIt()
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.wantCalls(1, 1, 1)
	s.wantOrders("contain", "lift_containment")
	if tasks := s.now().Tasks; slices.ContainsFunc(tasks, func(t incident.Task) bool { return !t.Done }) {
		t.Errorf("tasks stay open: %+v", tasks)
	}
}
