// Package desktest stands in for the workflow engine in tests of what lies in front of it: the desk, the API, the
// pages. It judges commands with models and records events in the real store, without history, timers or children.
package desktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Health says which part of the engine answers.
type Health int

// The healths of an engine.
const (
	Healthy   Health = iota // it answers at once
	NoWorker                // it takes signals, nobody answers updates
	NoService               // nothing answers
)

// Engine is a workflow engine in memory. Its methods may be used from several goroutines.
type Engine struct {
	store *store.Store
	now   func() time.Time

	mu       sync.Mutex
	health   Health
	started  map[string]client.StartWorkflowOptions // by workflow id
	runs     map[string]incident.State
	checks   map[string]check // by workflow id
	ended    map[string]bool
	answers  map[string]incident.CommandResult // by workflow and request id
	signals  []Signal
	handled  int // commands executed
	sequence sync.Mutex
}

// Signal is a request that was left for a worker.
type Signal struct {
	WorkflowID, Name string
	Request          incident.CommandRequest
}

// New makes an engine that records in s. now is its clock.
func New(s *store.Store, now func() time.Time) *Engine {
	return &Engine{
		store: s, now: now, started: map[string]client.StartWorkflowOptions{}, runs: map[string]incident.State{},
		checks: map[string]check{}, ended: map[string]bool{}, answers: map[string]incident.CommandResult{},
	}
}

// Become changes the health of the engine.
func (e *Engine) Become(h Health) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.health = h
}

// End lets an incident's workflow end.
func (e *Engine) End(ref models.Reference) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended[ref.WorkflowID()] = true
}

// TerminateWorkflow ends a workflow.
func (e *Engine) TerminateWorkflow(_ context.Context, workflowID, _, _ string, _ ...any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended[workflowID] = true
	return nil
}

// Started returns the options and the argument an incident's workflow was started with, and whether it was.
func (e *Engine) Started(ref models.Reference) (client.StartWorkflowOptions, incident.State, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, ok := e.started[ref.WorkflowID()]
	return o, e.runs[ref.WorkflowID()], ok
}

// Signals returns the requests that were left for a worker.
func (e *Engine) Signals() []Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Signal(nil), e.signals...)
}

// Executed returns how many commands had an effect.
func (e *Engine) Executed() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handled
}

// Workflows returns how many workflows were started.
func (e *Engine) Workflows() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.started) + len(e.checks)
}

// ExecuteWorkflow starts an incident's workflow, once, a channel's check, or the check of an EDR, which finds nothing
// wrong.
func (e *Engine) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if err := e.answersAt(ctx); err != nil {
		return nil, err
	}
	switch run := args[0].(type) {
	case notify.ChannelCheckInput:
		return nil, e.startCheck(o, run)
	case models.EDRCheckInput:
		return e.startEDRCheck(ctx, run)
	}
	run, ok := args[0].(incident.State)
	if !ok {
		return nil, serviceerror.NewInvalidArgument("not an incident")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.started[o.ID]; known {
		if !e.ended[o.ID] || o.WorkflowIDReusePolicy == enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE {
			return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs, or ran", "", "")
		}
	}
	e.started[o.ID], e.runs[o.ID] = o, run
	return nil, nil
}

// SignalWorkflow keeps a request.
func (e *Engine) SignalWorkflow(ctx context.Context, workflowID, _, name string, arg any) error {
	if err := e.answersAt(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.running(workflowID); err != nil {
		return err
	}
	r, ok := arg.(incident.CommandRequest)
	if !ok {
		return serviceerror.NewInvalidArgument("not a command request")
	}
	e.signals = append(e.signals, Signal{WorkflowID: workflowID, Name: name, Request: r})
	return nil
}

// UpdateWorkflow executes a command.
func (e *Engine) UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	if err := e.answersAt(ctx); err != nil {
		return nil, err
	}
	e.mu.Lock()
	health, err := e.health, e.running(o.WorkflowID)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if health == NoWorker { // the client's error once the caller's time is over, without the wait
		return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.DeadlineExceeded)
	}
	r, ok := o.Args[0].(incident.CommandRequest)
	if !ok || o.UpdateID != fmt.Sprintf("%s-%d", r.RequestID, r.Recorded) {
		return nil, serviceerror.NewInvalidArgument("not a command request")
	}
	e.sequence.Lock()
	defer e.sequence.Unlock()
	a, err := e.executeCommand(ctx, models.Reference(strings.TrimPrefix(o.WorkflowID, "incident/")), o.UpdateName, r)
	return handle{workflowID: o.WorkflowID, updateID: o.UpdateID, answer: a, err: rejection(err)}, nil
}

