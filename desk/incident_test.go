package desk_test

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// references is an engine that knows incidents which the database does not, because it was restored from an older copy.
// look fails while a client's row is locked.
type references struct {
	desk.Temporal
	foreign map[models.Reference]bool
	down    *crowd // if not nil, it takes connections and does not answer
	asked   atomic.Int64
	alone   atomic.Int64 // requests that nobody came to while it did not answer
	locked  atomic.Int64 // requests during which a client's row was locked
	look    func(context.Context) error

	mu      sync.Mutex
	started map[string]bool
}

func (e *references) answer(ctx context.Context) error {
	if e.look != nil && e.look(ctx) != nil {
		e.locked.Add(1)
	}
	if e.down != nil {
		err := e.down.wait(ctx)
		if ctx.Err() != nil {
			e.alone.Add(1)
		}
		return err
	}
	return ctx.Err()
}

// crowd keeps requests without an answer until so many of a kind wait at the same time.
type crowd struct {
	size int

	mu      sync.Mutex
	waiting int
	full    chan struct{}
}

// wait returns DeadlineExceeded once the crowd is complete, or what ends ctx before.
func (c *crowd) wait(ctx context.Context) error {
	c.mu.Lock()
	full := c.full
	if c.waiting++; c.waiting == c.size {
		close(full)
		c.waiting, c.full = 0, make(chan struct{})
	}
	c.mu.Unlock()
	select {
	case <-full:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *references) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	if err := e.answer(ctx); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started[o.ID] || e.foreign[models.Reference(o.ID[len("incident/"):])] {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "")
	}
	e.started[o.ID] = true
	return nil, nil
}

func (e *references) DescribeWorkflowExecution(ctx context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	e.asked.Add(1)
	if err := e.answer(ctx); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.started[id] && !e.foreign[models.Reference(id[len("incident/"):])] {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{}, nil
}

// counter is a desk at which incidents of one client are opened.
type counter struct {
	*testing.T
	*desk.Desk
	client models.Client
	store  *store.Store
	engine *references
}

func newCounter(t *testing.T, wait time.Duration, foreign ...int) *counter {
	t.Helper()
	s, ownerURL := newStore(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), LiveAt: time.Now()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := pgx.Connect(t.Context(), ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(context.WithoutCancel(t.Context())) })
	e := &references{foreign: map[models.Reference]bool{}, started: map[string]bool{}}
	for _, n := range foreign {
		e.foreign[models.NewReference(c.Number, n)] = true
	}
	var one sync.Mutex // of the connection
	e.look = func(context.Context) error {
		one.Lock()
		defer one.Unlock()
		_, err := owner.Exec(t.Context(), "select 1 from clients for no key update nowait")
		return err
	}
	d := desk.New(s, e, desk.Options{UpdateWait: wait, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	return &counter{T: t, Desk: d, client: c, store: s, engine: e}
}

// open opens so many incidents at once and returns their references.
func (c *counter) open(at int) []models.Reference {
	c.Helper()
	given := make([]models.Reference, at)
	var all sync.WaitGroup
	for n := range given {
		all.Go(func() {
			i, _, err := c.OpenIncident(c.Context(), analyst, desk.OpenIncidentRequest{Client: c.client.Number, Title: "T", Severity: models.SeverityLow}, uuid.NewString())
			if err != nil {
				c.Errorf("open: %v", err)
			}
			given[n] = i.Reference
		})
	}
	all.Wait()
	return given
}

func (c *counter) wantDistinct(given []models.Reference) {
	c.Helper()
	seen := map[models.Reference]bool{}
	for _, r := range given {
		if seen[r] || c.engine.foreign[r] {
			c.Errorf("%s was given twice, or is another incident's", r)
		}
		seen[r] = true
	}
}

// No reference that the engine knows is given, however many incidents are opened at once, and nobody waits for the
// engine's answer to another opening.
func TestTheEngineIsAskedAboutReferencesOutsideOfTransactions(t *testing.T) {
	c := newCounter(t, time.Minute, 1, 2, 5, 11)
	given := c.open(1)
	if want := models.NewReference(c.client.Number, 3); given[0] != want {
		t.Errorf("the first incident is %s, want %s", given[0], want)
	}
	if n := c.engine.locked.Load(); n != 0 {
		t.Errorf("%d requests were sent while the client's row was locked", n)
	}
	alarms, err := c.store.OpenAlarms(t.Context())
	if err != nil || len(alarms) != 1 || alarms[0].Kind != models.AlarmReferenceSkipped || alarms[0].Subject != "client "+strconv.Itoa(c.client.Number) {
		t.Errorf("the alarms are %+v, %v", alarms, err)
	}
	c.engine.look = nil // from here on another opening may hold the lock at that moment
	more := c.open(24)
	given = append(given, more...)
	c.wantDistinct(given)
	last := models.NewReference(c.client.Number, len(given)+len(c.engine.foreign))
	if next := c.open(1); next[0].Number() != last.Number()+1 {
		t.Errorf("%s follows %s", next[0], last)
	}
}

func TestOpeningsOfOneClientDoNotWaitForEachOtherWhileTheEngineIsDown(t *testing.T) {
	c := newCounter(t, time.Minute, 1)
	c.engine.down = &crowd{size: 6, full: make(chan struct{})} // each asks for the look and for the start, side by side
	c.engine.look = nil
	given := c.open(6)
	asked := c.engine.asked.Load()
	more := c.open(6)
	if c.engine.alone.Load() > 0 || c.engine.asked.Load() != asked {
		t.Errorf("%d requests waited for another opening, and six more openings asked %d times about references", c.engine.alone.Load(), c.engine.asked.Load()-asked)
	}
	seen := map[models.Reference]bool{}
	for _, r := range append(given, more...) {
		seen[r] = true
	}
	if len(seen) != 12 {
		t.Errorf("twelve openings gave %d references", len(seen))
	}
}

// The repeat of an opening gets its incident, though the client is live meanwhile and the reason would be refused.
func TestTheRepeatOfAnOpeningGetsItsIncident(t *testing.T) {
	s, _ := newStore(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	d := desk.New(s, desktest.New(s, time.Now), desk.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	open := func(reason, key string) (models.Reference, error) {
		in := desk.OpenIncidentRequest{Client: c.Number, Title: "T", Severity: models.SeverityLow, OutsideContract: reason}
		i, _, err := d.OpenIncident(t.Context(), lead, in, key)
		return i.Reference, err
	}
	first, err := open("it burns", "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ForClient(t.Context(), store.SOC, c.ID, func(tx *store.Tx) error { _, err := tx.GoLive("x"); return err }); err != nil {
		t.Fatal(err)
	}
	if again, err := open("it burns", "k"); err != nil || again != first {
		t.Errorf("the repeat is answered with %q, %v, want %s", again, err, first)
	}
	for key, reason := range map[string]string{"k": "it still burns", "another": "it burns"} {
		if _, err := open(reason, key); models.KindOf(err) != models.Invalid {
			t.Errorf("request %s with %q: %v", key, reason, err)
		}
	}
}
