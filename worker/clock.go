package worker

import (
	"context"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// OwnClock is for the connection to the engine. It puts the time at which an activity was scheduled, which is the
// engine's, on this machine's clock: the SDK takes an activity's deadline from it. On a machine whose clock is ahead
// every activity would be too late from its start, and nothing would be sent or called.
func OwnClock(ctx context.Context, method string, request, answer any, c *grpc.ClientConn, call grpc.UnaryInvoker, o ...grpc.CallOption) error {
	err := call(ctx, method, request, answer, c, o...)
	if err != nil {
		return err
	}
	switch a := answer.(type) {
	case *workflowservice.PollActivityTaskQueueResponse:
		putOnClock(a, time.Now())
	case *workflowservice.RespondWorkflowTaskCompletedResponse:
		for _, task := range a.GetActivityTasks() {
			putOnClock(task, time.Now())
		}
	}
	return nil
}

// putOnClock moves the time of a task's schedule by the difference between now and its start, which the engine notes
// when it hands the task over.
func putOnClock(task *workflowservice.PollActivityTaskQueueResponse, now time.Time) {
	if task.GetScheduledTime() == nil || task.GetStartedTime() == nil {
		return
	}
	waited := task.GetStartedTime().AsTime().Sub(task.GetScheduledTime().AsTime())
	task.ScheduledTime = timestamppb.New(now.Add(-waited))
}
