package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	// calmAtOnce is how many calm incidents a pass looks at, at most: their looks take ten seconds.
	calmAtOnce = 100
	// recently is for how long after its last event an incident is looked at in each pass: that is when a task may be stuck.
	recently = 2 * time.Minute
	// listed is how many workflows are listed at a time.
	listed = 1000
)

// calm tells which incidents are calm: Temporal lists the same run of their workflow as the last pass has looked at, without
// finding a task that waits, they had no event lately, no device of theirs is watched, and no alarm is open about them.
// Temporal's list costs a hundredth of a look at each. But it lags, and does not say whether a task fails or waits: so calm
// incidents are looked at, too, though not in every pass.
type calm struct {
	running map[string]string // workflow id -> run, as Temporal lists them
	alarmed map[string]bool   // by reference
}

// findCalm asks for what tells calm incidents. It returns nil, for which none is calm, when every one is to be looked at, or
// beside an error.
func (p *pass) findCalm(ctx context.Context) (*calm, error) {
	if p.seen == nil {
		return nil, nil
	}
	c := &calm{running: map[string]string{}, alarmed: map[string]bool{}}
	open, err := p.Store.OpenAlarms(ctx)
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	for _, a := range open {
		c.alarmed[referenceOf(a.Subject)] = true
	}
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", models.IncidentWorkflow)
	for next := []byte(nil); ; {
		page, err := p.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: listed, NextPageToken: next})
		if err != nil {
			return nil, fmt.Errorf("list the workflows of incidents: %w", err)
		}
		for _, w := range page.GetExecutions() {
			if w.GetTaskQueue() == models.QueueIncidents {
				c.running[w.GetExecution().GetWorkflowId()] = w.GetExecution().GetRunId()
			}
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return c, nil
		}
	}
}

// run returns the run of an incident's workflow, and whether the incident is calm.
func (c *calm) run(w store.Watched, p *pass) (run string, is bool) {
	if c == nil || !w.Running || c.alarmed[string(w.Incident.Reference)] || p.now.Sub(w.Incident.UpdatedAt) < recently {
		return "", false
	}
	id := w.Incident.Reference.WorkflowID()
	run = c.running[id]
	return run, run != "" && run == p.seen[id] &&
		!slices.ContainsFunc(w.Incident.Endpoints, func(e incident.Endpoint) bool { return p.isWatched(w.Incident, e) })
}

// isAfter reports whether an incident is listed after another one.
func isAfter(i, other incident.Incident) bool {
	if i.OpenedAt.Equal(other.OpenedAt) {
		return i.Reference > other.Reference
	}
	return i.OpenedAt.After(other.OpenedAt)
}

// noteRun notes that an incident's workflow runs, and that nothing is to be done about it.
func (p *pass) noteRun(r models.Reference, run string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.unjudged[string(r)] {
		p.runs[r.WorkflowID()] = run
	}
}
