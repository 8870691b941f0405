package models_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

var (
	t0       = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	clientID = uuid.MustParse("6f1f3d2e-0000-4000-8000-000000001042")
)

func ask(role models.Role) models.CommandContext {
	return models.CommandContext{RequestID: "req-" + string(role), Via: "api", Actor: models.Actor{Side: role.Side(), ID: "user-" + string(role), Role: role}}
}

func opened(t interface{ Fatal(...any) }, severity models.Severity) models.Incident {
	var i models.Incident
	e := models.NewEvent(i, t0, ask(models.RoleAnalyst).Actor, &models.Opened{
		Reference: "SI-1042-0007", ClientID: clientID, Title: "Ransomware note on a file server", Severity: severity,
	})
	if err := i.Apply(e); err != nil {
		t.Fatal(err)
	}
	return i
}

// give carries a command out, closing the incident when it is ready, as the workflow does.
func give(i *models.Incident, c models.Command, a models.CommandContext, at time.Time) ([]models.Event, error) {
	events, err := i.Decide(c, a, at)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if err := i.Apply(e); err != nil {
			return nil, err
		}
	}
	if i.ReadyToClose() == nil {
		e := models.NewEvent(*i, at, i.Closure.By, &models.Closed{Decision: i.Closure.Decision})
		if err := i.Apply(e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func TestNobodyAtTheSOCClosesAPublishedIncident(t *testing.T) {
	i := opened(t, models.SeverityLow)
	mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
	mustGive(t, &i, &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "done"}, models.RoleAdmin)
	for _, role := range []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator} {
		for _, c := range []models.Command{&models.RequestClosure{Outcome: models.OutcomeResolved, Note: "n"}, &models.ConfirmClosure{Reason: "r"}, &models.Dismiss{Reason: "r"}} {
			if err := i.Can(c, ask(role), t0); err == nil {
				t.Errorf("%s may %s", role, c.Name())
			}
		}
		forged := ask(role)
		forged.Actor.Side = models.SideClient
		if err := i.Can(&models.ConfirmClosure{Reason: "r"}, forged, t0); models.KindOf(err) != models.Forbidden {
			t.Errorf("a %s who claims to be of the client: %v", role, err)
		}
		e := models.NewEvent(i, t0, ask(role).Actor, &models.Closed{Decision: i.Closure.Decision})
		if trial := i; trial.Apply(e) == nil {
			t.Errorf("a closed event by %s was applied", role)
		}
	}
}

func TestAThreatStillPresentNeedsTheClientsWordAgain(t *testing.T) {
	i := opened(t, models.SeverityHigh)
	mustGive(t, &i, &models.Recommend{Text: "Rotate the service account's password"}, models.RoleAnalyst)
	mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
	if _, err := give(&i, &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "done"}, ask(models.RoleAdmin), t0); models.KindOf(err) != models.Conflict {
		t.Fatalf("closure with an unsettled recommendation: %v", err)
	}
	mustGive(t, &i, &models.SettleRecommendation{Recommendation: "r1", Outcome: models.Mitigated, Evidence: "CHG-4411"}, models.RoleResponder)
	mustGive(t, &i, &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "done"}, models.RoleAdmin)
	mustGive(t, &i, &models.Verify{Gone: false, Note: "beacon seen ten minutes ago"}, models.RoleAnalyst)
	if i.Phase != models.PhaseClosureRequested || i.Turn != models.TurnClient {
		t.Fatalf("phase %s, turn %s", i.Phase, i.Turn)
	}
	mustGive(t, &i, &models.ConfirmClosure{Reason: "the host is being scrapped"}, models.RoleAdmin)
	if i.Phase != models.PhaseClosed || i.Closure.ConfirmedBy == nil || i.Turn != models.TurnNone {
		t.Fatalf("phase %s, closure %+v", i.Phase, i.Closure)
	}
}

func TestClosureWaitsForTheEDRsWordOnARelease(t *testing.T) {
	i := opened(t, models.SeverityCritical)
	mustGive(t, &i, &models.Isolate{Hostname: "FILESRV-01", Reason: "encrypting shares"}, models.RoleAnalyst)
	say := func(s models.HostState, generation int) {
		t.Helper()
		e := models.NewEvent(i, t0, models.System(), &models.EndpointObserved{Endpoint: "e1", Generation: generation, State: s})
		if err := i.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := i.Containment(); got != models.ContainmentRequested {
		t.Fatalf("containment %s before the EDR said anything", got)
	}
	ruled(t, &i, models.Ruling{Decision: models.DecideAuto, Rule: "r", Persons: 1})
	say(models.HostIsolated, 1)
	mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
	request := &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "restored"}
	if err := i.Can(request, ask(models.RoleAdmin), t0); models.KindOf(err) != models.Conflict {
		t.Fatalf("closure with an isolated endpoint: %v", err)
	}
	mustGive(t, &i, &models.Release{Endpoint: "e1", Reason: "reinstalled"}, models.RoleResponder)
	mustGive(t, &i, request, models.RoleAdmin)
	mustGive(t, &i, &models.Verify{Gone: true, Note: "quiet for a day"}, models.RoleAnalyst)
	ruled(t, &i, models.Ruling{Decision: models.DecideAuto, Rule: "r", Persons: 1})
	if i.Phase != models.PhaseClosureRequested || i.ReadyToClose() == nil {
		t.Fatalf("phase %s although the EDR still says isolated", i.Phase)
	}
	say(models.HostNormal, 2)
	if err := i.ReadyToClose(); err != nil {
		t.Fatal(err)
	}
}

