package incident_test

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

func TestAVerificationFromBeforeAMaterialRevisionIsNotCurrent(t *testing.T) {
	for name, material := range map[string]bool{"material": true, "a correction": false} {
		i := opened(t, models.SeverityHigh)
		mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
		mustGive(t, &i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleAnalyst)
		mustGive(t, &i, &incident.Revise{Change: "the threat is back", Material: material}, models.RoleAnalyst)
		mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleResponder)
		if closed := i.Phase == incident.PhaseClosed; closed == material {
			t.Errorf("%s: phase %s, %v", name, i.Phase, i.ReadyToClose())
		}
		if material && i.Turn != incident.TurnSOC {
			t.Errorf("%s: turn %s", name, i.Turn)
		}
	}
}

// The word that the threat is gone is old when there is news while the closure waits, and the SOC looks again.
func TestNewsWhileAClosureWaitsAreTheSOCsTurn(t *testing.T) {
	i := waiting(t)
	mustGive(t, &i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleAnalyst)
	mustGive(t, &i, &incident.Revise{Change: "another host", Material: true}, models.RoleAnalyst)
	if i.Turn != incident.TurnSOC || i.CurrentVerification() != nil {
		t.Errorf("turn %s, verified %+v", i.Turn, i.CurrentVerification())
	}
}

// waiting is an incident whose closure the client asks for, and that waits for the release of a device.
func waiting(t *testing.T) incident.Incident {
	i := opened(t, models.SeverityHigh)
	mustGive(t, &i, &incident.Isolate{Hostname: "PC-1", Reason: "beacon"}, models.RoleAnalyst)
	ruled(t, &i, authority.Ruling{Decision: authority.DecideAuto, Rule: "r", Persons: 1})
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	e := incident.NewEvent(i, modelstest.T0, models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: 1, State: models.HostIsolated})
	if err := i.Apply(e); err != nil {
		t.Fatal(err)
	}
	mustGive(t, &i, &incident.Release{Endpoint: "e1", Reason: "reinstalled"}, models.RoleResponder)
	mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleAdmin)
	return i
}

// ruledAndReleased lets the EDR confirm the release of the device that a closure waits for.
func ruledAndReleased(t *testing.T, i *incident.Incident) {
	t.Helper()
	ruled(t, i, authority.Ruling{Decision: authority.DecideAuto, Rule: "r", Persons: 1})
	e := incident.NewEvent(*i, modelstest.T0, models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: 2, State: models.HostNormal})
	if err := i.Apply(e); err != nil {
		t.Fatal(err)
	}
}

// An event log of before says nothing about what counts no more: it stays legal, and makes the state that is stored.
func TestALogOfBeforeClosesAsItDid(t *testing.T) {
	analyst, admin := ask(models.RoleAnalyst).Actor, ask(models.RoleAdmin).Actor
	type said struct {
		by   models.Actor
		data incident.EventData
	}
	for name, log := range map[string][]said{
		"verified before a revision": {
			{analyst, &incident.Verified{Gone: true}}, {analyst, &incident.Revised{Material: true}},
			{admin, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeResolved}}, {admin, &incident.Closed{Decision: "d"}},
		},
		"confirmed before the news": {
			{admin, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeResolved}}, {analyst, &incident.Verified{}},
			{admin, &incident.ClosureConfirmed{Decision: "c", ExpiresAt: modelstest.T0.Add(time.Hour)}}, {analyst, &incident.Revised{Material: true}},
			{analyst, &incident.Verified{}}, {admin, &incident.Closed{Decision: "c"}},
		},
	} {
		i := opened(t, models.SeverityHigh)
		mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
		for _, s := range log {
			if err := i.Apply(incident.NewEvent(i, modelstest.T0, s.by, s.data)); err != nil {
				t.Fatalf("%s: %s: %v", name, s.data.Type(), err)
			}
		}
		if i.Phase != incident.PhaseClosed || i.Closure.Request != nil || name != "verified before a revision" && !i.Closure.Confirmed {
			t.Errorf("%s: phase %s, %+v", name, i.Phase, i.Closure)
		}
	}
}

// A confirmation of before did not keep what was asked for: news leave nothing to close on.
func TestAConfirmationOfBeforeIsGivenAnewAfterTheNews(t *testing.T) {
	i := waiting(t)
	confirmed := &incident.ClosureConfirmed{Decision: "c", ExpiresAt: modelstest.T0.Add(time.Hour)}
	if err := i.Apply(incident.NewEvent(i, modelstest.T0, ask(models.RoleAdmin).Actor, confirmed)); err != nil {
		t.Fatal(err)
	}
	mustGive(t, &i, &incident.Verify{Note: "ransomware"}, models.RoleAnalyst)
	mustGive(t, &i, &incident.Verify{Gone: true, Note: "wiped"}, models.RoleAnalyst)
	ruledAndReleased(t, &i)
	if i.Phase != incident.PhaseClosureRequested || i.ReadyToClose() == nil || i.Turn != incident.TurnClient {
		t.Fatalf("phase %s, turn %s, %v", i.Phase, i.Turn, i.ReadyToClose())
	}
	mustGive(t, &i, &incident.ConfirmClosure{Reason: "scrapped", ExpiresAt: modelstest.T0.Add(time.Hour)}, models.RoleAdmin)
	if i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s", i.Phase)
	}
}
