package incident_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

func ask(role models.Role) incident.CommandContext {
	return incident.CommandContext{RequestID: "req-" + string(role), Via: "api", Actor: models.Actor{Side: role.Side(), ID: "user-" + string(role), Role: role}}
}

func opened(t interface{ Fatal(...any) }, severity models.Severity) incident.Incident {
	var i incident.Incident
	e := incident.NewEvent(i, modelstest.T0, ask(models.RoleAnalyst).Actor, &incident.Opened{
		Reference: "SI-1042-0007", ClientID: modelstest.ClientID, Title: "Ransomware note on a file server", Severity: severity,
	})
	if err := i.Apply(e); err != nil {
		t.Fatal(err)
	}
	return i
}

// give carries a command out, closing the incident when it is ready, as the workflow does.
func give(i *incident.Incident, c incident.Command, a incident.CommandContext, at time.Time) ([]incident.Event, error) {
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
		e := incident.NewEvent(*i, at, i.Closure.By, &incident.Closed{Decision: i.Closure.Decision})
		if err := i.Apply(e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func TestNobodyAtTheSOCClosesAPublishedIncident(t *testing.T) {
	i := opened(t, models.SeverityLow)
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleAdmin)
	for _, role := range []models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator} {
		for _, c := range []incident.Command{&incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"}, &incident.ConfirmClosure{Reason: "r"}, &incident.Dismiss{Reason: "r"}} {
			if err := i.Can(c, ask(role), modelstest.T0); err == nil {
				t.Errorf("%s may %s", role, c.Name())
			}
		}
		forged := ask(role)
		forged.Actor.Side = models.SideClient
		if err := i.Can(&incident.ConfirmClosure{Reason: "r"}, forged, modelstest.T0); models.KindOf(err) != models.Forbidden {
			t.Errorf("a %s who claims to be of the client: %v", role, err)
		}
		e := incident.NewEvent(i, modelstest.T0, ask(role).Actor, &incident.Closed{Decision: i.Closure.Decision})
		if trial := i; trial.Apply(e) == nil {
			t.Errorf("a closed event by %s was applied", role)
		}
	}
}

func TestAThreatStillPresentNeedsTheClientsWordAgain(t *testing.T) {
	i := opened(t, models.SeverityHigh)
	mustGive(t, &i, &incident.Recommend{Text: "Rotate the service account's password"}, models.RoleAnalyst)
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	if _, err := give(&i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, ask(models.RoleAdmin), modelstest.T0); models.KindOf(err) != models.Conflict {
		t.Fatalf("closure with an unsettled recommendation: %v", err)
	}
	mustGive(t, &i, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "CHG-4411"}, models.RoleResponder)
	mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleAdmin)
	mustGive(t, &i, &incident.Verify{Gone: false, Note: "beacon seen ten minutes ago"}, models.RoleAnalyst)
	if i.Phase != incident.PhaseClosureRequested || i.Turn != incident.TurnClient {
		t.Fatalf("phase %s, turn %s", i.Phase, i.Turn)
	}
	mustGive(t, &i, &incident.ConfirmClosure{Reason: "the host is being scrapped"}, models.RoleAdmin)
	if i.Phase != incident.PhaseClosed || i.Closure.ConfirmedBy == nil || i.Turn != incident.TurnNone {
		t.Fatalf("phase %s, closure %+v", i.Phase, i.Closure)
	}
}