func (e *Engine) answersAt(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.health == NoService {
		return serviceerror.NewUnavailable("connection refused")
	}
	return ctx.Err()
}

func (e *Engine) running(workflowID string) error {
	if _, ok := e.started[workflowID]; !ok || e.ended[workflowID] {
		return serviceerror.NewNotFound("workflow execution already completed")
	}
	return nil
}

func (e *Engine) executeCommand(ctx context.Context, ref models.Reference, name string, r incident.CommandRequest) (incident.CommandResult, error) {
	if a, ok := e.answer(ref, r.RequestID); ok {
		return a, nil
	}
	c, err := incident.ParseCommand(name, r.Body)
	if err != nil {
		return incident.CommandResult{}, err
	}
	i, err := e.Incident(ctx, ref)
	if err != nil {
		return incident.CommandResult{}, err
	}
	events, err := i.Decide(c, r.CommandContext, e.now())
	if err != nil {
		return incident.CommandResult{}, err
	}
	a := incident.CommandResult{
		RequestID: r.RequestID, Command: name, Fingerprint: r.Fingerprint, FirstSeq: i.Seq + 1, LastSeq: i.Seq + len(events),
	}
	if err := e.record(ctx, i, events, a); err != nil {
		return incident.CommandResult{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers[string(ref)+r.RequestID] = a
	e.handled++
	return a, nil
}

func (e *Engine) answer(ref models.Reference, request string) (incident.CommandResult, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.answers[string(ref)+request]
	return a, ok
}

// Incident returns an incident as the store has it.
func (e *Engine) Incident(ctx context.Context, ref models.Reference) (incident.Incident, error) {
	return store.Run(e.store.InEveryClient(ctx), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(ref) })
}

// Happen changes an incident by events of an actor, as its workflow would.
func (e *Engine) Happen(ctx context.Context, ref models.Reference, by models.Actor, data ...incident.EventData) error {
	e.sequence.Lock()
	defer e.sequence.Unlock()
	i, err := e.Incident(ctx, ref)
	if err != nil {
		return err
	}
	var events []incident.Event
	trial := i
	for _, d := range data {
		event := incident.NewEvent(trial, e.now(), by, d)
		if err := trial.Apply(event); err != nil {
			return err
		}
		events = append(events, event)
	}
	return e.record(ctx, i, events)
}

func (e *Engine) record(ctx context.Context, i incident.Incident, events []incident.Event, commands ...incident.CommandResult) error {
	return e.store.ForClient(ctx, store.Worker, i.ClientID, func(tx *store.Tx) error { return tx.Record(i.Reference, events, commands...) })
}

// rejection turns a models.Error into the error of a workflow.
func rejection(err error) error {
	var e *models.Error
	if !errors.As(err, &e) {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(e.Message, string(e.Kind),
		temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{e.Field}})
}

type handle struct {
	workflowID, updateID string
	answer               incident.CommandResult
	err                  error
}

// WorkflowID names the workflow.
func (h handle) WorkflowID() string { return h.workflowID }

// RunID is the same for every run.
func (h handle) RunID() string { return uuid.Nil.String() }

// UpdateID names the update.
func (h handle) UpdateID() string { return h.updateID }

// Get returns the result of the command.
func (h handle) Get(_ context.Context, to any) error {
	if h.err != nil {
		return h.err
	}
	b, err := json.Marshal(h.answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}
