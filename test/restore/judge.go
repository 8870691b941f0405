package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// judge waits until everything is as it must be. What happened twice is never so.
func (w *world) judge(ctx context.Context) error {
	err := await(ctx, "store, engine and vendors to agree", func() error { return w.look(ctx) })
	if err == nil {
		say("nothing is lost, nothing happened twice; store, engine and vendors agree about %d incidents", len(w.stories))
	}
	return err
}

// look returns everything that is wrong now.
func (w *world) look(ctx context.Context) error {
	v, err := w.readVendors(ctx)
	if err != nil {
		return err
	}
	if len(v.twice) > 0 {
		return fmt.Errorf("%w: %w", errFinal, errors.Join(v.twice...))
	}
	var wrong []error
	calls := 0
	for _, s := range w.stories {
		if err := s.look(ctx, v); err != nil {
			wrong = append(wrong, err)
		}
		if s.severity == models.SeverityCritical && s.phase != incident.PhaseInvestigating {
			calls++
		}
	}
	if v.calls != calls { // the first contact who is called presses 1
		wrong = append(wrong, fmt.Errorf("%d calls were placed about %d critical incidents, so one of them several times", v.calls, calls))
	}
	open, err := w.db.OpenAlarms(ctx)
	for _, a := range open {
		wrong = append(wrong, fmt.Errorf("the alarm %s about %s is open: %s", a.Kind, a.Subject, a.Detail))
	}
	if err := errors.Join(append(wrong, err)...); err != nil {
		return err
	}
	list, err := w.reconcile(ctx)
	if err == nil && list != "0 differences\n" {
		err = fmt.Errorf("watchfire reconcile lists:\n%s", list)
	}
	return err
}

// look returns what is wrong with one incident.
func (s *story) look(ctx context.Context, v vendors) error {
	i, err := s.read(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.ref, err)
	}
	var wrong []error
	fail := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s", s.ref, fmt.Sprintf(format, args...)))
	}
	if i.Phase != s.phase || i.Assessment.Title != s.title {
		fail("it is %s with the title %q, want %s and %q", i.Phase, i.Assessment.Title, s.phase, s.title)
	}
	var events []incident.Event
	err = s.w.db.ForClient(ctx, store.SOC, i.ClientID, func(tx *store.Tx) error {
		if err := tx.VerifyEvents(s.ref); err != nil {
			return err
		}
		events, err = tx.Events(s.ref, 0, 1000)
		return err
	})
	if err != nil {
		fail("%v", err)
	}
	for _, text := range s.said {
		n := 0
		for _, e := range events {
			if d, ok := e.Data.(*incident.Commented); ok && d.Text == text {
				n++
			}
		}
		if n != 1 {
			fail("a comment that was answered stands there %d times", n)
		}
	}
	drifted := false
	for _, t := range i.Tasks {
		drifted = drifted || t.Kind == incident.TaskDrift && !t.Done
	}
	if got := v.devices[s.host]; got != s.wants && !drifted {
		fail("its device %s is %q, last wanted was %q", s.host, got, s.wants)
	}
	if err := s.lookIntoEngine(ctx, i); err != nil {
		fail("%v", err)
	}
	return errors.Join(wrong...)
}

// lookIntoEngine compares the incident in the store with the engine's.
func (s *story) lookIntoEngine(ctx context.Context, i incident.Incident) error {
	described, err := s.w.engine.DescribeWorkflowExecution(ctx, s.ref.WorkflowID(), "")
	if err != nil {
		if i.IsOver() { // an engine of before its opening needs to know nothing of it
			return nil
		}
		return err
	}
	if described.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		if i.IsOver() {
			return nil
		}
		return fmt.Errorf("its workflow is %s", described.GetWorkflowExecutionInfo().GetStatus())
	}
	answer, err := s.w.engine.QueryWorkflow(ctx, s.ref.WorkflowID(), "", models.QueryIncident)
	var decided incident.Incident
	if err == nil {
		err = answer.Get(&decided)
	}
	if err != nil {
		return err
	}
	if decided.ID() != i.ID() || decided.Seq != i.Seq || decided.Phase != i.Phase || decided.Containment() != i.Containment() {
		return fmt.Errorf("the engine has %s at event %d, %s, the store event %d, %s", decided.Assessment.Title, decided.Seq, decided.Phase, i.Seq, i.Phase)
	}
	return nil
}

// vendors are what the simulators say they really did.
type vendors struct {
	twice   []error
	calls   int
	devices map[string]string
}

// codeInText finds what tells two texts apart that are about the same thing.
var codeInText = regexp.MustCompile(`\b\d{6}\b`)

func (w *world) readVendors(ctx context.Context) (v vendors, err error) {
	done := map[string]int{}
	for _, mailer := range []string{"sendgrid", "smtp"} {
		var box struct {
			Mails map[string][]struct {
				Headers   map[string]string
				MessageID string `json:"message_id"`
			}
		}
		if err := w.Dev.Effects(ctx, mailer, &box); err != nil {
			return v, err
		}
		for _, list := range box.Mails {
			for _, m := range list {
				done["mail "+m.Headers["Message-ID"]+m.MessageID]++
			}
		}
	}
	var phone struct {
		Calls map[string][]struct{ URL string }
		Texts map[string][]struct {
			Body    string
			ReplyOf string `json:"reply_of"`
		}
	}
	var edr struct {
		Hosts []struct{ Hostname, Status string }
	}
	if err := errors.Join(w.Dev.Effects(ctx, "twilio", &phone), w.Dev.Effects(ctx, "crowdstrike", &edr)); err != nil {
		return v, err
	}
	for _, list := range phone.Calls {
		v.calls += len(list)
	}
	for to, list := range phone.Texts {
		for _, m := range list {
			if m.ReplyOf == "" {
				done["text "+to+" "+codeInText.ReplaceAllString(m.Body, "code")]++
			}
		}
	}
	v.devices = map[string]string{}
	for _, h := range edr.Hosts {
		v.devices[h.Hostname] = strings.ReplaceAll(h.Status, "contained", "isolated")
	}
	entries, err := w.Dev.Journal(ctx, "crowdstrike")
	if err != nil {
		return v, err
	}
	for _, e := range entries {
		var body struct {
			Parameters []struct{ Value string } `json:"action_parameters"`
		}
		if strings.Contains(e.Path, "devices-actions") && json.Unmarshal([]byte(e.Body), &body) == nil && len(body.Parameters) == 1 && e.Status == http.StatusAccepted {
			done["EDR action "+body.Parameters[0].Value]++
		}
	}
	for what, n := range done {
		if n > 1 {
			v.twice = append(v.twice, fmt.Errorf("%s was made %d times", what, n))
		}
	}
	return v, nil
}
