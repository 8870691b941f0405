// Package workflows holds the durable life of an incident and of the things within it that have a life of their own: a
// round of calls, an endpoint's containment.
//
// An incident's workflow decides; the store remembers. incident.State is all that a run carries. Handlers of commands
// change that state before they block; coroutines that each watch the state and do one thing do everything slow. A
// vendor's failure is never returned as an error: it becomes an event and a task.
package workflows