func TestReminderTimes(t *testing.T) {
	p := models.DefaultPolicy()
	for severity, after := range map[models.Severity]time.Duration{
		models.SeverityCritical: 24 * time.Hour, models.SeverityHigh: 30 * time.Minute, models.SeverityMedium: 7 * 24 * time.Hour, models.SeverityLow: 7 * 24 * time.Hour,
	} {
		i := opened(t, severity)
		if _, due := i.NextReminder(p); due {
			t.Errorf("%s: a reminder is due while it is the SOC's turn", severity)
		}
		mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
		if at, due := i.NextReminder(p); !due || !at.Equal(t0.Add(after)) {
			t.Errorf("%s: reminder at %v, want %v after publication", severity, at, after)
		}
	}
}

func TestCommandsAreReadStrictly(t *testing.T) {
	for _, c := range []struct{ name, body, pointer string }{
		{"comment", `{"text":"hi","turn":"none"}`, "/turn"},
		{"verify", `{"gone":"yes","note":"n"}`, "/gone"},
		{"assess", `{"indicators":[{"type":"ip","value":7}]}`, "/indicators/value"},
	} {
		_, err := models.ParseCommand(c.name, []byte(c.body))
		e, ok := err.(*models.Error)
		if !ok || e.Kind != models.Invalid || e.Field != c.pointer {
			t.Errorf("%s %s: %v, want a pointer to %s", c.name, c.body, err, c.pointer)
		}
	}
	if _, err := models.ParseCommand("close", nil); models.KindOf(err) != models.NotFound {
		t.Errorf("there must be no command to close: %v", err)
	}
}

func mustGive(t *testing.T, i *models.Incident, c models.Command, role models.Role) {
	t.Helper()
	if _, err := give(i, c, ask(role), t0); err != nil {
		t.Fatalf("%s: %v", c.Name(), err)
	}
}

func snapshot(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAClosedEventNeedsEveryGuard(t *testing.T) {
	requested := func(t *testing.T) models.Incident {
		i := opened(t, models.SeverityLow)
		mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
		mustGive(t, &i, &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "done"}, models.RoleAdmin)
		return i
	}
	for name, spoil := range map[string]func(*testing.T, *models.Incident){
		"nothing is verified": func(*testing.T, *models.Incident) {},
		"the threat is still present": func(t *testing.T, i *models.Incident) {
			mustGive(t, i, &models.Verify{Note: "beacon"}, models.RoleLead)
		},
		"the request was withdrawn": func(t *testing.T, i *models.Incident) {
			mustGive(t, i, &models.WithdrawClosure{Reason: "no"}, models.RoleAdmin)
		},
		"a recommendation came since": func(t *testing.T, i *models.Incident) {
			mustGive(t, i, &models.Recommend{Text: "patch"}, models.RoleAnalyst)
			mustGive(t, i, &models.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
		},
		"an endpoint was isolated since": func(t *testing.T, i *models.Incident) {
			mustGive(t, i, &models.Isolate{Hostname: "PC-1", Reason: "beacon"}, models.RoleAnalyst)
			mustGive(t, i, &models.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
		},
	} {
		i := requested(t)
		decision := i.Closure.Decision
		spoil(t, &i)
		if i.Phase == models.PhaseClosed {
			t.Errorf("%s: it closed", name)
			continue
		}
		e := models.NewEvent(i, t0, ask(models.RoleAdmin).Actor, &models.Closed{Decision: decision})
		if err := i.Apply(e); err == nil {
			t.Errorf("%s: a closed event was applied", name)
		}
	}
	i := requested(t)
	mustGive(t, &i, &models.Recommend{Text: "patch"}, models.RoleAnalyst)
	mustGive(t, &i, &models.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
	mustGive(t, &i, &models.SettleRecommendation{Recommendation: "r1", Outcome: models.Mitigated, Evidence: "patched"}, models.RoleAdmin)
	mustGive(t, &i, &models.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
	if i.Phase != models.PhaseClosed {
		t.Errorf("phase %s although every guard holds", i.Phase)
	}
}

// ruled lets the response authority say something about the first endpoint.
func ruled(t *testing.T, i *models.Incident, r models.Ruling) {
	t.Helper()
	p := i.Endpoints[0]
	approval := fmt.Sprintf("a%d", i.Approvals+1)
	if p.Approval != nil {
		approval = p.Approval.ID
	}
	err := i.Apply(models.NewEvent(*i, t0, models.System(), &models.ContainmentRuled{Endpoint: p.ID, Generation: p.Generation, Approval: approval, AgentID: "aid-1",
		Ruling: r, ApproveFor: models.Duration(time.Hour), Lease: models.Duration(72 * time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
}
