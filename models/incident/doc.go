// Package incident holds the incident: its state, the events that change it, the commands that people send, and
// everything that belongs to it alone (endpoints, approvals, questions, recommendations, revisions, drills).
//
// Incident.Decide turns a command into events, Incident.Apply applies an event. Both are pure: the workflow, the pages
// and the tests use the same rules.
package incident
