package workflows

import "go.temporal.io/sdk/workflow"

// The changes of what workflows do, for runs that began before them. Each constant is the id of one change, and its
// comment says what a run does that does not have it.

// changeBounded bounds an incident's run. Without it events go to the store in batches of any size, a command is
// accepted however much the incident holds, a repeat of a forgotten command is judged anew, and the run goes on in a
// new one only when every event is in the store.
const changeBounded = "bounded"

// has reports whether a run has a change: runs that began before it do not.
func has(ctx workflow.Context, change string) bool {
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) >= 1
}
