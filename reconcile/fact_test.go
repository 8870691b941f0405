package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/reconcile"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// listener is an engine that takes signals. While it stands still, requests wait.
type listener struct {
	reconcile.Temporal
	stands bool
	fails  error           // of every signal
	runs   map[string]bool // by workflow id
	heard  []string        // workflow, name and payload, as the engine would keep it
}

func (e *listener) SignalWorkflow(ctx context.Context, id, _, name string, arg any) error {
	switch {
	case e.stands:
		<-ctx.Done()
		return ctx.Err()
	case e.fails != nil:
		return e.fails
	case !e.runs[id]:
		return serviceerror.NewNotFound("no such workflow")
	}
	p, err := converter.GetDefaultDataConverter().ToPayload(arg)
	e.heard = append(e.heard, fmt.Sprintf("%s %s %s %s", id, name, p.GetMetadata()["encoding"], p.GetData()))
	return err
}

// A person pressed a key while the engine stood still. They heard that it is recorded, so it must be.
func TestAFactThatTheEngineDidNotTakeIsToldLater(t *testing.T) {
	const wait = 200 * time.Millisecond
	s, _ := storetest.New(t)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	e := &listener{stands: true, runs: map[string]bool{}}
	d := desk.New(s, e, desk.Options{UpdateWait: wait, Log: log})
	r := &reconcile.Reconciler{Store: s, Temporal: e, Log: log}
	ref := models.NewReference(1001, 1)
	whole := ref.WorkflowID()
	press := notify.KeyPress{Effect: "call", Digit: notify.KeyAcknowledge}
	tell := func() {
		t.Helper()
		began := time.Now()
		if err := d.SignalFact(t.Context(), models.SignalKeyPress, press, whole); err != nil || time.Since(began) > 10*wait {
			t.Fatalf("a key press after %s: %v", time.Since(began), err)
		}
	}
	again := func() {
		t.Helper()
		if err := r.TellKept(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	raw, err := json.Marshal(press)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.SignalFact(gone, models.SignalKeyPress, press, whole); err != nil { // the carrier hung up on us
		t.Fatal(err)
	}
	e.stands = false
	again() // it does not run: it may be started again
	e.runs[whole] = true
	again()
	again()
	want := fmt.Sprintf("%s %s json/plain ", whole, models.SignalKeyPress)
	if len(e.heard) != 2 || !slices.Equal(e.heard, []string{e.heard[0], e.heard[0]}) || e.heard[0][:len(want)] != want || !sameJSON(t, e.heard[0][len(want):], string(raw)) {
		t.Errorf("heard %q, want twice %s%s", e.heard, want, raw)
	}
}

func TestAFactThatTheEngineWillNeverTakeHoldsNoOtherBack(t *testing.T) {
	s, _ := storetest.New(t)
	e := &listener{fails: serviceerror.NewInvalidArgument("too many signals"), runs: map[string]bool{"w": true}}
	r := &reconcile.Reconciler{Store: s, Temporal: e, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, fails := range []error{serviceerror.NewUnavailable("not now"), serviceerror.NewInvalidArgument("too many signals"), nil} {
		if err := s.KeepFact(t.Context(), "fact", map[string]int{}, "w"); err != nil {
			t.Fatal(err)
		}
		e.fails = fails
		err := r.TellKept(t.Context())
		var unavailable *serviceerror.Unavailable
		if errors.As(fails, &unavailable) != (err != nil) {
			t.Errorf("after %v: %v", fails, err)
		}
	}
	if len(e.heard) != 1 { // the two before were given up
		t.Errorf("heard %q", e.heard)
	}
	if left, err := s.KeptFacts(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("left %+v, %v", left, err)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y map[string]any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

// Temporal was restored: away for five minutes, and its copy lacks the workflow until the reconciler starts it.
func TestAFactOfALongOutageWaitsForTheRestart(t *testing.T) {
	s, owner := storetest.New(t)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	e := &listener{stands: true, runs: map[string]bool{}}
	d := desk.New(s, e, desk.Options{UpdateWait: 50 * time.Millisecond, Log: log})
	r := &reconcile.Reconciler{Store: s, Temporal: e, Log: log}
	w := models.NewReference(1001, 1).WorkflowID()
	if err := d.SignalFact(t.Context(), models.SignalUndelivered, notify.Undelivered{Effect: "mail"}, w); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), "update kept_facts set kept_at = kept_at - interval '5 minutes'"); err != nil {
		t.Fatal(err)
	}
	e.stands = false
	if err := r.TellKept(t.Context()); err != nil { // two seconds after Temporal is back
		t.Fatal(err)
	}
	e.runs[w] = true // the reconciler started the incident again, some seconds later
	if err := r.TellKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(e.heard) != 1 {
		t.Errorf("heard %q, want the reply once", e.heard)
	}
}

// The incident's workflow was terminated; the reconciler starts it again some seconds later.
func TestAFactForAWorkflowThatIsStartedAgainIsKept(t *testing.T) {
	s, _ := storetest.New(t)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	e := &listener{runs: map[string]bool{}}
	d := desk.New(s, e, desk.Options{UpdateWait: 50 * time.Millisecond, Log: log})
	r := &reconcile.Reconciler{Store: s, Temporal: e, Log: log}
	w := openIncident(t, s).Reference.WorkflowID()
	err := d.SignalFact(t.Context(), models.SignalUndelivered, notify.Undelivered{Effect: "mail"}, w)
	e.runs[w] = true
	if err := r.TellKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(e.heard) != 1 {
		t.Errorf("SignalFact: %v; heard %q, want the reply once", err, e.heard)
	}
}
