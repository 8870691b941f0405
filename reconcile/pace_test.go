package reconcile

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/time/rate"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// slow is an engine that takes a while to describe the workflows of incidents, and knows none.
type slow struct {
	Temporal
	takes time.Duration
	mu    sync.Mutex
	asked []time.Time
}

func (e *slow) DescribeWorkflowExecution(ctx context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	e.mu.Lock()
	e.asked = append(e.asked, time.Now())
	e.mu.Unlock()
	if strings.HasPrefix(id, "incident/") {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(e.takes):
		}
	}
	return nil, serviceerror.NewNotFound("no such workflow")
}

func TestLooksAreBoundedAndReachSixThousandWorkflowsInAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slow{takes: 20 * time.Millisecond}
		p := (&Reconciler{Temporal: e, looks: newLooks()}).newPass()
		began := time.Now()
		var all sync.WaitGroup
		for range sideBySide {
			all.Go(func() {
				for range 6000 / sideBySide {
					if _, err := p.look(t.Context(), "incident/SI-1001-0001", models.IncidentWorkflow); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > time.Minute-passEvery {
			t.Errorf("6,000 looks took %s", took)
		}
		for n := 200; n < len(e.asked); n++ {
			if within := e.asked[n].Sub(e.asked[n-200]); within < time.Second {
				t.Fatalf("200 requests were sent within %s", within)
			}
		}
	})
}

func TestTheFewerWorkflowsTheFewerLooks(t *testing.T) {
	for looks, want := range map[int64]rate.Limit{0: 40, 200: 40, 1200: 40, 2400: 80, 6000: 120, 60000: 120} {
		if got := paceFor(looks); got != want {
			t.Errorf("%d looks at %v a second, want %v", looks, got, want)
		}
	}
}

// The comparison of many incidents takes a minute. What is wrong with the whole system shows meanwhile.
func TestALongComparisonDoesNotDelayTheAlarmsAboutTheSystem(t *testing.T) {
	s, _ := storetest.New(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	err = s.ForClient(t.Context(), store.SOC, c.ID, func(tx *store.Tx) error {
		i, err := tx.OpenIncident(incident.Opened{Title: "T", Severity: models.SeverityLow}, models.System(), time.Now(), "open", "f")
		if err != nil {
			return err
		}
		return tx.MarkRunning(i.Reference)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmWorkerLost, Subject: uuid.NewString(), Detail: "d"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startWithin-passEvery) // less than one look at the incident takes
	defer cancel()
	r := &Reconciler{Store: s, Temporal: &slow{takes: time.Hour}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for {
		open, err := s.OpenAlarms(ctx)
		if err == nil && len(open) == 0 {
			return // no worker is lost any more
		}
		if ctx.Err() != nil {
			t.Fatalf("the alarms %+v are open still", open)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A comparison may find the engine back while the check before is still about to say that it is down.
func TestAComparisonDoesNotEndTheAlarmAboutTheEngine(t *testing.T) {
	s, _ := storetest.New(t)
	r := &Reconciler{Store: s, Temporal: &slow{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if err := s.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmEngineDown, Subject: "temporal"}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
		open int
	}{{"a comparison", r.compare, 1}, {"a check", r.checkSystem, 0}} {
		if err := step.do(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := s.OpenAlarms(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		engine := 0
		for _, a := range all {
			if a.Kind == models.AlarmEngineDown {
				engine++
			}
		}
		if engine != step.open {
			t.Errorf("after %s %d alarms about the engine are open, want %d", step.name, engine, step.open)
		}
	}
}
