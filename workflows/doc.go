// Package workflows holds the durable life of an incident and of what has a life of its own within it: a round of
// calls, an endpoint's containment.
//
// An incident's workflow decides; the store remembers. All state is in models.Statelers of commands
// change that state before they block; everything slow is done by a handful of coroutines that each look at the
// state and do one thing. No error is ever returned for a vendor's failure: it becomes an event and a task.
package workflows
