package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	crowdConnections = 1000
	crowdPatience    = time.Hour
	crowdSettles     = time.Minute // after the last incident is open
	crowdIdle        = time.Minute
	crowdTasks       = 10_000 // incidents, at most, whose first task is looked at
	memoryEvery      = 500 * time.Millisecond

	crowdWaitAim   = 2000.0 // ms, of the oldest workflow task
	crowdBytesAim  = 12_000 // in our database, for each incident
	crowdMemoryAim = 250.0  // MB, of the worker
	crowdIdleAim   = 0.05   // of a core, of the worker
)

// Crowd is the result of many incidents that are requested at the same moment and then stay open.
type Crowd struct {
	Incidents int                `json:"incidents"`
	Seconds   float64            `json:"seconds"` // until all are open
	Answer    Latency            `json:"answer"`  // to each request, from when it was sent first
	Queued    int                `json:"queued"`  // answers of 202: the engine did not take the incident in time
	Retried   int                `json:"retried"` // answers of 503 or 429, each followed by the same request again
	Wait      Latency            `json:"first_task_waits"`
	Bytes     map[string]float64 `json:"bytes_per_incident"` // of growth, by database
	PeakMB    map[string]float64 `json:"peak_mb"`            // of the processes, while they were opened
	IdleMB    map[string]float64 `json:"idle_mb"`
	Idle      map[string]float64 `json:"idle_cores"` // that the processes use while nothing happens
	Other     float64            `json:"other_load"`
}

// measureCrowd opens incidents and leaves them alone then. It returns an error unless each of them is open.
func (a *arena) measureCrowd(ctx context.Context, n int) (*Crowd, error) {
	c := &Crowd{Incidents: n, PeakMB: map[string]float64{}, Bytes: map[string]float64{}}
	before, err := a.readBefore(ctx)
	if err != nil {
		return c, err
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { a.watchMemory(watching, c.PeakMB) })
	refs, err := c.open(ctx, a)
	stop()
	watch.Wait()
	if err != nil {
		return c, err
	}
	c.Other = a.processes.read().other(before.usage)
	if err := c.readWaits(ctx, a, refs); err != nil {
		return c, err
	}
	if err := rest(ctx, crowdSettles); err != nil {
		return c, err
	}
	after, err := a.readAfter(ctx)
	if err != nil {
		return c, err
	}
	for name, size := range after.bytes {
		c.Bytes[name] = float64(size-before.bytes[name]) / float64(n)
	}
	if c.Idle, err = a.processes.idle(ctx, crowdIdle); err != nil {
		return c, err
	}
	c.IdleMB = a.processes.memory()
	return c, nil
}

// watchMemory keeps the greatest memory of every process until ctx ends.
func (a *arena) watchMemory(ctx context.Context, peak map[string]float64) {
	for rest(ctx, memoryEvery) == nil {
		for name, mb := range a.processes.memory() {
			peak[name] = max(peak[name], mb)
		}
	}
}

// open sends all requests, over crowdConnections at a time.
func (c *Crowd) open(ctx context.Context, a *arena) (refs []models.Reference, err error) {
	var mu sync.Mutex
	count := func(status int) {
		mu.Lock()
		defer mu.Unlock()
		switch status {
		case http.StatusAccepted:
			c.Queued++
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			c.Retried++
		}
	}
	t := load{clients: crowdConnections, during: crowdPatience, most: c.Incidents}.run(ctx, func(ctx context.Context, n int) (time.Duration, error) {
		p := a.peopleFor(n)
		var opened struct {
			Reference models.Reference `json:"reference"`
		}
		took, err := measure(func() error {
			return insist(ctx, p.analyst, "/incidents", p.opening(models.SeverityLow), &opened, count)
		})
		mu.Lock()
		defer mu.Unlock()
		refs = append(refs, opened.Reference)
		return took, err
	})
	if len(t.failed) > 0 {
		return nil, fmt.Errorf("%d of %d incidents were not opened: %w", len(t.failed), c.Incidents, t.failed[0])
	}
	c.Seconds, c.Answer = t.lasted.Seconds(), newLatency(t.each)
	return refs, nil
}

// readWaits reads how long the first workflow tasks waited for a worker.
func (c *Crowd) readWaits(ctx context.Context, a *arena, refs []models.Reference) error {
	ctx, cancel := context.WithTimeout(ctx, crowdPatience)
	defer cancel()
	step := max(1, len(refs)/crowdTasks)
	looked := (len(refs) + step - 1) / step
	t := load{clients: 16, during: crowdPatience, most: looked}.run(ctx, func(ctx context.Context, n int) (time.Duration, error) {
		return a.firstTaskWaits(ctx, refs[n*step])
	})
	if len(t.failed) > 0 {
		return fmt.Errorf("the first task of %d incidents: %w", len(t.failed), t.failed[0])
	}
	c.Wait = newLatency(t.each)
	return nil
}

// firstTaskWaits returns how long the first task of an incident waited. It waits until that has begun.
func (a *arena) firstTaskWaits(ctx context.Context, ref models.Reference) (time.Duration, error) {
	for {
		h, err := a.temporal.WorkflowService().GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{
			Namespace: a.stack.Dev.Namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: ref.WorkflowID()}, MaximumPageSize: 8,
		})
		var none *serviceerror.NotFound // it waits for the reconciler
		if err != nil && !errors.As(err, &none) {
			return 0, err
		}
		var scheduled time.Time
		for _, e := range h.GetHistory().GetEvents() {
			switch e.GetEventType() {
			case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
				scheduled = e.GetEventTime().AsTime()
			case enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
				return e.GetEventTime().AsTime().Sub(scheduled), nil
			}
		}
		if err := rest(ctx, lookEvery); err != nil {
			return 0, err
		}
	}
}

// print writes the result.
func (c *Crowd) print(out io.Writer) {
	if c == nil {
		return
	}
	verdict := func(ok bool) string {
		if ok {
			return met
		}
		return missed
	}
	fmt.Fprintf(out, "\n%d incidents requested over %d connections: all open after %.0f s (%.0f a second), %d answers of 202, %d requests sent again; answered p50 / p99 / greatest %s ms; other work %.0f %% of the machine\n",
		c.Incidents, crowdConnections, c.Seconds, float64(c.Incidents)/c.Seconds, c.Queued, c.Retried, c.Answer, 100*c.Other)
	fmt.Fprintf(out, "  their first workflow tasks waited %s ms, aim ≤ %.0f: %s\n", c.Wait, crowdWaitAim, verdict(c.Wait.Max <= crowdWaitAim))
	fmt.Fprintf(out, "  our database grew by %.1f kB for each, aim ≤ %.0f: %s; Temporal's by %.1f\n", c.Bytes[dbOurs]/1000, crowdBytesAim/1000.,
		verdict(c.Bytes[dbOurs] <= crowdBytesAim), (c.Bytes[dbTemporal]+c.Bytes[dbVisibility])/1000)
	for _, name := range slices.Sorted(maps.Keys(c.Idle)) {
		fmt.Fprintf(out, "  %-20s %4.0f MB at most, then %4.0f; idle %.3f of a core\n", name, c.PeakMB[name], c.IdleMB[name], c.Idle[name])
	}
	fmt.Fprintf(out, "  worker: memory aim ≤ %.0f MB: %s; idle aim ≤ %.2f of a core: %s\n", crowdMemoryAim, verdict(c.PeakMB[procWorker] <= crowdMemoryAim),
		crowdIdleAim, verdict(c.Idle[procWorker] <= crowdIdleAim))
}