func TestClosureWaitsForTheEDRsWordOnARelease(t *testing.T) {
	i := opened(t, models.SeverityCritical)
	mustGive(t, &i, &incident.Isolate{Hostname: "FILESRV-01", Reason: "encrypting shares"}, models.RoleAnalyst)
	say := func(s models.HostState, generation int) {
		t.Helper()
		e := incident.NewEvent(i, modelstest.T0, models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: generation, State: s})
		if err := i.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := i.Containment(); got != incident.ContainmentRequested {
		t.Fatalf("containment %s before the EDR said anything", got)
	}
	ruled(t, &i, authority.Ruling{Decision: authority.DecideAuto, Rule: "r", Persons: 1})
	say(models.HostIsolated, 1)
	mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
	request := &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "restored"}
	if err := i.Can(request, ask(models.RoleAdmin), modelstest.T0); models.KindOf(err) != models.Conflict {
		t.Fatalf("closure with an isolated endpoint: %v", err)
	}
	mustGive(t, &i, &incident.Release{Endpoint: "e1", Reason: "reinstalled"}, models.RoleResponder)
	mustGive(t, &i, request, models.RoleAdmin)
	mustGive(t, &i, &incident.Verify{Gone: true, Note: "quiet for a day"}, models.RoleAnalyst)
	ruled(t, &i, authority.Ruling{Decision: authority.DecideAuto, Rule: "r", Persons: 1})
	if i.Phase != incident.PhaseClosureRequested || i.ReadyToClose() == nil {
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
		mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
		if at, due := i.NextReminder(p); !due || !at.Equal(modelstest.T0.Add(after)) {
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
		_, err := incident.ParseCommand(c.name, []byte(c.body))
		e, ok := err.(*models.Error)
		if !ok || e.Kind != models.Invalid || e.Field != c.pointer {
			t.Errorf("%s %s: %v, want a pointer to %s", c.name, c.body, err, c.pointer)
		}
	}
	if _, err := incident.ParseCommand("close", nil); models.KindOf(err) != models.NotFound {
		t.Errorf("there must be no command to close: %v", err)
	}
}

func mustGive(t *testing.T, i *incident.Incident, c incident.Command, role models.Role) {
	t.Helper()
	if _, err := give(i, c, ask(role), modelstest.T0); err != nil {
		t.Fatalf("%s: %v", c.Name(), err)
	}
}

func TestAClosedEventNeedsEveryGuard(t *testing.T) {
	requested := func(t *testing.T) incident.Incident {
		i := opened(t, models.SeverityLow)
		mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
		mustGive(t, &i, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"}, models.RoleAdmin)
		return i
	}
	for name, spoil := range map[string]func(*testing.T, *incident.Incident){
		"nothing is verified": func(*testing.T, *incident.Incident) {},
		"the threat is still present": func(t *testing.T, i *incident.Incident) {
			mustGive(t, i, &incident.Verify{Note: "beacon"}, models.RoleLead)
		},
		"the request was withdrawn": func(t *testing.T, i *incident.Incident) {
			mustGive(t, i, &incident.WithdrawClosure{Reason: "no"}, models.RoleAdmin)
		},
		"a recommendation came since": func(t *testing.T, i *incident.Incident) {
			mustGive(t, i, &incident.Recommend{Text: "patch"}, models.RoleAnalyst)
			mustGive(t, i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
		},
		"an endpoint was isolated since": func(t *testing.T, i *incident.Incident) {
			mustGive(t, i, &incident.Isolate{Hostname: "PC-1", Reason: "beacon"}, models.RoleAnalyst)
			mustGive(t, i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
		},
	} {
		i := requested(t)
		decision := i.Closure.Decision
		spoil(t, &i)
		if i.Phase == incident.PhaseClosed {
			t.Errorf("%s: it closed", name)
			continue
		}
		e := incident.NewEvent(i, modelstest.T0, ask(models.RoleAdmin).Actor, &incident.Closed{Decision: decision})
		if err := i.Apply(e); err == nil {
			t.Errorf("%s: a closed event was applied", name)
		}
	}
	i := requested(t)
	mustGive(t, &i, &incident.Recommend{Text: "patch"}, models.RoleAnalyst)
	mustGive(t, &i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
	mustGive(t, &i, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "patched"}, models.RoleAdmin)
	mustGive(t, &i, &incident.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
	if i.Phase != incident.PhaseClosed {
		t.Errorf("phase %s although every guard holds", i.Phase)
	}
}

// ruled lets the response authority say something about the first endpoint.
func ruled(t *testing.T, i *incident.Incident, r authority.Ruling) {
	t.Helper()
	p := i.Endpoints[0]
	approval := fmt.Sprintf("a%d", i.Approvals+1)
	if p.Approval != nil {
		approval = p.Approval.ID
	}
	err := i.Apply(incident.NewEvent(*i, modelstest.T0, models.System(), &incident.ContainmentRuled{Endpoint: p.ID, Generation: p.Generation, Approval: approval, AgentID: "aid-1",
		Ruling: r, ApproveFor: models.Duration(time.Hour), Lease: models.Duration(72 * time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
}
