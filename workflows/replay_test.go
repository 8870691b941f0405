package workflows_test

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	tlog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/workflows"
)

// histories are recorded once, from real runs on a real server, and never edited: every later version of the
// workflows must be able to replay them.
func histories(t *testing.T) []string {
	files, err := filepath.Glob("testdata/histories/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there is no recorded history to replay")
	}
	return files
}

func replay(t *testing.T, file string, incident any) error {
	t.Helper()
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		Interceptors: []interceptor.WorkerInterceptor{observability.Requests()}, // as the product's workers
	})
	if err != nil {
		t.Fatal(err)
	}
	r.RegisterWorkflowWithOptions(incident, workflow.RegisterOptions{Name: models.IncidentWorkflow})
	r.RegisterWorkflowWithOptions(workflows.Endpoint, workflow.RegisterOptions{Name: models.EndpointWorkflow})
	kept, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	history, err := client.HistoryFromJSON(kept, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
	quiet := tlog.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	return r.ReplayWorkflowHistoryWithOptions(quiet, history, worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id}})
}

func TestRecordedHistoriesReplay(t *testing.T) {
	for _, file := range histories(t) {
		if err := replay(t, file, workflows.Incident); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestAChangedWorkflowFailsToReplay shows that the test above is able to fail.
func TestAChangedWorkflowFailsToReplay(t *testing.T) {
	mutants := map[string]func(workflow.Context, incident.State) error{
		"waits first": func(ctx workflow.Context, run incident.State) error {
			if err := workflow.Sleep(ctx, time.Second); err != nil {
				return err
			}
			return workflows.Incident(ctx, run)
		},
		"has another policy": func(ctx workflow.Context, run incident.State) error {
			run.Incident.Severity = models.SeverityLow
			return workflows.Incident(ctx, run)
		},
	}
	for name, mutant := range mutants {
		caught := false
		for _, file := range histories(t) {
			caught = caught || replay(t, file, mutant) != nil
		}
		if !caught {
			t.Errorf("a workflow that %s replays every history", name)
		}
	}
}
