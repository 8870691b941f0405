package incident_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

// commands are one or more of every command, right or wrong.
func commands(t *rapid.T, now time.Time) []incident.Command {
	word := rapid.SampledFrom([]string{"", "because", "see <b>notes</b>"})
	str := func(label string) string { return word.Draw(t, label) }
	id := func(prefix string) string { return prefix + rapid.SampledFrom([]string{"1", "2", "9"}).Draw(t, "id") }
	summary := str("summary")
	severity := rapid.SampledFrom(models.Severities()).Draw(t, "severity")
	deadline := now.Add(time.Duration(rapid.IntRange(-1, 91).Draw(t, "deadline")) * 24 * time.Hour)
	return []incident.Command{
		&incident.Assess{Summary: &summary, Severity: &severity}, &incident.Publish{}, &incident.Expedite{},
		&incident.Revise{Change: str("change"), Material: true}, &incident.Dismiss{Reason: str("reason")},
		&incident.Comment{Text: str("text")}, &incident.Recommend{Text: str("text")},
		&incident.SettleRecommendation{Recommendation: id("r"), Outcome: incident.Mitigated, Evidence: str("evidence")},
		&incident.SettleRecommendation{Recommendation: id("r"), Outcome: incident.RiskAccepted, Reason: str("reason"), ExpiresAt: now.Add(time.Duration(rapid.IntRange(-1, 400).Draw(t, "days")) * 24 * time.Hour)},
		&incident.RecommendResponseTeam{Engage: true, Criteria: str("criteria")},
		&incident.Isolate{Hostname: rapid.SampledFrom([]string{"PC-1", "PC-2", "*"}).Draw(t, "host"), Reason: str("reason")},
		&incident.Release{Endpoint: id("e"), Reason: str("reason")}, &incident.KeepIsolated{Endpoint: id("e"), Reason: str("reason")},
		&incident.Acknowledge{Revision: rapid.IntRange(0, 3).Draw(t, "revision")}, &incident.CompleteTask{Task: id("t")},
		&incident.Verify{Gone: rapid.Bool().Draw(t, "gone"), Note: str("note")},
		&incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: str("note")},
		&incident.RequestClosure{Outcome: incident.OutcomeRiskAccepted, Note: str("note"), ExpiresAt: deadline},
		&incident.ConfirmClosure{Reason: str("reason"), ExpiresAt: deadline}, &incident.ConfirmClosure{Reason: str("reason")},
		&incident.SettleRisk{Outcome: incident.RiskAccepted, Reason: str("reason"), ExpiresAt: deadline}, &incident.WithdrawClosure{Reason: str("reason")},
		&incident.GiveFeedback{Rating: rapid.IntRange(0, 6).Draw(t, "rating")},
		&incident.AskQuestion{Text: str("text"), Answers: rapid.SampledFrom([][]string{nil, {"yes", "no"}, {""}}).Draw(t, "answers"), Deadline: deadline},
		&incident.AnswerQuestion{Question: id("q"), Answer: rapid.SampledFrom([]string{"", "yes", "perhaps"}).Draw(t, "answer")},
		&incident.Approve{Approval: id("a")}, &incident.Deny{Approval: id("a"), Reason: str("reason")},
		&incident.ExtendIsolation{Endpoint: id("e"), Reason: str("reason")},
	}
}

func TestEveryCommandTakesPartInTheSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, c := range incident.Commands() {
			if !slices.ContainsFunc(commands(t, modelstest.T0), func(d incident.Command) bool { return d.Name() == c.Name() }) {
				t.Fatalf("no sequence holds %s", c.Name())
			}
		}
	})
}

