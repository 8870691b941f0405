package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
)

// Whoever has Temporal's databases, or reads the histories of running workflows, learns ids, phases and severities, and
// nothing of the report, the people, the devices or the keys.
func TestTemporalKeepsNothingReadable(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "repeats_then_acknowledges")
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitAcknowledgement()
	s.send(s.analyst, &incident.AskQuestion{Text: "Is question-canary-1 a scanner?", Answers: []string{"answer-canary-2", "no"}, Deadline: time.Now().Add(time.Hour)})
	s.send(s.responder, &incident.Comment{Text: "comment-canary-3"})
	s.awaitContainment(incident.ContainmentContained)
	s.send(s.responder, &incident.AnswerQuestion{Question: "q1", Answer: "answer-canary-2"})
	s.send(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "evidence-canary-4"})

	canaries := []string{
		"FILESRV", "summary-canary-7731", "Reset all passwords", s.host, "Files are being encrypted", "question-canary-1", "answer-canary-2", "comment-canary-3",
		"evidence-canary-4",
	}
	for _, c := range s.contacts {
		canaries = append(canaries, c.Name, c.Email, c.Phone)
	}
	for _, u := range system.Dev.Users {
		canaries = append(canaries, u.Token, u.Name, u.Email)
	}
	for _, setting := range system.Env() {
		name, value, _ := strings.Cut(setting, "=")
		for _, secret := range []string{"TOKEN", "SECRET", "PASSWORD", "KEYSET", "API_KEY", "DATABASE_URL"} {
			if strings.Contains(name, secret) && len(value) > 8 {
				canaries = append(canaries, value)
			}
		}
	}
	wantNone := func(where string, text []byte) {
		t.Helper()
		has := func(canary string) bool {
			return bytes.Contains(text, []byte(canary)) || bytes.Contains(text, []byte(hex.EncodeToString([]byte(canary))))
		}
		if !has(string(s.ref)) {
			t.Errorf("%s does not even have the reference, %d bytes", where, len(text))
		}
		for _, canary := range canaries {
			if canary != "" && has(canary) {
				t.Errorf("%s has %.40q in clear", where, canary)
			}
		}
	}
	tools, err := devstack.FindPostgres()
	if err != nil {
		t.Fatal(err)
	}
	forger := plainTemporal(t)
	look := func(when string) {
		t.Helper()
		for _, id := range []string{s.ref.WorkflowID(), s.ref.EndpointWorkflowID("e1")} {
			h := readHistory(t, forger, id)
			wantNone(when+", the history of "+id, []byte(decodedText(t, h)))
			for _, e := range h.GetEvents() {
				if plain, err := observability.HasPlainPayload(t.Context(), e); plain || err != nil {
					t.Errorf("%s: event %d of %s, %s, has a plain payload: %v", when, e.GetEventId(), id, e.GetEventType(), err)
				}
			}
		}
		for _, database := range []string{"temporal", "temporal_visibility"} {
			dump, err := exec.CommandContext(t.Context(), filepath.Join(tools, "pg_dump"), system.Postgres.URL(database)).Output()
			if err != nil {
				t.Fatal(err)
			}
			wantNone(when+", the database "+database, dump)
		}
	}
	look("while it runs")
	s.send(s.responder, &incident.Release{Endpoint: "e1", Reason: "Reinstalled."})
	s.awaitContainment(incident.ContainmentReleased)
	s.closeIncident()
	look("when it is over")
}

