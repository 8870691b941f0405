package reconcile

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	// calmAtOnce is how many calm incidents a pass looks at: their looks take ten seconds. With very many incidents it is
	// one of mostTurns of them.
	calmAtOnce = 100
	mostTurns  = 300
	// listed is how many workflows are listed at a time.
	listed = 1000
)

// calm tells which incidents are calm: Temporal lists the same run of their workflow as the last pass has looked at, no
// device of theirs is watched, and no alarm is open about them. Temporal's list costs a hundredth of a look at each. But it
// lags, and does not say whether a task fails or waits: so calm incidents are looked at, too, though not in every pass.
type calm struct {
	running map[string]string // workflow id -> run, as Temporal lists them
	alarmed map[string]bool   // by reference
	turns   int               // in which every calm incident is looked at once
	turn    int
}

// findCalm asks for what tells calm incidents. It returns nil, for which none is calm, when every one is to be looked at, or
// beside an error.
func (p *pass) findCalm(ctx context.Context) (*calm, error) {
	if p.seen == nil {
		return nil, nil
	}
	c := &calm{running: map[string]string{}, alarmed: map[string]bool{}, turns: turnsFor(len(p.seen)), turn: p.turn}
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

// turnsFor returns in how many passes so many calm incidents are looked at once.
func turnsFor(incidents int) int {
	return min(max((incidents+calmAtOnce-1)/calmAtOnce, 1), mostTurns)
}

// run returns the run of an incident's workflow, and whether the incident is calm.
func (c *calm) run(w store.Watched, p *pass) (run string, is bool) {
	if c == nil || !w.Running || c.alarmed[string(w.Incident.Reference)] {
		return "", false
	}
	id := w.Incident.Reference.WorkflowID()
	run = c.running[id]
	return run, run != "" && run == p.seen[id] &&
		!slices.ContainsFunc(w.Incident.Endpoints, func(e incident.Endpoint) bool { return p.isWatched(w.Incident, e) })
}

// isTurnOf reports whether a calm incident is looked at in this pass.
func (c *calm) isTurnOf(w store.Watched) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(w.Incident.Reference)) // never fails
	return int(h.Sum32()>>1)%c.turns == c.turn%c.turns
}

// noteRun notes that an incident's workflow runs.
func (p *pass) noteRun(id, run string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[id] = run
}
