package reconcile

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/types/known/timestamppb"

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
		r := &Reconciler{Temporal: e}
		r.lookAgain()
		p := r.newPass()
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

// listing is an engine that lists and describes the runs of workflows, by id.
type listing struct {
	Temporal
	runs  map[string]string
	mu    sync.Mutex
	asked map[string]int // looks since the last pass, by id
	began []string       // ids of workflows
	reset string         // id of the one that somebody reset
	busy  string         // id of the one that has a task which waits
	fails int            // signals that are not taken
	told  []string       // ids of workflows
}

func (e *listing) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	page := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, id := range slices.Sorted(maps.Keys(e.runs)) {
		if len(page.Executions) < int(r.GetPageSize())/10 && id > string(r.GetNextPageToken()) {
			page.Executions = append(page.Executions, &workflowpb.WorkflowExecutionInfo{
				Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: e.runs[id]}, TaskQueue: models.QueueIncidents,
			})
			page.NextPageToken = []byte(id)
		}
	}
	if len(page.Executions) < int(r.GetPageSize())/10 {
		page.NextPageToken = nil
	}
	return page, nil
}

func (e *listing) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked[id]++
	run, runs := e.runs[id]
	if !runs {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	d := &workflowservice.DescribeWorkflowExecutionResponse{
		ExecutionConfig: &workflowpb.WorkflowExecutionConfig{TaskQueue: &taskqueuepb.TaskQueue{Name: models.QueueIncidents}},
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}, Type: &commonpb.WorkflowType{Name: models.IncidentWorkflow},
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, FirstRunId: run, StartTime: timestamppb.New(began), ExecutionTime: timestamppb.New(began),
		},
		WorkflowExtendedInfo: &workflowpb.WorkflowExecutionExtendedInfo{},
	}
	if id == e.reset {
		d.WorkflowExtendedInfo.LastResetTime = timestamppb.Now()
	}
	if id == e.busy {
		d.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{Attempt: 1, OriginalScheduledTime: timestamppb.Now()}
	}
	return d, nil
}

func (e *listing) SignalWorkflow(_ context.Context, id, _, _ string, _ any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fails--; e.fails >= 0 {
		return serviceerror.NewUnavailable("not now")
	}
	e.told = append(e.told, id)
	return nil
}

// began is when the incidents of the listing and their workflows began.
var began = time.Now().Add(-time.Hour)

func (e *listing) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.began = append(e.began, o.ID)
	return nil, nil
}

// Many incidents run. Each is looked at in its turn, and in each pass when Temporal lists another run of it, or none, when there
// is an alarm about it or a task of it waits, when it had an event lately, and when what was to be done about it failed.
func TestWhatIsSuspiciousIsLookedAtInEachPass(t *testing.T) {
	s, _ := storetest.New(t)
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	e := &listing{runs: map[string]string{}, asked: map[string]int{}}
	var refs []models.Reference
	for n := range 3 * calmAtOnce {
		err := s.ForClient(t.Context(), store.SOC, c.ID, func(tx *store.Tx) error {
			i, err := tx.OpenIncident(incident.Opened{Title: "T", Severity: models.SeverityLow}, models.System(), began, fmt.Sprint("open ", n), "f")
			if err != nil {
				return err
			}
			refs = append(refs, i.Reference)
			e.runs[i.Reference.WorkflowID()] = "run 1"
			return tx.MarkRunning(i.Reference)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r := &Reconciler{Store: s, Temporal: e, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	r.lookAgain()
	r.looks, r.calmLooks = rate.NewLimiter(rate.Inf, 1), rate.NewLimiter(rate.Inf, 1)
	total := map[string]int{}
	compare := func() (asked map[string]int) {
		t.Helper()
		clear(e.asked)
		if err := r.compare(t.Context()); err != nil {
			t.Fatal(err)
		}
		delete(e.asked, "no such workflow")
		for id := range e.asked {
			total[id]++
		}
		return maps.Clone(e.asked)
	}
	if asked := compare(); len(asked) != len(refs) {
		t.Fatalf("the first pass looked at %d of %d incidents", len(asked), len(refs))
	}
	clear(total)
	for range 3 {
		if asked := compare(); len(asked) > len(refs)/2 {
			t.Errorf("a pass looked at %d of %d calm incidents", len(asked), len(refs))
		}
	}
	if len(total) != len(refs) {
		t.Errorf("in three passes %d of %d incidents were looked at", len(total), len(refs))
	}
	id := func(n int) string { return refs[n].WorkflowID() }
	if err := s.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmStuck, Subject: string(refs[20]), Detail: "d"}); err != nil {
		t.Fatal(err)
	}
	err = s.ForClient(t.Context(), store.Worker, c.ID, func(tx *store.Tx) error {
		i, err := tx.Incident(refs[40])
		if err != nil {
			return err
		}
		return tx.Record(i.Reference, []incident.Event{incident.NewEvent(i, time.Now(), models.Actor{Side: models.SideSOC, ID: "a", Role: models.RoleAnalyst}, &incident.Recommended{ID: "r1", Text: "t"})})
	})
	if err != nil {
		t.Fatal(err)
	}
	e.runs[id(250)], e.reset, e.fails = "run 2", id(250), 1
	delete(e.runs, id(30))
	e.busy, e.runs[id(50)] = id(50), "run 2"
	clear(e.asked)
	if err := r.compare(t.Context()); err == nil {
		t.Error("no error says that a reset incident could not be told")
	}
	if e.asked[id(20)] == 0 || !slices.Equal(e.began, []string{id(30)}) {
		t.Errorf("looked at the incident of the alarm %d times; began %v, want %s", e.asked[id(20)], e.began, id(30))
	}
	open, err := s.OpenAlarms(t.Context())
	if err != nil || len(open) != 1 || open[0].Subject != string(refs[30]) {
		t.Errorf("the open alarms are %+v, %v, want the one about the incident without a workflow", open, err)
	}
	e.runs[id(30)] = "run 2"
	if asked := compare(); !slices.Equal(e.told, []string{id(250)}) || asked[id(40)] == 0 || asked[id(50)] == 0 {
		t.Errorf("told %v, want %s; looked at the one with an event %d times, at the one whose task waits %d times", e.told, id(250), asked[id(40)], asked[id(50)])
	}
	for range 2 { // whatever turn it is
		if asked := compare(); asked[id(40)] == 0 || asked[id(50)] == 0 || len(asked) > len(refs)/2 {
			t.Errorf("looked at %d incidents, at the one with an event %d times, at the one whose task waits %d times", len(asked), asked[id(40)], asked[id(50)])
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
