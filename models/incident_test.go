package models_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

var (
	t0       = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	clientID = uuid.MustParse("6f1f3d2e-0000-4000-8000-000000001042")
)

func ask(role models.Role) models.Ask {
	return models.Ask{RequestID: "req-" + string(role), Via: "api", Actor: models.Actor{Side: role.Side(), ID: "user-" + string(role), Role: role}}
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
func give(i *models.Incident, c models.Command, a models.Ask, at time.Time) ([]models.Event, error) {
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

func anyCommand(t *rapid.T, now time.Time) models.Command {
	word := rapid.SampledFrom([]string{"", "because", "see <b>notes</b>"})
	str := func(label string) string { return word.Draw(t, label) }
	id := func(prefix string) string { return prefix + rapid.SampledFrom([]string{"1", "2", "9"}).Draw(t, "id") }
	summary := str("summary")
	severity := rapid.SampledFrom(models.Severities()).Draw(t, "severity")
	return rapid.SampledFrom([]models.Command{
		&models.Assess{Summary: &summary, Severity: &severity}, &models.Publish{}, &models.Expedite{},
		&models.Revise{Change: str("change"), Material: true}, &models.Dismiss{Reason: str("reason")},
		&models.Comment{Text: str("text")}, &models.Recommend{Text: str("text")},
		&models.Settle{Recommendation: id("r"), Outcome: models.Mitigated, Evidence: str("evidence")},
		&models.Settle{Recommendation: id("r"), Outcome: models.RiskAccepted, Reason: str("reason"), ExpiresAt: now.Add(time.Duration(rapid.IntRange(-1, 400).Draw(t, "days")) * 24 * time.Hour)},
		&models.AdviseTeam{Engage: true, Criteria: str("criteria")},
		&models.Isolate{Hostname: rapid.SampledFrom([]string{"PC-1", "PC-2", "*"}).Draw(t, "host"), Reason: str("reason")},
		&models.Release{Endpoint: id("e"), Reason: str("reason")}, &models.Keep{Endpoint: id("e"), Reason: str("reason")},
		&models.Acknowledge{Revision: rapid.IntRange(0, 3).Draw(t, "revision")}, &models.CompleteTask{Task: id("t")},
		&models.Verify{Gone: rapid.Bool().Draw(t, "gone"), Note: str("note")},
		&models.RequestClosure{Outcome: models.OutcomeResolved, Note: str("note")},
		&models.ConfirmClosure{Reason: str("reason")}, &models.WithdrawClosure{Reason: str("reason")},
		&models.GiveFeedback{Rating: rapid.IntRange(0, 6).Draw(t, "rating")},
	}).Draw(t, "command")
}

// observe lets the EDR say something about every endpoint.
func observe(t *rapid.T, i *models.Incident, at time.Time) (events []models.Event) {
	for _, p := range i.Endpoints {
		state := rapid.SampledFrom([]models.HostState{models.HostNormal, models.HostIsolating, models.HostIsolated, models.HostReleasing}).Draw(t, "state")
		e := models.NewEvent(*i, at, models.System(), &models.EndpointObserved{Endpoint: p.ID, Generation: p.Generation, State: state, Online: true})
		if err := i.Apply(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

var legal = map[models.Phase][]models.Phase{
	models.PhaseInvestigating:    {models.PhaseInvestigating, models.PhasePublished, models.PhaseDismissed},
	models.PhasePublished:        {models.PhasePublished, models.PhaseClosureRequested, models.PhaseClosed},
	models.PhaseClosureRequested: {models.PhaseClosureRequested, models.PhasePublished, models.PhaseClosed},
	models.PhaseClosed:           {models.PhaseClosed},
	models.PhaseDismissed:        {models.PhaseDismissed},
}

func TestNoSequenceOfCommandsReachesAnIllegalState(t *testing.T) {
	closed := 0
	rapid.Check(t, func(t *rapid.T) {
		i := opened(t, models.SeverityCritical)
		log := []models.Event{models.NewEvent(models.Incident{}, t0, ask(models.RoleAnalyst).Actor, &models.Opened{
			Reference: i.Reference, ClientID: clientID, Title: i.Assessment.Title, Severity: i.Severity})}
		now := t0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Minute)
			before := snapshot(t, i)
			was := i
			if rapid.IntRange(0, 4).Draw(t, "machine") == 0 {
				log = append(log, observe(t, &i, now)...)
				continue
			}
			a := ask(rapid.SampledFrom([]models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleViewer, models.RoleResponder, models.RoleAdmin}).Draw(t, "role"))
			events, err := give(&i, anyCommand(t, now), a, now)
			if err != nil {
				if models.KindOf(err) == "" {
					t.Fatalf("refused without a reason for people: %v", err)
				}
				if after := snapshot(t, i); after != before {
					t.Fatalf("a refused command changed the incident\nbefore %s\nafter  %s", before, after)
				}
				continue
			}
			log = append(log, events...)
			checkStep(t, was, i, events)
		}
		if i.Phase == models.PhaseClosed {
			closed++
		}
		again, err := models.Replay(roundTrip(t, log))
		if err != nil {
			t.Fatal(err)
		}
		if snapshot(t, again) != snapshot(t, i) {
			t.Fatalf("replaying the events gives another state\n%s\n%s", snapshot(t, again), snapshot(t, i))
		}
	})
	if closed == 0 {
		t.Log("no sequence reached closure this time; the story tests cover it")
	}
}

func checkStep(t *rapid.T, was, is models.Incident, events []models.Event) {
	if !slices.Contains(legal[was.Phase], is.Phase) {
		t.Fatalf("phase went from %s to %s", was.Phase, is.Phase)
	}
	if is.Revision < was.Revision {
		t.Fatal("a revision was taken back")
	}
	for _, e := range events {
		if e.Type == "closed" && (e.Actor.Side != models.SideClient || is.Closure == nil || is.Closure.By.Side != models.SideClient) {
			t.Fatalf("closed by %s", e.Actor.Side)
		}
	}
	if is.Phase == models.PhaseClosed && len(is.Unsettled()) > 0 {
		t.Fatal("closed with an unsettled recommendation")
	}
	if is.Phase == models.PhaseClosed && was.Phase != models.PhaseClosed {
		for _, e := range is.Endpoints {
			if e.Kept == nil && (e.Desired == models.DesiredIsolated || e.Observed != models.HostNormal) {
				t.Fatal("closed with an endpoint neither released nor kept")
			}
		}
	}
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
	mustGive(t, &i, &models.Settle{Recommendation: "r1", Outcome: models.Mitigated, Evidence: "CHG-4411"}, models.RoleResponder)
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
	say(models.HostIsolated, 1)
	mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
	request := &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "restored"}
	if err := i.Can(request, ask(models.RoleAdmin), t0); models.KindOf(err) != models.Conflict {
		t.Fatalf("closure with an isolated endpoint: %v", err)
	}
	mustGive(t, &i, &models.Release{Endpoint: "e1", Reason: "reinstalled"}, models.RoleResponder)
	mustGive(t, &i, request, models.RoleAdmin)
	mustGive(t, &i, &models.Verify{Gone: true, Note: "quiet for a day"}, models.RoleAnalyst)
	if i.Phase != models.PhaseClosureRequested {
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

// roundTrip writes events to JSON and reads them back, as the store does.
func roundTrip(t *rapid.T, events []models.Event) []models.Event {
	var out []models.Event
	if err := json.Unmarshal([]byte(snapshot(t, events)), &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(events) || reflect.TypeOf(out[0].Data) != reflect.TypeOf(events[0].Data) {
		t.Fatal("events changed on their way through JSON")
	}
	return out
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
	mustGive(t, &i, &models.Settle{Recommendation: "r1", Outcome: models.Mitigated, Evidence: "patched"}, models.RoleAdmin)
	mustGive(t, &i, &models.Verify{Gone: true, Note: "quiet"}, models.RoleLead)
	if i.Phase != models.PhaseClosed {
		t.Errorf("phase %s although every guard holds", i.Phase)
	}
}
