package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// Difference is one point in which store and engine disagree about an incident.
type Difference struct {
	Reference models.Reference
	What      string
	Ghost     bool // the store does not know the incident: only its end settles it
}

// Engine lists the calls of the engine that an operator's comparison needs; client.Client satisfies it.
type Engine interface {
	Temporal
	ListWorkflow(ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
	QueryWorkflow(ctx context.Context, workflowID, runID, query string, args ...any) (converter.EncodedValue, error)
}

// Operator compares store and engine in full and settles differences one by one, on a person's word.
type Operator struct {
	Reconciler
	Engine Engine
}

func (o *Operator) pass() *pass {
	return &pass{Reconciler: &o.Reconciler, raised: map[alarmKey]bool{}, unjudged: map[string]bool{}}
}

// Differences lists the points in which store and engine disagree, by reference.
func (o *Operator) Differences(ctx context.Context) ([]Difference, error) {
	p := o.pass()
	var all []Difference
	var last incident.Incident
	for {
		page, err := o.Store.WatchedIncidents(ctx, last)
		if err != nil {
			return nil, err
		}
		for _, w := range page {
			what, err := o.compare(ctx, p, w.Incident)
			if err != nil {
				return nil, err
			}
			if what != "" {
				all = append(all, Difference{Reference: w.Incident.Reference, What: what})
			}
		}
		if len(page) == 0 {
			break
		}
		last = page[len(page)-1].Incident
	}
	ghosts, err := o.ghosts(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, ghosts...)
	slices.SortFunc(all, func(a, b Difference) int { return strings.Compare(string(a.Reference), string(b.Reference)) })
	return all, nil
}

// compare says in which point store and engine disagree about an incident, or "".
func (o *Operator) compare(ctx context.Context, p *pass, i incident.Incident) (string, error) {
	if i.IsOver() {
		return "", nil
	}
	s, err := p.look(ctx, i.Reference.WorkflowID())
	switch {
	case err != nil:
		return "", err
	case s.found && !desk.IsWorkflowOf(s.description, i.ID()):
		return "the engine's workflow is another incident's", nil
	case !s.running:
		return "the incident is open, and its workflow " + s.fate(), nil
	}
	v, err := o.Engine.QueryWorkflow(ctx, i.Reference.WorkflowID(), "", models.QueryIncident)
	if err != nil {
		return "its workflow does not answer", nil // what is wrong with it shows in the Temporal UI
	}
	var decided incident.Incident
	if err := v.Get(&decided); err != nil {
		return "", fmt.Errorf("read the state of %s: %w", i.Reference, err)
	}
	recorded, err := o.Store.Recorded(ctx, store.SOC, uuid.Nil, i.Reference)
	if err != nil || decided.Seq == recorded {
		return "", err
	}
	return fmt.Sprintf("the database has event %d, the workflow event %d", recorded, decided.Seq), nil
}

// ghosts lists the incidents that run in the engine and that the store does not know.
func (o *Operator) ghosts(ctx context.Context) ([]Difference, error) {
	var all []Difference
	var next []byte
	for {
		page, err := o.Engine.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = '" + models.IncidentWorkflow + "' and ExecutionStatus = 'Running'", NextPageToken: next,
		})
		if err != nil {
			return nil, fmt.Errorf("list the workflows that run: %w", err)
		}
		for _, w := range page.GetExecutions() {
			r, err := models.ParseReference(strings.TrimPrefix(w.GetExecution().GetWorkflowId(), "incident/"))
			if err != nil {
				continue // no incident of ours
			}
			switch _, err := o.Store.Recorded(ctx, store.SOC, uuid.Nil, r); {
			case models.KindOf(err) == models.NotFound:
				all = append(all, Difference{Reference: r, Ghost: true, What: "it runs in the engine, and the database does not know it"})
			case err != nil:
				return nil, err
			}
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return all, nil
		}
	}
}

// Restart ends what runs in the engine under an incident's reference and starts its workflow from the stored state.
// NotFound: the store does not know the incident. Conflict: it is over.
func (o *Operator) Restart(ctx context.Context, r models.Reference) error {
	i, err := store.Run(o.Store.InEveryClient(ctx), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(r) })
	switch {
	case err != nil:
		return err
	case i.IsOver():
		return models.Errorf(models.Conflict, "%s is over", r)
	}
	if err := o.terminate(ctx, r); err != nil {
		return err
	}
	p := o.pass()
	lost, err := p.readLost(ctx, i)
	if err != nil {
		return err
	}
	return p.startAgain(ctx, lost)
}

// End ends a ghost: everything that runs in the engine under a reference that the store does not know. Conflict: it
// knows the incident.
func (o *Operator) End(ctx context.Context, r models.Reference) error {
	switch _, err := o.Store.Recorded(ctx, store.SOC, uuid.Nil, r); {
	case err == nil:
		return models.Errorf(models.Conflict, "the database knows %s: start it again instead", r)
	case models.KindOf(err) != models.NotFound:
		return err
	}
	return o.terminate(ctx, r)
}

// terminate ends every workflow of an incident, the incident's own first, so that it starts no other.
func (o *Operator) terminate(ctx context.Context, r models.Reference) error {
	const reason = "settled by the operator"
	p := o.pass()
	s, err := p.look(ctx, r.WorkflowID())
	if err == nil && s.running {
		err = o.Engine.TerminateWorkflow(ctx, r.WorkflowID(), "", reason)
	}
	if err != nil {
		return err
	}
	children, err := o.Engine.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "ExecutionStatus = 'Running' and WorkflowId starts_with '" + r.WorkflowID() + "/'",
	})
	if err != nil {
		return fmt.Errorf("list the workflows of %s: %w", r, err)
	}
	for _, w := range children.GetExecutions() {
		if err := o.Engine.TerminateWorkflow(ctx, w.GetExecution().GetWorkflowId(), "", reason); err != nil {
			return fmt.Errorf("end %s: %w", w.GetExecution().GetWorkflowId(), err)
		}
	}
	return nil
}
