package workflows

// Version numbers the behaviour of the workers: of the workflows and of the activities they ask for. Temporal knows a
// worker by it, and gives all tasks to the workers of one version, the current one. Each release that changes what a
// worker does raises it by one, so that an older worker never takes over; it is never lowered.
//
// It does not replace workflow.GetVersion: a worker of a newer version replays what older ones began.
const Version = 2
