package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// forever is longer than any incident lives.
const forever = 100 * 365 * 24 * time.Hour

// attemptWithin bounds one run of an activity: two mailers may be asked in it, each for a vendor's timeout.
const attemptWithin = 25 * time.Second

// localContext is for a store activity within the workflow task, which is tried until it succeeds or fails for good.
// Without a total bound of its own, the bound on one attempt would be the total.
func localContext(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout:    5 * time.Second,
		ScheduleToCloseTimeout: forever,
		Summary:                summary,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// queueContext is for an activity on a vendor's queue, which is tried for at most patience; then the workflow decides
// anew.
func queueContext(ctx workflow.Context, queue, summary string, patience time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		StartToCloseTimeout:    attemptWithin,
		ScheduleToCloseTimeout: patience,
		Summary:                summary,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}

// finished waits for an activity that has no result to tell but that it was done, which an activity of a version before
// did not. Whoever does not look at the answer believes any.
func finished(ctx workflow.Context, f workflow.Future) error {
	var done bool
	return f.Get(ctx, &done)
}
