package bench

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
)

// Shape is what one life of an incident consists of in the engine's terms, read from a history of ours. The bare
// life has the same updates, activities and local activities, in the same places; the rest is ours alone.
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

// Step is one update: what its answer waits for, and what is done behind its back. Activities and local activities
// before the answer run one after the other, those behind it side by side, the later ones again in order.
type Step struct {
	LocalBefore int `json:"local_before_answer"`
	Before      int `json:"activities_before_answer"`
	Behind      int `json:"activities_behind_answer"`
	Later       int `json:"activities_after_answer"`
	LocalLater  int `json:"local_after_answer"`
}

// reader makes a shape of a history.
type reader struct {
	Shape
	answered bool           // the last update
	under    map[int64]bool // activities asked for since the last update, which is not answered yet, by their event's id
}

// shapeOf reads the shape of a workflow that has ended.
func shapeOf(ctx context.Context, c client.Client, id string) (Shape, error) {
	r := reader{answered: true, under: map[int64]bool{}}
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

func (r *reader) read(e *historypb.HistoryEvent) {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
		r.Updates++
		r.Steps, r.answered = append(r.Steps, Step{}), false
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
		r.step().Behind += len(r.under) // the answer did not wait for them
		r.answered = true
		clear(r.under)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		r.activity(e.GetEventId())
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		id := e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId()
		if r.under[id] {
			r.step().Before++
			delete(r.under, id)
		}
	case enumspb.EVENT_TYPE_MARKER_RECORDED:
		r.local(e.GetMarkerRecordedEventAttributes().GetMarkerName())
	case enumspb.EVENT_TYPE_TIMER_STARTED:
		r.Timers++
	case enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
		r.Attributes++
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		r.WorkflowTasks++
	}
}

// step is the update that comes last; what is done before the first is counted, but of no step.
func (r *reader) step() *Step {
	if len(r.Steps) == 0 {
		return &Step{}
	}
	return &r.Steps[len(r.Steps)-1]
}

func (r *reader) activity(event int64) {
	r.Activities++
	if r.answered {
		r.step().Later++
		return
	}
	r.under[event] = true
}

// localMarker is what the SDK calls the trace a local activity leaves.
const localMarker = "LocalActivity"

func (r *reader) local(marker string) {
	switch {
	case marker != localMarker:
		return
	case r.answered:
		r.step().LocalLater++
	default:
		r.step().LocalBefore++
	}
	r.LocalActivities++
}

// historyLength is the number of events in the history of a workflow.
func historyLength(ctx context.Context, c client.Client, id string) (float64, error) {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return 0, fmt.Errorf("describe %s: %w", id, err)
	}
	return float64(d.GetWorkflowExecutionInfo().GetHistoryLength()), nil
}