// happen lets the machines say something: the response authority and the EDR about every endpoint, Watchfire about
// every approval, isolation and open question. The EDR does only what is permitted, but others touch it, too.
func happen(t *rapid.T, i *incident.Incident, at time.Time) (events []incident.Event) {
	say := func(d incident.EventData) {
		e := incident.NewEvent(*i, at, models.System(), d)
		if err := i.Apply(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	for _, p := range i.Endpoints {
		switch {
		case i.IsOver():
		case p.NeedsRuling():
			say(anyRuling(t, *i, p))
		case p.Approval.IsAnswerable():
			say(&incident.ApprovalExpired{Approval: p.Approval.ID, AllCalled: rapid.Bool().Draw(t, "tried"), NextAskAt: at})
		case !p.ReviewAt.IsZero():
			say(&incident.LeaseDue{Endpoint: p.ID})
		}
		state := rapid.SampledFrom([]models.HostState{models.HostNormal, models.HostIsolating, models.HostIsolated, models.HostReleasing}).Draw(t, "state")
		say(&incident.EndpointObserved{Endpoint: p.ID, Generation: p.Generation, State: state, Online: true, Drift: rapid.Bool().Draw(t, "drift")})
	}
	for _, r := range i.AcceptedRisks() {
		if !r.Until.After(at) {
			say(&incident.RiskExpired{Risk: r.ID, Number: 1})
		}
	}
	for _, q := range i.Questions {
		if _, n, due := q.NextReminder(); due {
			say(&incident.QuestionReminded{Question: q.ID, Number: n})
		} else if q.IsOpen() && !q.Overdue {
			say(&incident.QuestionOverdue{Question: q.ID})
		}
	}
	return events
}

var legal = map[incident.Phase][]incident.Phase{
	incident.PhaseInvestigating:    {incident.PhaseInvestigating, incident.PhasePublished, incident.PhaseDismissed},
	incident.PhasePublished:        {incident.PhasePublished, incident.PhaseClosureRequested, incident.PhaseClosed},
	incident.PhaseClosureRequested: {incident.PhaseClosureRequested, incident.PhasePublished, incident.PhaseClosed},
	incident.PhaseClosed:           {incident.PhaseClosed},
	incident.PhaseDismissed:        {incident.PhaseDismissed},
}

func TestNoSequenceOfCommandsReachesAnIllegalState(t *testing.T) {
	closed := 0
	rapid.Check(t, func(t *rapid.T) {
		i := opened(t, models.SeverityCritical)
		if rapid.IntRange(0, 3).Draw(t, "fire drill") == 0 {
			i = fireDrill(t, models.SeverityCritical)
		}
		log := []incident.Event{incident.NewEvent(incident.Incident{}, modelstest.T0, ask(models.RoleAnalyst).Actor, &incident.Opened{
			Reference: i.Reference, ClientID: modelstest.ClientID, Title: i.Assessment.Title, Severity: i.Severity, Exercise: i.Exercise})}
		now := modelstest.T0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Minute)
			before := modelstest.Snapshot(t, i)
			was := i
			if rapid.IntRange(0, 4).Draw(t, "machine") == 0 {
				log = append(log, happen(t, &i, now)...)
				checkUntouched(t, was, before)
				continue
			}
			a := ask(rapid.SampledFrom([]models.Role{models.RoleAnalyst, models.RoleLead, models.RoleOperator, models.RoleViewer, models.RoleResponder, models.RoleAdmin}).Draw(t, "role"))
			a.Person = rapid.SampledFrom([]string{"", "p1", "p2"}).Draw(t, "person")
			events, err := give(&i, rapid.SampledFrom(commands(t, now)).Draw(t, "command"), a, now)
			if err != nil {
				if models.KindOf(err) == "" {
					t.Fatalf("refused without a reason for people: %v", err)
				}
				if after := modelstest.Snapshot(t, i); after != before {
					t.Fatalf("a refused command changed the incident\nbefore %s\nafter  %s", before, after)
				}
				continue
			}
			log = append(log, events...)
			checkUntouched(t, was, before)
			checkStep(t, was, i, events)
		}
		if i.Phase == incident.PhaseClosed {
			closed++
		}
		again, err := incident.Replay(roundTrip(t, log))
		if err != nil {
			t.Fatal(err)
		}
		if modelstest.Snapshot(t, again) != modelstest.Snapshot(t, i) {
			t.Fatalf("replaying the events gives another state\n%s\n%s", modelstest.Snapshot(t, again), modelstest.Snapshot(t, i))
		}
	})
	if closed == 0 {
		t.Log("no sequence reached closure this time; the story tests cover it")
	}
}

// checkUntouched: a copy that somebody else holds does not change with the incident.
func checkUntouched(t *rapid.T, was incident.Incident, before string) {
	if now := modelstest.Snapshot(t, was); now != before {
		t.Fatalf("an event changed a copy of the incident\nbefore %s\nnow    %s", before, now)
	}
}

func checkStep(t *rapid.T, was, is incident.Incident, events []incident.Event) {
	drillEnded := is.Exercise.IsFireDrill() && !was.IsOver() && is.Phase == incident.PhaseDismissed
	if !slices.Contains(legal[was.Phase], is.Phase) && !drillEnded {
		t.Fatalf("phase went from %s to %s", was.Phase, is.Phase)
	}
	if is.Revision < was.Revision {
		t.Fatal("a revision was taken back")
	}
	if (is.Turn == incident.TurnNone) != is.IsOver() {
		t.Fatalf("turn %s while it is %s", is.Turn, is.Phase)
	}
	checkQuestions(t, was, is)
	checkApprovals(t, was, is, events)
	if is.Exercise.IsFireDrill() && len(is.Endpoints) > 0 {
		t.Fatal("a fire drill isolates")
	}
	for _, e := range events {
		if e.Type == "closed" && (e.Actor.Side != models.SideClient || is.Closure == nil || is.Closure.By.Side != models.SideClient) {
			t.Fatalf("closed by %s", e.Actor.Side)
		}
	}
	if is.Phase == incident.PhaseClosed && len(is.Unsettled()) > 0 {
		t.Fatal("closed with an unsettled recommendation")
	}
	if is.Phase == incident.PhaseClosed && was.Phase != incident.PhaseClosed {
		for _, e := range is.Endpoints {
			if e.Kept == nil && (e.Desired == models.DesiredIsolated || e.IsHeld()) {
				t.Fatal("closed with an endpoint neither released nor kept")
			}
		}
	}
}

// checkQuestions checks that a question stays, and that the client alone answers it, once, in the allowed words.
func checkQuestions(t *rapid.T, was, is incident.Incident) {
	for n, q := range is.Questions {
		if n >= len(was.Questions) {
			if !q.IsOpen() || !is.IsPublished() || is.Turn != incident.TurnClient {
				t.Fatalf("asked: %+v, turn %s", q, is.Turn)
			}
			continue
		}
		if old := was.Questions[n]; !old.IsOpen() && modelstest.Snapshot(t, old) != modelstest.Snapshot(t, q) {
			t.Fatalf("an answered question changed: %+v to %+v", old, q)
		}
		if !q.IsOpen() && (q.AnsweredBy.Side != models.SideClient || len(q.Answers) > 0 && !slices.Contains(q.Answers, q.Answer)) {
			t.Fatalf("answered: %+v", q)
		}
	}
	if len(is.Questions) < len(was.Questions) {
		t.Fatal("a question was taken back")
	}
}

// roundTrip writes events to JSON and reads them back, as the store does.
func roundTrip(t *rapid.T, events []incident.Event) []incident.Event {
	var out []incident.Event
	if err := json.Unmarshal([]byte(modelstest.Snapshot(t, events)), &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(events) || reflect.TypeOf(out[0].Data) != reflect.TypeOf(events[0].Data) {
		t.Fatal("events changed on their way through JSON")
	}
	return out
}
