package bench

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
)

// Shape counts the parts of one life of an incident in the engine's terms, read from a history of ours. The bare life
// has the same updates, activities and local activities, in the same places; the rest is ours alone.
type Shape struct {
	Steps           []Step `json:"steps"`
	Updates         int    `json:"updates"`
	Activities      int    `json:"activities"`
	LocalActivities int    `json:"local_activities"`
	Timers          int    `json:"timers"`
	Attributes      int    `json:"search_attribute_updates"`
	WorkflowTasks   int    `json:"workflow_tasks"`
	Events          int    `json:"events"`
}

// Step is one update: the activities that its answer waits for, and those that run after it. Activities and local
// activities before the answer run one after the other; those behind it, which began before it, side by side; the later
// ones again in order.
type Step struct {
	LocalBefore int `json:"local_before_answer"`
	Before      int `json:"activities_before_answer"`
	Behind      int `json:"activities_behind_answer"`
	Later       int `json:"activities_after_answer"`
	LocalLater  int `json:"local_after_answer"`
}

// shapeReader makes a shape of the events of a history.
type shapeReader struct {
	Shape
	answered bool           // the last update has its answer
	pending  map[int64]bool // activities that began since the last update and before its answer, by their event's id
}

// shapeOf reads the shape of a workflow that has ended.
func shapeOf(ctx context.Context, c client.Client, id string) (Shape, error) {
	r := shapeReader{answered: true, pending: map[int64]bool{}}
	for iter := c.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); iter.HasNext(); {
		e, err := iter.Next()
		if err != nil {
			return r.Shape, fmt.Errorf("history of %s: %w", id, err)
		}
		r.Events++
		r.read(e)
	}
	return r.Shape, nil
}

// read counts one event.
func (r *shapeReader) read(e *historypb.HistoryEvent) {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
		r.Updates++
		r.Steps, r.answered = append(r.Steps, Step{}), false
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
		r.lastStep().Behind += len(r.pending) // the answer did not wait for them
		r.answered = true
		clear(r.pending)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		r.countActivity(e.GetEventId())
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		id := e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId()
		if r.pending[id] {
			r.lastStep().Before++
			delete(r.pending, id)
		}
	case enumspb.EVENT_TYPE_MARKER_RECORDED:
		r.countLocal(e.GetMarkerRecordedEventAttributes().GetMarkerName())
	case enumspb.EVENT_TYPE_TIMER_STARTED:
		r.Timers++
	case enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
		r.Attributes++
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		r.WorkflowTasks++
	}
}

// lastStep returns the step of the last update. Before the first update it returns one that is thrown away: the work
// counts, but belongs to no step.
func (r *shapeReader) lastStep() *Step {
	if len(r.Steps) == 0 {
		return &Step{}
	}
	return &r.Steps[len(r.Steps)-1]
}

// countActivity counts an activity that begins with an event.
func (r *shapeReader) countActivity(event int64) {
	r.Activities++
	if r.answered {
		r.lastStep().Later++
		return
	}
	r.pending[event] = true
}

// localMarker is the name of the marker that the SDK records for a local activity.
const localMarker = "LocalActivity"

// countLocal counts a local activity by its marker.
func (r *shapeReader) countLocal(marker string) {
	switch {
	case marker != localMarker:
		return
	case r.answered:
		r.lastStep().LocalLater++
	default:
		r.lastStep().LocalBefore++
	}
	r.LocalActivities++
}

// historyLength returns the number of events in the history of a workflow.
func historyLength(ctx context.Context, c client.Client, id string) (float64, error) {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return 0, fmt.Errorf("describe %s: %w", id, err)
	}
	return float64(d.GetWorkflowExecutionInfo().GetHistoryLength()), nil
}
