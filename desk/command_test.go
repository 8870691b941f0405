package desk_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// pausing is an engine that stands still until a moment: requests wait. As Temporal's client does, it gives a request no
// more than half of the time that the caller has.
type pausing struct {
	*desktest.Engine
	until time.Time
}

func (e *pausing) wait(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	select {
	case <-time.After(time.Until(deadline) / 2):
		return context.DeadlineExceeded
	case <-time.After(time.Until(e.until)):
		return nil
	}
}

func (e *pausing) UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	if err := e.wait(ctx); err != nil {
		return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(err)
	}
	return e.Engine.UpdateWorkflow(ctx, o)
}

func (e *pausing) SignalWorkflow(ctx context.Context, id, run, name string, arg any) error {
	if err := e.wait(ctx); err != nil {
		return err
	}
	return e.Engine.SignalWorkflow(ctx, id, run, name, arg)
}

// leaving is an engine whose answer comes when the person has gone.
type leaving struct {
	*desktest.Engine
	leave   context.CancelFunc
	request incident.CommandRequest // the last one
}

func (e *leaving) UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	h, err := e.Engine.UpdateWorkflow(ctx, o)
	e.request, _ = o.Args[0].(incident.CommandRequest)
	e.leave()
	if err != nil || ctx.Err() != nil {
		return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(ctx.Err())
	}
	return h, nil
}

// What was refused is worth nothing to anybody else, though who said it did not wait for the answer.
func TestARefusalIsNotedThoughThePersonWentAway(t *testing.T) {
	s, _ := newStore(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), LiveAt: time.Now()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := s.CreateUser(t.Context(), models.User{ClientID: c.ID, Name: "Admin", Email: "admin@acme.example", Role: models.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	e := &leaving{Engine: desktest.New(s, time.Now), leave: func() {}}
	d := desk.New(s, e, desk.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	i, _, err := d.OpenIncident(t.Context(), analyst, desk.OpenIncidentRequest{Client: c.Number, Title: "T", Severity: models.SeverityLow}, "open")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Command(t.Context(), analyst, "api", i.Reference, &incident.Expedite{}, "publish"); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	e.leave = leave
	_, _, err = d.Command(ctx, admin, "portal", i.Reference, &incident.Approve{Approval: "a1"}, "approve")
	if ctx.Err() == nil || err == nil {
		t.Fatalf("the approval of nothing: %v, gone %v", err, ctx.Err())
	}
	err = s.ForClient(t.Context(), store.Worker, c.ID, func(tx *store.Tx) error {
		said, stands, err := tx.Decision(e.request.RequestID, i.Reference)
		if err == nil && (stands || said.UserID != admin.ID) {
			t.Errorf("what was refused stands: %+v", said)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A command outlasts a pause of the engine of four times as long as an answer may take: eight seconds in life.
func TestACommandWaitsForAnEngineThatPauses(t *testing.T) {
	const wait = 500 * time.Millisecond
	s, _ := newStore(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), LiveAt: time.Now()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	e := &pausing{Engine: desktest.New(s, time.Now)}
	d := desk.New(s, e, desk.Options{UpdateWait: wait, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	i, _, err := d.OpenIncident(t.Context(), analyst, desk.OpenIncidentRequest{Client: c.Number, Title: "T", Severity: models.SeverityLow}, "open")
	if err != nil {
		t.Fatal(err)
	}
	comment := func() (bool, error) {
		_, queued, err := d.Command(t.Context(), analyst, "api", i.Reference, &incident.Comment{Text: "We look into it."}, uuid.NewString())
		return queued, err
	}
	e.until = time.Now().Add(4 * wait)
	if queued, err := comment(); err != nil || !queued || len(e.Signals()) != 1 {
		t.Errorf("during a pause: queued %t, %v, %d left for a worker", queued, err, len(e.Signals()))
	}
	began := time.Now()
	e.until = began.Add(time.Hour)
	if _, err := comment(); models.KindOf(err) != models.Unavailable || time.Since(began) > 10*wait {
		t.Errorf("after %s of an outage: %v", time.Since(began), err)
	}
}

// busy is an engine whose workers answer no update in time, and which takes signals.
type busy struct {
	*desktest.Engine
	mu      sync.Mutex
	updates int
	answers bool
}

func (e *busy) UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	e.mu.Lock()
	e.updates++
	answers := e.answers
	e.mu.Unlock()
	if answers {
		return e.Engine.UpdateWorkflow(ctx, o)
	}
	<-ctx.Done()
	return nil, client.NewWorkflowUpdateServiceTimeoutOrCanceledError(ctx.Err())
}

// When workers have more to do than they can, commands do not wait for them any more, nor add to it.
func TestCommandsDoNotWaitForWorkersThatAnswerNobody(t *testing.T) {
	const wait, many = 100 * time.Millisecond, 40
	s, _ := newStore(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), LiveAt: time.Now()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	e := &busy{Engine: desktest.New(s, time.Now), answers: true}
	d := desk.New(s, e, desk.Options{UpdateWait: wait, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	i, _, err := d.OpenIncident(t.Context(), analyst, desk.OpenIncidentRequest{Client: c.Number, Title: "T", Severity: models.SeverityLow}, "open")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Command(t.Context(), analyst, "api", i.Reference, &incident.Expedite{}, "publish"); err != nil {
		t.Fatal(err)
	}
	e.updates, e.answers = 0, false
	comment := func() bool {
		t.Helper()
		_, queued, err := d.Command(t.Context(), analyst, "api", i.Reference, &incident.Comment{Text: "We look into it."}, uuid.NewString())
		if err != nil {
			t.Fatal(err)
		}
		return queued
	}
	for range many {
		if !comment() {
			t.Fatal("a command that nobody answered was carried out")
		}
	}
	if len(e.Signals()) != many || e.updates > many/2 {
		t.Errorf("%d signals and %d updates for %d commands", len(e.Signals()), e.updates, many)
	}
	e.mu.Lock()
	e.answers = true
	e.mu.Unlock()
	for began := time.Now(); comment(); { // one is tried soon, and then each
		if time.Since(began) > 10*time.Second {
			t.Fatal("no update is tried though workers answer again")
		}
		<-time.After(wait) // a user may send only so many
	}
	before := e.updates
	for range 3 {
		if comment() {
			t.Error("a command is left as a signal though workers answer")
		}
	}
	if e.updates != before+3 {
		t.Errorf("%d updates for three commands", e.updates-before)
	}
}
