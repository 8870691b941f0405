package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// restart starts the workflow of an incident that has none, from the stored state.
func (p *pass) restart(ctx context.Context, w store.Watched, s workflowState) error {
	r := w.Incident.Reference
	if !w.Running && !s.found && p.now.Sub(w.Incident.OpenedAt) < youngest {
		return nil
	}
	lost, err := p.readLost(ctx, w.Incident)
	if err != nil {
		return err
	}
	if !isMissing(lost, s) {
		return p.Store.ForClient(ctx, store.SOC, lost.Incident.ClientID, func(tx *store.Tx) error { return tx.MarkEnded(r) })
	}
	if s.found && !s.isLost() && !lost.Incident.IsOver() {
		p.raise(ctx, models.AlarmConflict, string(r), "the engine says that this incident is over, the database does not")
		return nil
	}
	if w.Running || s.found || p.now.Sub(w.Incident.OpenedAt) > time.Minute {
		p.raise(ctx, models.AlarmNotRunning, string(r), "the incident's workflow "+s.fate()+"; it is started again from the database")
	}
	if err := p.startAgain(ctx, lost); err != nil || !s.found {
		return err
	}
	return p.repeatCommands(ctx, lost, s.runID())
}

// repeatCommands leaves the commands once more that were left for the lost runs of an incident and that none of them
// came to judge: the database has neither what they did nor that they were rejected. Who sent them was told that they
// wait. A repeat has no second effect. latest is the id of the last run that was lost.
func (p *pass) repeatCommands(ctx context.Context, l incident.Lost, latest string) error {
	r := l.Incident.Reference
	left, err := commandsLeft(ctx, p.Temporal, r, latest)
	if err != nil {
		return err
	}
	var problems []error
	for _, c := range left {
		done, err := p.Store.RecordedCommand(ctx, store.SOC, l.Incident.ClientID, r, c.request.RequestID)
		if err == nil && done.Known == nil && !l.HasRejected(c.request.RequestID) {
			p.Log.InfoContext(ctx, "a command that no run judged is left once more", "incident", string(r), "command", c.name)
			err = p.signal(ctx, r, c.name, c.request)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// isMissing reports whether an incident whose workflow does not run should have one.
func isMissing(l incident.Lost, s workflowState) bool {
	if s.found && !s.isLost() { // it came to its end by itself
		return l.Incident.NeedsWorkflow()
	}
	return l.NeedsWorkflow()
}

// startAgain starts the workflow of an incident, and those of its devices that are not at rest or were released, from
// the stored state.
func (p *pass) startAgain(ctx context.Context, lost incident.Lost) error {
	r := lost.Incident.Reference
	if err := p.requireLease(ctx); err != nil {
		return err
	}
	if err := p.endEndpoints(ctx, lost.Incident); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := desk.StartIncident(starting, p.Temporal, lost.State().Carried(), true); err != nil {
		return err
	}
	if err := p.Store.ForClient(ctx, store.SOC, lost.Incident.ClientID, func(tx *store.Tx) error { return tx.MarkRunning(r) }); err != nil {
		return err
	}
	p.Log.WarnContext(ctx, "an incident's workflow was started again", "incident", string(r))
	var problems []error
	for _, e := range lost.Incident.Endpoints {
		if !e.IsAtRest(lost.Incident.IsOver()) || e.Permitted == models.DesiredReleased { // a released one is watched again
			problems = append(problems, p.startEndpoint(ctx, lost, e))
		}
	}
	return errors.Join(problems...)
}

// wakeExpired starts the workflows of closed incidents again that had come to their end, because the time of a risk is
// over that the client accepted: they ask the client. Everything else about them is settled.
func (p *pass) wakeExpired(ctx context.Context) error {
	expired, err := p.Store.ExpiredRisks(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, e := range expired {
		problems = append(problems, p.wake(ctx, e))
	}
	return errors.Join(problems...)
}

func (p *pass) wake(ctx context.Context, e store.Expired) error {
	state, err := p.look(ctx, e.Reference.WorkflowID(), models.IncidentWorkflow)
	if err != nil {
		return err
	}
	if !state.running {
		lost, err := p.readLost(ctx, incident.Incident{ClientID: e.ClientID, Reference: e.Reference})
		if err != nil {
			return err
		}
		if err := p.requireLease(ctx); err != nil {
			return err
		}
		run := lost.State().Carried()
		run.Notifications, run.PendingCalls = nil, nil
		starting, cancel := context.WithTimeout(ctx, startWithin)
		defer cancel()
		if err := desk.StartIncident(starting, p.Temporal, run, true); err != nil {
			return err
		}
		p.Log.InfoContext(ctx, "an incident asks about an expired risk", "incident", string(e.Reference))
	}
	return p.Store.ForClient(ctx, store.SOC, e.ClientID, func(tx *store.Tx) error { return tx.MarkWatched(e.Reference) })
}

// readLost reads all that is kept of an incident.
func (p *pass) readLost(ctx context.Context, i incident.Incident) (incident.Lost, error) {
	return store.Run(p.Store.InClient(ctx, store.SOC, i.ClientID), func(tx *store.Tx) (incident.Lost, error) { return tx.Lost(i.Reference) })
}

// endEndpoints ends the workflows of an incident's endpoints, which have reported in vain.
func (p *pass) endEndpoints(ctx context.Context, i incident.Incident) error {
	for _, e := range i.Endpoints {
		if _, err := p.endEndpoint(ctx, i.Reference, e.ID); err != nil {
			return err
		}
	}
	// The lost run may have had more endpoints, which it did not come to record. The next ones get their ids.
	for n := len(i.Endpoints) + 1; ; n++ {
		if found, err := p.endEndpoint(ctx, i.Reference, fmt.Sprintf("e%d", n)); err != nil || !found {
			return err
		}
	}
}

// endEndpoint ends the workflow of an endpoint, and reports whether the engine knows one.
func (p *pass) endEndpoint(ctx context.Context, r models.Reference, endpoint string) (found bool, err error) {
	id := r.EndpointWorkflowID(endpoint)
	s, err := p.look(ctx, id, models.EndpointWorkflow)
	if err != nil || !s.running {
		return s.found, err
	}
	return true, p.Temporal.TerminateWorkflow(ctx, id, "", "its incident is started again, and it with the incident")
}

func (p *pass) signal(ctx context.Context, r models.Reference, name string, fact any) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := p.Temporal.SignalWorkflow(ctx, r.WorkflowID(), "", name, fact); err != nil {
		return fmt.Errorf("tell %s of %s: %w", r, name, err)
	}
	return nil
}

// startEndpoint starts the workflow of a device that is not at rest.
func (p *pass) startEndpoint(ctx context.Context, l incident.Lost, e incident.Endpoint) error {
	r := l.Incident.Reference
	return p.startChild(ctx, r.EndpointWorkflowID(e.ID), string(r)+" · endpoint "+e.ID, models.EndpointWorkflow, l.EndpointState(e))
}

// startChild starts a workflow that belongs to an incident. One that runs already is fine.
func (p *pass) startChild(ctx context.Context, id, summary, kind string, arg any) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	_, err := p.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: models.QueueIncidents, WorkflowTaskTimeout: models.WorkflowTaskTimeout,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            summary,
	}, kind, arg)
	if err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	p.Log.WarnContext(ctx, "a workflow was started again", "id", id)
	return nil
}

// restartEndpoint starts the workflow of a device of an incident whose own workflow needs no start.
func (p *pass) restartEndpoint(ctx context.Context, i incident.Incident, id string, s workflowState) error {
	l, err := p.readLost(ctx, i)
	if err != nil {
		return err
	}
	if err := p.requireLease(ctx); err != nil {
		return err
	}
	e := l.Incident.Endpoint(id)
	if e == nil || e.IsAtRest(l.Incident.IsOver()) && !l.ReadAt.Before(e.WatchedUntil(l.Policy)) {
		return nil // it came to rest since it was listed, or needs no watch any more
	}
	if s.isLost() {
		p.raise(ctx, models.AlarmNotRunning, i.Reference.EndpointWorkflowID(id), "the workflow of a device "+s.fate()+"; it is started again")
	}
	return p.startEndpoint(ctx, l, *e)
}
