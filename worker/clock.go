package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// clockSamples is from how many tasks the difference between the clocks is taken.
const clockSamples = 16

// OwnClock returns an interceptor for the connection to the engine. It puts the time at which an activity was scheduled,
// which is the engine's, on this machine's clock: the SDK takes an activity's deadline from it. On a machine whose clock
// is ahead every activity would be too late from its start, and nothing would be sent or called.
//
// The difference between the clocks is the smallest of the last tasks, which take longer or shorter to arrive. So a task
// that lay in a process that stood still is as late as it is.
func OwnClock() grpc.UnaryClientInterceptor {
	c := &clock{}
	return func(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, call grpc.UnaryInvoker, o ...grpc.CallOption) error {
		err := call(ctx, method, request, answer, conn, o...)
		if err != nil {
			return err
		}
		switch a := answer.(type) {
		case *workflowservice.PollActivityTaskQueueResponse:
			c.put(a, time.Now())
		case *workflowservice.RespondWorkflowTaskCompletedResponse:
			for _, task := range a.GetActivityTasks() {
				c.put(task, time.Now())
			}
		}
		return nil
	}
}

// clock knows the differences between this machine's clock and the engine's by the last tasks.
type clock struct {
	mu      sync.Mutex
	samples []time.Duration
}

// put moves the time of a task's schedule by the difference between the clocks. The engine notes when it hands a task
// over.
func (c *clock) put(task *workflowservice.PollActivityTaskQueueResponse, now time.Time) {
	if task.GetScheduledTime() == nil || task.GetStartedTime() == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples = append(c.samples, now.Sub(task.GetStartedTime().AsTime()))
	c.samples = c.samples[max(len(c.samples)-clockSamples, 0):]
	task.ScheduledTime = timestamppb.New(task.GetScheduledTime().AsTime().Add(slices.Min(c.samples)))
}
