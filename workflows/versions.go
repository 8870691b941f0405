package workflows

import "go.temporal.io/sdk/workflow"

// The names of changes to what a workflow does. A run that passed such a place before the change goes on as it was
// begun.
const (
	// changeRoundsEndThemselves: a round of calls whose own report ended the matter is not told to stop, because it ends by
	// itself and the signal would fail. Before, it was.
	changeRoundsEndThemselves = "rounds-end-themselves"
)

// hasChange reports whether this run is to go the new way of a change.
func hasChange(ctx workflow.Context, change string) bool {
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) >= 1
}
