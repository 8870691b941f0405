package workflows

import "go.temporal.io/sdk/workflow"

// goesOn reports whether this run goes on from an earlier one, which somebody may have begun, or reset, from an old state.
func goesOn(ctx workflow.Context) bool { return workflow.GetInfo(ctx).ContinuedExecutionRunID != "" }
