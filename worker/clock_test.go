package worker_test

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/watchfire-mdr/watchfire/worker"
)

func TestAnActivityIsAsOldAsTheEngineSaysWhateverTheClock(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, 0, time.Hour} {
		engine := time.Now().Add(off)
		task := func() *workflowservice.PollActivityTaskQueueResponse {
			return &workflowservice.PollActivityTaskQueueResponse{
				ScheduledTime: timestamppb.New(engine.Add(-20 * time.Second)), StartedTime: timestamppb.New(engine),
			}
		}
		polled, eager := task(), &workflowservice.RespondWorkflowTaskCompletedResponse{ActivityTasks: []*workflowservice.PollActivityTaskQueueResponse{task()}}
		clock := worker.OwnClock()
		for _, answer := range []any{polled, eager, &workflowservice.PollActivityTaskQueueResponse{}} {
			err := clock(t.Context(), "", nil, answer, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, got := range []*workflowservice.PollActivityTaskQueueResponse{polled, eager.GetActivityTasks()[0]} {
			if age := time.Since(got.GetScheduledTime().AsTime()); age < 20*time.Second || age > 30*time.Second {
				t.Errorf("the engine's clock is %s off: an activity of 20 seconds ago is %s old", off, age)
			}
		}
	}
}

// The process stood still for a minute while a task was on its way to it.
func TestATaskThatLayInAStoppedProcessIsLate(t *testing.T) {
	clock := worker.OwnClock()
	for _, lay := range []time.Duration{0, time.Minute} {
		started := time.Now().Add(time.Hour - lay) // the engine's clock is an hour ahead
		task := &workflowservice.PollActivityTaskQueueResponse{ScheduledTime: timestamppb.New(started), StartedTime: timestamppb.New(started)}
		err := clock(t.Context(), "", nil, task, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if age := time.Since(task.GetScheduledTime().AsTime()); age < lay-time.Second || age > lay+10*time.Second {
			t.Errorf("a task that lay for %s is %s old", lay, age)
		}
	}
}
