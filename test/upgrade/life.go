package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// step is one command to an incident, and the state to wait for after it.
type step struct {
	by       models.Role
	command  incident.Command
	rejected bool
	until    func(incident.Incident) bool // nil waits for nothing
}

// life is one incident at a client of its own, with its steps and how many are done.
type life struct {
	*world
	name     string
	number   int
	contacts []models.Contact
	hosts    []string
	actions  map[string][]string // what the EDR must have carried out in the end, by host
	ref      models.Reference
	steps    []step
	done     int
	queued   int // commands that were answered with 202
}

// full is a life from assessment to closure, with an isolation and its release.
func full(host string) []step {
	summary, no := "Files are being encrypted.", &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "tidy up"}
	return []step{
		{by: models.RoleAnalyst, command: &incident.Assess{Summary: &summary}},
		{by: models.RoleAnalyst, command: &incident.Recommend{Text: "Reset all passwords."}},
		{by: models.RoleAnalyst, command: &incident.RecommendResponseTeam{Engage: true, Criteria: "Encryption goes on."}},
		{by: models.RoleAnalyst, command: no, rejected: true},
		{by: models.RoleAnalyst, command: &incident.Isolate{Hostname: host, Reason: summary}},
		{by: models.RoleAnalyst, command: &incident.Publish{}, until: func(i incident.Incident) bool {
			return i.Acknowledged != nil && !i.CallRoundEnded.IsZero() && i.Containment() == incident.ContainmentContained
		}},
		{by: models.RoleAnalyst, command: &incident.Publish{}, rejected: true},
		{by: models.RoleAnalyst, command: &incident.AskQuestion{Text: "Who signed in?", Deadline: time.Now().Add(24 * time.Hour).UTC()}},
		{by: models.RoleResponder, command: &incident.AnswerQuestion{Question: "q1", Answer: "Nobody."}},
		{by: models.RoleResponder, command: &incident.Comment{Text: "We look into it."}},
		{by: models.RoleAnalyst, command: &incident.Revise{Change: "A second host.", Material: true}},
		{by: models.RoleResponder, command: &incident.ExtendIsolation{Endpoint: "e1", Reason: "Not clean yet."}},
		{by: models.RoleResponder, command: &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "14 reset."},
			until: func(i incident.Incident) bool { return len(i.Unsettled()) == 0 }},
		{by: models.RoleResponder, command: &incident.Release{Endpoint: "e1", Reason: "Reinstalled."},
			until: func(i incident.Incident) bool { return i.Containment() == incident.ContainmentReleased }},
		{by: models.RoleAdmin, command: &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Restored."}},
		{by: models.RoleAdmin, command: &incident.WithdrawClosure{Reason: "One more look."}},
		{by: models.RoleAdmin, command: &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Restored."},
			until: func(i incident.Incident) bool { return i.Closure != nil }},
		{by: models.RoleAnalyst, command: &incident.Verify{Gone: true, Note: "Quiet."}, until: func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed }},
		{by: models.RoleAnalyst, command: &incident.Comment{Text: "Too late."}, rejected: true},
		{by: models.RoleAdmin, command: &incident.GiveFeedback{Rating: 5}},
	}
}

// approved is a life that begins in a hurry, whose isolations the client approves and denies.
func approved(first, second string) []step {
	answerable := func(n int) func(incident.Incident) bool {
		return func(i incident.Incident) bool {
			return len(i.Endpoints) == n && i.Endpoints[n-1].Approval.IsAnswerable()
		}
	}
	return []step{
		{by: models.RoleAnalyst, command: &incident.Expedite{}, until: func(i incident.Incident) bool { return i.Acknowledged != nil }},
		{by: models.RoleAnalyst, command: &incident.Isolate{Hostname: first, Reason: "Beacon."}, until: answerable(1)},
		{by: models.RoleLead, command: &incident.Approve{Approval: "a1"}, rejected: true},
		{by: models.RoleResponder, command: &incident.Approve{Approval: "a1"},
			until: func(i incident.Incident) bool { return i.Containment() == incident.ContainmentContained }},
		{by: models.RoleAnalyst, command: &incident.Isolate{Hostname: second, Reason: "Beacon."}, until: answerable(2)},
		{by: models.RoleAdmin, command: &incident.Deny{Approval: "a2", Reason: "It is the payment server."},
			until: func(i incident.Incident) bool { return len(i.Tasks) > 0 }},
		{by: models.RoleAdmin, command: &incident.KeepIsolated{Endpoint: "e1", Reason: "It stays with us."}},
		{by: models.RoleAdmin, command: &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Done."}},
		{by: models.RoleAnalyst, command: &incident.Verify{Gone: true, Note: "Quiet."}, until: func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed }},
		{by: models.RoleAdmin, command: &incident.GiveFeedback{Rating: 4}},
	}
}

