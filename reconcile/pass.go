package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
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
	// activityRecord and activityNotify are the types of the activities that hand events to the database.
	activityRecord = "Record"
	activityNotify = "Notify"
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
	toldKnown     bool      // the clients that were not told of changed contacts were listed
	complete      bool      // every watched incident and every open notice was listed
	now           time.Time // when the incidents or notices at hand were listed, by the database's clock

	mu       sync.Mutex
	raised   map[alarmKey]bool
	runs     map[string]string // the run of each incident's workflow that runs, by its id
	unjudged map[string]bool   // references, and ids of notices, about which this pass says nothing
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
	found, running bool   // a paused one runs, too
	strange        string // why it is none of ours, though it has an id of ours; "": it may be
	description    *workflowservice.DescribeWorkflowExecutionResponse
}

// look asks the engine about a workflow of a type. It is no error that there is none.
func (p *pass) look(ctx context.Context, id, kind string) (workflowState, error) {
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
	status := d.GetWorkflowExecutionInfo().GetStatus()
	running := status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || status == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
	s := workflowState{found: true, running: running, strange: strangeness(d, kind, p.now), description: d}
	if running && s.strange == "" {
		p.gone.Delete(id)
	}
	return s, nil
}

// strangeness says why a workflow with an id of ours is none of ours, at a moment, or "". Whoever reaches Temporal can
// start any. One of our types, on our queue, fails by itself when it has no input of ours. Ours never wait for their
// first task.
func strangeness(d *workflowservice.DescribeWorkflowExecutionResponse, kind string, now time.Time) string {
	i := d.GetWorkflowExecutionInfo()
	begins := i.GetExecutionTime().AsTime()
	switch queue := d.GetExecutionConfig().GetTaskQueue().GetName(); {
	case i.GetType().GetName() != kind:
		return fmt.Sprintf("has the type %.40q", i.GetType().GetName())
	case queue != models.QueueIncidents:
		return fmt.Sprintf("has the task queue %.40q", queue)
	case i.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && begins.After(now) && begins.Sub(i.GetStartTime().AsTime()) > time.Second:
		return "sleeps until " + begins.UTC().Format(time.RFC3339)
	}
	return ""
}

// checkStranger raises the alarm about a workflow that runs under an id of ours and is none of ours, and reports
// whether it is. Nothing is done to it: it may be of a later version than this process.
func (p *pass) checkStranger(ctx context.Context, subject string, s workflowState) bool {
	if !s.running || s.strange == "" {
		return false
	}
	end := "by watchfire reconcile -restart"
	if _, err := models.ParseReference(referenceOf(subject)); err != nil { // it is of no incident
		end = "in Temporal"
	}
	p.raise(ctx, models.AlarmConflict, subject, "what runs in the place of this workflow is none of ours: it "+s.strange+"; end it "+end)
	p.checkTask(ctx, subject, s)
	return true
}

// isLost reports whether a workflow is gone though it had not come to its end.
func (s workflowState) isLost() bool {
	return !s.running && (s.status() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED || s.strange != "")
}

// runID returns the id of the run, "" for none.
func (s workflowState) runID() string {
	return s.description.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// wasReset reports whether somebody took the run back to an earlier point.
func (s workflowState) wasReset() bool {
	return s.description.GetWorkflowExtendedInfo().GetLastResetTime() != nil
}

func (s workflowState) status() enumspb.WorkflowExecutionStatus {
	return s.description.GetWorkflowExecutionInfo().GetStatus()
}

// fate says in words what became of a workflow.
func (s workflowState) fate() string {
	if s.strange != "" {
		return "was replaced by one that " + s.strange
	}
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
	if s.status() == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED {
		p.raise(ctx, models.AlarmStuck, subject, "somebody paused the workflow in Temporal")
		stuck = true
	}
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
		if handsOver(a.GetActivityType()) && a.GetAttempt() >= recordAttempts {
			p.raise(ctx, models.AlarmNotRecorded, subject, "the database does not take the workflow's events: see its page in the Temporal UI")
			stuck = true
		}
	}
	return stuck
}

// isBusy reports whether a task of the workflow waits, or an attempt to hand over its events failed.
func (s workflowState) isBusy() bool {
	return s.description.GetPendingWorkflowTask() != nil ||
		slices.ContainsFunc(s.description.GetPendingActivities(), func(a *workflowpb.PendingActivityInfo) bool {
			return handsOver(a.GetActivityType()) && a.GetAttempt() > 1
		})
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

// handsOver reports whether an activity of a type hands events to the database.
func handsOver(t *commonpb.ActivityType) bool {
	return t.GetName() == activityRecord || t.GetName() == activityNotify
}
