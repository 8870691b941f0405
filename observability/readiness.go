package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

const (
	checkTimeout = time.Second // of one part
	checkedFor   = time.Second // how long the last result stands
)

// Part is one thing that a process needs to do its job. Check returns nil when the part answers. Nobody logs or shows
// its error, because the error may name hosts.
type Part struct {
	Name  string
	Check func(ctx context.Context) error
}

// Readiness tells whether every part answers. It checks all parts at the same time and keeps the result for a second,
// so that frequent checks cost nothing. Its methods may be used from several goroutines.
type Readiness struct {
	parts []Part

	mu      sync.Mutex
	checked time.Time
	states  map[string]string
	ready   bool
}

// NewReadiness makes a Readiness over parts. Without parts it is always ready.
func NewReadiness(parts ...Part) *Readiness { return &Readiness{parts: parts} }

// Check returns whether every part answers, and "ok" or "failing" by the part's name.
func (r *Readiness) Check(ctx context.Context) (bool, map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states == nil || time.Since(r.checked) > checkedFor {
		r.ready, r.states = r.checkParts(context.WithoutCancel(ctx))
		r.checked = time.Now()
	}
	return r.ready, r.states
}

func (r *Readiness) checkParts(ctx context.Context) (bool, map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	answers := make(chan string, len(r.parts))
	for _, p := range r.parts {
		go func() {
			if err := p.Check(ctx); err != nil {
				answers <- ""
				return
			}
			answers <- p.Name
		}()
	}
	states := map[string]string{}
	for _, p := range r.parts {
		states[p.Name] = "failing"
	}
	for range r.parts {
		select {
		case name := <-answers:
			if name != "" {
				states[name] = "ok"
			}
		case <-ctx.Done(): // a part that ignores its deadline must not hold up the answer
		}
	}
	ready := true
	for _, s := range states {
		ready = ready && s == "ok"
	}
	return ready, states
}

// Handler returns a handler for /readyz: it answers 200 when every part answers, else 503, and a JSON object of the
// parts.
func (r *Readiness) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ready, states := r.Check(req.Context())
		body, err := json.Marshal(map[string]any{"ready": ready, "parts": states})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(body) // a caller that went away is no error of ours
	})
}

// DatabaseParts returns the parts "database", which takes a heartbeat of this process, and "schema", which is this
// version's. A database that can read and not write, as with a full disk, is not ok.
func DatabaseParts(beat, schemaCurrent func(context.Context) error) []Part {
	return []Part{{Name: "database", Check: beat}, {Name: "schema", Check: schemaCurrent}}
}

// Temporal is the part of a Temporal client that readiness needs; client.Client implements it.
type Temporal interface {
	CheckHealth(ctx context.Context, request *client.CheckHealthRequest) (*client.CheckHealthResponse, error)
	DescribeTaskQueue(ctx context.Context, queue string, kind enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error)
}

// TemporalParts returns the part "temporal" and, in the order of their names, a part "queue <name>" for every task
// queue: the queue has a worker of its current version that polls for tasks of the given kind.
func TemporalParts(t Temporal, queues map[string]enumspb.TaskQueueType) []Part {
	parts := []Part{{Name: "temporal", Check: func(ctx context.Context) error {
		_, err := t.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	}}}
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		kind := queues[name]
		parts = append(parts, Part{Name: "queue " + name, Check: func(ctx context.Context) error {
			return checkPolled(ctx, t, name, kind)
		}})
	}
	return parts
}

// pollerFresh is the greatest age of a poll that counts: a worker polls at least once a minute, but Temporal still
// lists one that died.
const pollerFresh = 70 * time.Second

// checkPolled returns an error unless a worker that gets the queue's tasks has polled it lately: one of the current
// version, or one without a version while none is current.
func checkPolled(ctx context.Context, t Temporal, queue string, kind enumspb.TaskQueueType) error {
	d, err := t.DescribeTaskQueue(ctx, queue, kind)
	if err != nil {
		return fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	current := d.GetVersioningInfo().GetCurrentDeploymentVersion().GetBuildId()
	for _, p := range d.GetPollers() {
		if versionOf(p) != current {
			continue
		}
		if time.Since(p.GetLastAccessTime().AsTime()) < pollerFresh {
			return nil
		}
	}
	return fmt.Errorf("no worker of version %q polls task queue %s: start one", current, queue)
}

// versionOf returns the build id of a worker that gets tasks by its version, or "".
func versionOf(p *taskqueuepb.PollerInfo) string {
	if p.GetDeploymentOptions().GetWorkerVersioningMode() != enumspb.WORKER_VERSIONING_MODE_VERSIONED {
		return ""
	}
	return p.GetDeploymentOptions().GetBuildId()
}
