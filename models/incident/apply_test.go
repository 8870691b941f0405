package incident_test

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// A list that an event could change in place would change the incident that a page, a validator or the store still
// holds.
func TestAnEventSharesNoListWithTheIncidentBeforeIt(t *testing.T) {
	approval := &incident.Approval{ID: "a1", Given: []incident.Consent{{Via: "api"}}}
	before := incident.Incident{
		Phase: incident.PhasePublished, Alerts: []uuid.UUID{modelstest.ContactID(1)},
		Recommendations: []incident.Recommendation{{ID: "r1"}}, Endpoints: []incident.Endpoint{{ID: "e1", Approval: approval}},
		Questions: []incident.Question{{ID: "q1"}}, ReadReceipts: []incident.ReadReceipt{{Revision: 1}}, Tasks: []incident.Task{{ID: "t1"}},
		Closure: &incident.Closure{Note: "Done."}, Seq: 1,
	}
	after := before
	called := &incident.ContactCalled{CallResult: notify.CallResult{Outcome: notify.OutcomeNoAnswer}}
	if err := after.Apply(incident.NewEvent(before, modelstest.T0, models.System(), called)); err != nil {
		t.Fatal(err)
	}
	old, now := reflect.ValueOf(before), reflect.ValueOf(after)
	for n := range old.NumField() {
		name := old.Type().Field(n).Name
		if old.Field(n).Kind() != reflect.Slice || name == "Alerts" { // alerts are set once
			continue
		}
		if old.Field(n).Len() == 0 {
			t.Errorf("%s is empty: the test does not know it", name)
		} else if old.Field(n).UnsafePointer() == now.Field(n).UnsafePointer() {
			t.Errorf("%s is shared", name)
		}
	}
	if p := after.Endpoints[0].Approval; p == approval || &p.Given[0] == &approval.Given[0] {
		t.Error("the approval of an endpoint is shared")
	}
	if after.Closure == before.Closure {
		t.Error("the closure is shared")
	}
}