// Incidents that began before payloads were sealed go on: at first everything is plain, then what is plain is read, then
// their runs are renewed, and at last nothing plain is believed.
func TestPlainRunsAreSealedAndGoOn(t *testing.T) {
	shared := system
	own, err := stack.Start(t.Context(), stack.Options{
		Dir: t.TempDir(), Binary: product, Pace: 0.05, Policy: fastPolicy(), Settings: []string{"PAYLOADS=write-plain"},
		VendorTimeout: 2 * time.Second, Settle: 3 * time.Second, EDRPollEvery: 200 * time.Millisecond, EDRWorstDelay: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { system = shared; own.Stop() })
	system = own
	s := newScene(t, 1)
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitContainment(incident.ContainmentContained)
	s.awaitAcknowledgement()
	if text := decodedText(t, readHistory(t, plainTemporal(t), s.ref.WorkflowID())); !strings.Contains(text, "FILESRV") {
		t.Fatal("the incident is sealed already")
	}
	restart := func(mode observability.PayloadMode) {
		t.Helper()
		system.API.Stop()
		for _, w := range system.Workers {
			w.Stop()
		}
		system.Set("PAYLOADS=" + string(mode))
		s.startAPI(t.Context())
		if err := system.StartWorker(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left := func() string {
		t.Helper()
		ask := exec.CommandContext(t.Context(), product, "reconcile", "-plain")
		ask.Env = system.Env()
		out, err := ask.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	s.retry = true // a worker that has just begun may be late
	restart(observability.AcceptPlain)
	s.send(s.responder, &incident.Comment{Text: "Between."})
	if out := left(); !strings.Contains(out, s.ref.WorkflowID()+": asked") || !strings.Contains(out, s.ref.EndpointWorkflowID("e1")+": asked") {
		t.Errorf("the incident is not asked to go on in a new run:\n%s", out)
	}
	s.await("no plain run", func() (bool, error) { return strings.HasSuffix(left(), "0 workflows have plain payloads\n"), nil })

	// An order of an API that is not replaced yet, which the next worker must judge as this one did.
	request := s.commentRequest(models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleLead}, "Plain, in time.")
	if err := plainTemporal(t).SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", "comment", request); err != nil {
		t.Fatal(err)
	}
	s.until("the plain comment", func(incident.Incident) bool { return len(eventsOf[*incident.Commented](s)) == 2 })

	restart(observability.SealedPayloads)
	if err := plainTemporal(t).SignalWorkflow(t.Context(), s.ref.WorkflowID(), "", "comment", request); err != nil {
		t.Fatal(err)
	}
	s.await("the refusal", func() (bool, error) { return len(eventsOf[*incident.CommandRejected](s)) == 1, nil })
	restart(observability.AcceptPlain) // and back, as an operator may have to
	s.send(s.responder, &incident.Comment{Text: "Back."})
	restart(observability.SealedPayloads)
	s.settleAndRelease()
	s.closeIncident()
	if n := len(eventsOf[*incident.Commented](s)); n != 3 {
		t.Errorf("%d comments, want 3", n)
	}
	s.wantAgreement()
}

// A person without the API gives a command of the SOC by hand, and none of the client's.
func TestAnOrderIsGivenByHand(t *testing.T) {
	s := newScene(t, 2)
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	user := uuid.New()
	order := func(ctx context.Context, body string, args ...string) (string, error) {
		c := exec.CommandContext(ctx, product, append([]string{"order", "-incident", string(s.ref), "-user", user.String()}, args...)...)
		c.Env, c.Stdin = system.Env(), strings.NewReader(body)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := order(t.Context(), `{"text":"We are on the phone."}`, "-command", "comment", "-role", "lead", "-request", "by-hand-1"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.await("the comment", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) == 1, nil })
	all, err := s.events()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if _, is := e.Data.(*incident.Commented); is && (e.Actor.ID != user.String() || e.Actor.Side != models.SideSOC) {
			t.Errorf("the comment is by %+v", e.Actor)
		}
	}
	for reason, c := range map[string]struct {
		body string
		args []string
	}{
		"-role":    {`{"text":"x"}`, []string{"-command", "comment", "-role", "admin"}},
		"approve":  {`{"approval":"a1"}`, []string{"-command", "approve", "-role", "lead"}},
		"teleport": {`{}`, []string{"-command", "teleport", "-role", "lead"}},
		"comment":  {`{"text":`, []string{"-command", "comment", "-role", "lead"}},
	} {
		if out, err := order(t.Context(), c.body, c.args...); err == nil || !strings.Contains(out, reason) {
			t.Errorf("%v: %v, %s", c.args, err, fmt.Sprint(out))
		}
	}
}
