package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// awaitFor waits for a condition, at most for a while, with one durable timer that is taken back when the condition
// comes first. It reports whether the condition holds. (The SDK's AwaitWithOptions leaves its timer running.)
func awaitFor(ctx workflow.Context, wait time.Duration, summary string, cond func() bool) (bool, error) {
	if wait <= 0 || cond() {
		return cond(), nil
	}
	timed, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timed, wait, workflow.TimerOptions{Summary: summary})
	err := workflow.Await(ctx, func() bool { return cond() || timer.IsReady() })
	return cond(), err
}

// awaitUntil waits as awaitFor does, until a moment.
func awaitUntil(ctx workflow.Context, at time.Time, summary string, cond func() bool) (bool, error) {
	return awaitFor(ctx, at.Sub(workflow.Now(ctx)), summary, cond)
}

// pause waits for a while, whatever happens.
func pause(ctx workflow.Context, wait time.Duration, summary string) error {
	return workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: summary}).Get(ctx, nil)
}

// yield lets every other coroutine go on first. The SDK fails a workflow task, again and again, in which one coroutine
// works for longer than a second, as on many long messages that came while no worker was there.
func yield(ctx workflow.Context) error {
	yielded := false
	return workflow.Await(ctx, func() bool {
		before := yielded
		yielded = true
		return before
	})
}
