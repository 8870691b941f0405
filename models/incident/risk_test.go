package incident_test

import (
	"errors"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

// closedOver is an incident that the client closed over a threat that is still present, accepting it for a month.
func closedOver(t *testing.T) incident.Incident {
	t.Helper()
	i := opened(t, models.SeverityHigh)
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	mustGive(t, &i, &incident.Recommend{Text: "Retire the server."}, models.RoleAnalyst)
	mustGive(t, &i, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.RiskAccepted, Reason: "soon", ExpiresAt: modelstest.T0.Add(20 * 24 * time.Hour)}, models.RoleResponder)
	mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleResponder)
	mustGive(t, &i, &incident.Verify{Gone: false, Note: "it beacons on"}, models.RoleAnalyst)
	mustGive(t, &i, &incident.ConfirmClosure{Reason: "it is retired soon", ExpiresAt: modelstest.T0.Add(30 * 24 * time.Hour)}, models.RoleAdmin)
	return i
}

// happens lets the system record something.
func happens(t *testing.T, i *incident.Incident, at time.Time, d incident.EventData) {
	t.Helper()
	if err := i.Apply(incident.NewEvent(*i, at, models.System(), d)); err != nil {
		t.Fatal(err)
	}
}

func TestClosingOverAPresentThreatIsAnAcceptedRisk(t *testing.T) {
	i := closedOver(t)
	if c := i.Closure; c.Outcome != incident.OutcomeRiskAccepted || c.ConfirmedBy.Role != models.RoleAdmin || c.Reason != "it is retired soon" {
		t.Errorf("closed as %+v", c)
	}
	if due := i.RiskDue(); !due.Equal(modelstest.T0.Add(20 * 24 * time.Hour)) {
		t.Errorf("the first risk is due %s", due)
	}
}

func TestAnExpiredRiskIsAskedAboutUntilItIsSettled(t *testing.T) {
	i, after := closedOver(t), modelstest.T0.Add(40*24*time.Hour)
	responder := ask(models.RoleResponder)
	settle := &incident.SettleRisk{Outcome: incident.RiskAccepted, Reason: "not yet", ExpiresAt: after.Add(time.Hour)}
	again := &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "retired"}
	for _, c := range []incident.Command{settle, again} {
		if err := i.Can(c, responder, after); models.KindOf(err) != models.Conflict {
			t.Errorf("before anybody asks %s is %v, want a conflict", c.Name(), err)
		}
	}
	early := incident.NewEvent(i, modelstest.T0, models.System(), &incident.RiskExpired{Risk: incident.RiskOfClosure, Number: 1})
	if err := i.Apply(early); models.KindOf(err) != models.Conflict {
		t.Errorf("a risk expires before its time: %v", err)
	}
	if i.NeedsWorkflow() || i.HasExpiredRisk(modelstest.T0) || !i.HasExpiredRisk(after) {
		t.Error("the workflow is needed from the expiry on, and not before")
	}
	happens(t, &i, after, &incident.RiskExpired{Risk: "r1", Number: 1})
	happens(t, &i, after, &incident.RiskExpired{Risk: incident.RiskOfClosure, Number: 1})
	if i.Turn != incident.TurnClient || !i.NeedsWorkflow() || incident.Answers(settle, i) != i.Seq {
		t.Errorf("asked: turn %s, needs its workflow %t, answers %d of %d", i.Turn, i.NeedsWorkflow(), incident.Answers(settle, i), i.Seq)
	}
	if err := i.Can(settle, ask(models.RoleViewer), after); models.KindOf(err) != models.Forbidden {
		t.Errorf("a viewer settles: %v", err)
	}
	for _, c := range []incident.Command{again, settle} {
		events, err := i.Decide(c, responder, after)
		if err != nil {
			t.Fatalf("%s: %v", c.Name(), err)
		}
		for _, e := range events {
			if err := i.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if i.Turn != incident.TurnNone || i.Phase != incident.PhaseClosed || i.NeedsWorkflow() || !i.RiskDue().Equal(settle.ExpiresAt) {
		t.Errorf("settled: turn %s, due %s, needs its workflow %t", i.Turn, i.RiskDue(), i.NeedsWorkflow())
	}
	if i.Closure.Outcome != incident.OutcomeRiskAccepted || i.Closure.Settled.Reason != "not yet" {
		t.Errorf("the closure says %+v", i.Closure)
	}
}

// While the incident is open an expired risk keeps it from being closed.
func TestAnExpiredRiskIsNotSettled(t *testing.T) {
	i := opened(t, models.SeverityHigh)
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	mustGive(t, &i, &incident.Recommend{Text: "Retire the server."}, models.RoleAnalyst)
	mustGive(t, &i, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.RiskAccepted, Reason: "soon", ExpiresAt: modelstest.T0.Add(time.Hour)}, models.RoleResponder)
	happens(t, &i, modelstest.T0.Add(time.Hour), &incident.RiskExpired{Risk: "r1", Number: 1})
	closing := &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}
	if err := i.Can(closing, ask(models.RoleResponder), modelstest.T0.Add(time.Hour)); models.KindOf(err) != models.Conflict || i.Turn != incident.TurnClient {
		t.Errorf("closing: %v, turn %s", err, i.Turn)
	}
}

// A closure from before accepted risks had dates lasts as long as a risk may be accepted at most.
func TestAnAcceptedRiskOfBeforeLastsAYear(t *testing.T) {
	i := opened(t, models.SeverityHigh)
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeRiskAccepted, Note: "we live with it"}, models.RoleResponder)
	mustGive(t, &i, &incident.Verify{Gone: true, Note: "gone"}, models.RoleAnalyst)
	if due := i.RiskDue(); !due.Equal(i.Closure.At.Add(incident.MaxRiskAcceptance)) {
		t.Errorf("the risk is due %s", due)
	}
}

func TestWhoAcceptsARiskNowSaysUntilWhen(t *testing.T) {
	year := modelstest.T0.Add(incident.MaxRiskAcceptance)
	for _, c := range []struct {
		command incident.Command
		isNew   bool // what nobody may send any more
		field   string
	}{
		{&incident.ConfirmClosure{Reason: "r"}, true, "/expires_at"},
		{&incident.ConfirmClosure{Reason: "r", ExpiresAt: year}, false, ""},
		{&incident.ConfirmClosure{Reason: "r", ExpiresAt: year.Add(time.Second)}, false, "/expires_at"},
		{&incident.ConfirmClosure{Reason: "r", ExpiresAt: modelstest.T0}, false, "/expires_at"},
		{&incident.RequestClosure{Outcome: incident.OutcomeRiskAccepted, Note: "n"}, true, "/expires_at"},
		{&incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"}, true, ""},
		{&incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n", ExpiresAt: year}, false, "/expires_at"},
		{&incident.SettleRisk{Outcome: incident.RiskAccepted, Reason: "r"}, false, "/expires_at"},
		{&incident.SettleRisk{Outcome: incident.Mitigated}, false, "/evidence"},
	} {
		err := incident.Incident{}.Can(c.command, ask(models.RoleAdmin), modelstest.T0)
		if c.isNew {
			err = incident.CheckNew(c.command)
		}
		var e *models.Error
		if invalid := errors.As(err, &e) && e.Kind == models.Invalid; invalid != (c.field != "") || invalid && e.Field != c.field {
			t.Errorf("%s %+v: %v, want the field %q", c.command.Name(), c.command, err, c.field)
		}
	}
}
