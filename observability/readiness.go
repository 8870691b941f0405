package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

const (
	checkTimeout = time.Second // of one part
	checkedFor   = time.Second // how long an answer is good for
)

// Part is one thing a process needs to do its job. Check returns nil when it is there; its error is logged by
// nobody and shown to nobody, because it may name hosts.
type Part struct {
	Name  string
	Check func(ctx context.Context) error
}

// Readiness says whether every part is there. It asks all parts at once and remembers the answer for a second, so
// that asking often costs nothing.
type Readiness struct {
	parts []Part

	mu      sync.Mutex
	checked time.Time
	states  map[string]string
	ready   bool
}

// NewReadiness makes a Readiness over parts. Without parts it is always ready.
func NewReadiness(parts ...Part) *Readiness { return &Readiness{parts: parts} }

// Check returns whether every part is there, and "ok" or "failing" by part.
func (r *Readiness) Check(ctx context.Context) (bool, map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states == nil || time.Since(r.checked) > checkedFor {
		r.ready, r.states = r.ask(context.WithoutCancel(ctx))
		r.checked = time.Now()
	}
	return r.ready, r.states
}

func (r *Readiness) ask(ctx context.Context) (bool, map[string]string) {
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
		case <-ctx.Done(): // a part that does not heed its deadline must not hold the answer up
		}
	}
	ready := true
	for _, s := range states {
		ready = ready && s == "ok"
	}
	return ready, states
}

// Handler answers /readyz: 200 when every part is there, else 503, and a JSON object of the parts.
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

// Database is the part of a database that must answer and have the present schema; store.Store is one.
type Database interface {
	Ping(ctx context.Context) error
	SchemaCurrent(ctx context.Context) error
}

// DatabaseParts are the parts "database" and "schema".
func DatabaseParts(db Database) []Part {
	return []Part{{Name: "database", Check: db.Ping}, {Name: "schema", Check: db.SchemaCurrent}}
}

// Temporal is what readiness asks of a Temporal client; client.Client satisfies it.
type Temporal interface {
	CheckHealth(ctx context.Context, request *client.CheckHealthRequest) (*client.CheckHealthResponse, error)
	DescribeTaskQueue(ctx context.Context, queue string, kind enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error)
}

// TemporalParts are the part "temporal" and a part "queue <name>" for every queue that needs a poller of a kind.
func TemporalParts(t Temporal, queues map[string]enumspb.TaskQueueType) []Part {
	parts := []Part{{Name: "temporal", Check: func(ctx context.Context) error {
		_, err := t.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	}}}
	for name, kind := range queues {
		parts = append(parts, Part{Name: "queue " + name, Check: func(ctx context.Context) error {
			return polled(ctx, t, name, kind)
		}})
	}
	return parts
}

// pollerFresh is how recent a poll must be: a worker polls at least once a minute, but one that died stays listed.
const pollerFresh = 70 * time.Second

func polled(ctx context.Context, t Temporal, queue string, kind enumspb.TaskQueueType) error {
	d, err := t.DescribeTaskQueue(ctx, queue, kind)
	if err != nil {
		return fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	for _, p := range d.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) < pollerFresh {
			return nil
		}
	}
	return fmt.Errorf("nobody polls task queue %s", queue)
}
