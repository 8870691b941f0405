package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	// forgottenAfter is how long a lost worker is shown while others do its work.
	forgottenAfter = 10 * time.Minute
	// canaryWithin is how long a worker has for its canary workflow, of which it starts one each minute.
	canaryWithin = 150 * time.Second
	// taskAttempts is how often a workflow's task may fail or time out before that is an alarm.
	taskAttempts = 3
	// takenWithin is how long a task may wait for a worker, while one runs.
	takenWithin = 45 * time.Second
	// recordAttempts is how often the database may refuse a workflow's events before that is an alarm.
	recordAttempts = 8
	// activityRecord is the type of the activity that hands events to the database.
	activityRecord = "Record"
)

type alarmKey struct {
	kind    models.AlarmKind
	subject string
}

// pass is one comparison of store and engine.
type pass struct {
	*Reconciler
	workersKnown  bool      // the list of workers was read
	engineAnswers bool      // checkEngine found so
	complete      bool      // every watched incident was listed
	now           time.Time // when the incidents at hand were listed, by the database's clock

	looked   atomic.Int64
	mu       sync.Mutex
	raised   map[alarmKey]bool
	unjudged map[string]bool // references about which this pass says nothing
}

// referenceOf returns the reference in the subject of an alarm: the reference itself, or in the id of a workflow.
func referenceOf(subject string) string {
	rest, isID := strings.CutPrefix(subject, "incident/")
	if !isID {
		return subject
	}
	reference, _, _ := strings.Cut(rest, "/")
	return reference
}

// workflowState is what the engine says of a workflow.
type workflowState struct {
	found, running bool
	description    *workflowservice.DescribeWorkflowExecutionResponse
}

// look asks the engine about a workflow. It is no error that there is none.
func (p *pass) look(ctx context.Context, id string) (workflowState, error) {
	p.looked.Add(1)
	if p.looks != nil {
		if err := p.looks.Wait(ctx); err != nil {
			return workflowState{}, fmt.Errorf("look at %s: %w", id, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	d, err := p.Temporal.DescribeWorkflowExecution(ctx, id, "")
	var none *serviceerror.NotFound
	switch {
	case errors.As(err, &none):
		return workflowState{}, nil
	case err != nil:
		return workflowState{}, fmt.Errorf("look at %s: %w", id, err)
	}
	running := d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	if running {
		p.gone.Delete(id)
	}
	return workflowState{found: true, running: running, description: d}, nil
}

// isLost reports whether a workflow is gone though it had not come to its end.
func (s workflowState) isLost() bool {
	return !s.running && s.status() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
}

func (s workflowState) status() enumspb.WorkflowExecutionStatus {
	return s.description.GetWorkflowExecutionInfo().GetStatus()
}

// fate says in words what became of a workflow.
func (s workflowState) fate() string {
	switch s.status() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		return "was terminated"
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		return "failed"
	case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return "timed out"
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return "was cancelled"
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return "came to its end"
	}
	return "is not known to the engine"
}

// checkTask raises the alarm about a workflow that runs and makes no progress, and reports whether it did.
func (p *pass) checkTask(ctx context.Context, subject string, s workflowState) (stuck bool) {
	if t := s.description.GetPendingWorkflowTask(); t != nil {
		waits := t.GetState() == enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED && p.now.Sub(t.GetOriginalScheduledTime().AsTime()) > takenWithin
		switch {
		case t.GetAttempt() >= taskAttempts:
			p.raise(ctx, models.AlarmStuck, subject, "a task of the workflow fails again and again: see its page in the Temporal UI")
			stuck = true
		case waits && p.workersRun.Load():
			p.raise(ctx, models.AlarmStuck, subject, "no worker takes a task of the workflow, though one runs")
			stuck = true
		}
	}
	for _, a := range s.description.GetPendingActivities() {
		if a.GetActivityType().GetName() == activityRecord && a.GetAttempt() >= recordAttempts {
			p.raise(ctx, models.AlarmNotRecorded, subject, "the database does not take the workflow's events: see its page in the Temporal UI")
			stuck = true
		}
	}
	return stuck
}

// checkWorkers raises the alarms about workers that are silent or do no work.
func (p *pass) checkWorkers(ctx context.Context) error {
	workers, err := p.Store.Workers(ctx)
	if err != nil {
		return fmt.Errorf("check workers: %w", err)
	}
	p.workersKnown = true
	youngestAge := time.Duration(-1) // of the workers that run; below 0: none does
	for _, w := range workers {
		if w.IsAlive() && (youngestAge < 0 || w.Age < youngestAge) {
			youngestAge = w.Age
		}
	}
	run := youngestAge >= 0
	p.workersRun.Store(run)
	if !run && time.Since(p.began) > settleIn {
		p.raise(ctx, models.AlarmNoWorker, "worker", "no worker runs: nothing is called, sent, isolated or recorded")
	}
	var problems []error
	for _, w := range workers {
		switch replaced := run && (youngestAge < w.Silence || w.Silence > forgottenAfter); {
		case w.IsAlive() && w.CanaryAge > canaryWithin:
			p.raise(ctx, models.AlarmCanary, w.ID.String(), "a worker runs and does not bring its canary workflow to an end")
		case w.IsAlive():
		case replaced: // another worker started since
			problems = append(problems, p.Store.NoteStopped(ctx, w.ID))
		default:
			p.raise(ctx, models.AlarmWorkerLost, w.ID.String(), "a worker went silent without stopping: it died, or stands still")
		}
	}
	return errors.Join(problems...)
}