// dismissed is a life that ends early.
func dismissed() []step {
	summary := "A scanner of the client."
	return []step{
		{by: models.RoleAnalyst, command: &incident.Assess{Summary: &summary}},
		{by: models.RoleAnalyst, command: &incident.Recommend{Text: "Tell the scanner's owner."}},
		{by: models.RoleAnalyst, command: &incident.Dismiss{Reason: "No threat."}, until: incident.Incident.IsOver},
	}
}

// begin opens a life of a kind: "full", "approved" or "dismissed".
func (w *world) begin(ctx context.Context, kind string, n int) (*life, error) {
	l := &life{world: w, name: fmt.Sprintf("%s %d", kind, n), hosts: []string{fmt.Sprintf("WS-%03d.drill", n), fmt.Sprintf("PAY-%03d.drill", n)}}
	decision := "auto"
	switch kind {
	case "full":
		l.steps, l.actions = full(l.hosts[0]), map[string][]string{l.hosts[0]: {"contain", "lift_containment"}}
	case "approved":
		l.steps, l.actions, decision = approved(l.hosts[0], l.hosts[1]), map[string][]string{l.hosts[0]: {"contain"}}, "ask"
	case "dismissed":
		l.steps = dismissed()
	}
	var err error
	if l.number, l.contacts, err = w.addClient(ctx, decision); err != nil {
		return nil, err
	}
	var i incident.Incident
	err = w.Dev.Person(models.RoleAnalyst, 0).Post(ctx, "/incidents", map[string]any{"client": l.number, "severity": "critical", "title": "Drill " + l.name}, &i)
	l.ref = i.Reference
	return l, err
}

func (l *life) isOver() bool { return l.done == len(l.steps) }

func (l *life) read(ctx context.Context) (i incident.Incident, err error) {
	return i, l.Dev.Person(models.RoleAnalyst, 0).Get(ctx, "/incidents/"+string(l.ref), &i)
}

// advance takes the next n steps, each sent twice under one key: the repeat must get the first answer.
func (l *life) advance(ctx context.Context, n int) error {
	for ; n > 0 && !l.isOver(); n-- {
		s := l.steps[l.done]
		if err := l.take(ctx, s); err != nil {
			return fmt.Errorf("%s, %s, step %d, %s: %w", l.ref, l.name, l.done+1, s.command.Name(), err)
		}
		l.done++
	}
	return nil
}

func (l *life) take(ctx context.Context, s step) error {
	key := uuid.NewString()
	status, first, err := l.post(ctx, s, key)
	if err != nil {
		return err
	}
	switch {
	case s.rejected && (status < 400 || status >= 500), !s.rejected && status != http.StatusOK && status != http.StatusAccepted:
		return fmt.Errorf("it was answered with %d: %s", status, first)
	case status == http.StatusAccepted:
		l.queued++
	default: // the repeat of a queued command may meanwhile be answered in full
		again, second, err := l.post(ctx, s, key)
		if err != nil || again != status || first != second {
			return fmt.Errorf("it was answered with %d %s, its repeat with %d %s (%w)", status, first, again, second, err)
		}
	}
	if s.until == nil {
		return nil
	}
	return l.await(ctx, fmt.Sprintf("the state after %s of %s", s.command.Name(), l.ref), func() (bool, error) {
		i, err := l.read(ctx)
		return err == nil && s.until(i), err
	})
}

// post sends a step's command until the API answers with anything but 503, and returns the status and the answer.
func (l *life) post(ctx context.Context, s step, key string) (status int, answer string, err error) {
	number := l.number
	if s.by.Side() == models.SideSOC {
		number = 0
	}
	err = l.await(ctx, "an answer to "+s.command.Name(), func() (bool, error) {
		var body json.RawMessage
		var rejection *stack.APIError
		status, err = l.Dev.Person(s.by, number).PostAs(ctx, key, "/incidents/"+string(l.ref)+"/"+s.command.Name(), s.command, &body)
		answer = string(body)
		if errors.As(err, &rejection) {
			answer, err = rejection.Error(), nil
		}
		return err == nil && status != http.StatusServiceUnavailable, err
	})
	return status, answer, err
}
