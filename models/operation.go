package models

import (
	"time"

	"github.com/google/uuid"
)

// AlarmKind says what an operator's alarm is about.
type AlarmKind string

// The kinds of alarms.
const (
	AlarmNotRunning       AlarmKind = "not_running"       // a workflow did not run though its incident or device needs it
	AlarmStuck            AlarmKind = "stuck"             // a workflow's task fails again and again, or nobody takes it
	AlarmNotRecorded      AlarmKind = "not_recorded"      // the database does not take a workflow's events
	AlarmConflict         AlarmKind = "conflict"          // the engine's workflow is not this incident's, or says that it is over
	AlarmReferenceSkipped AlarmKind = "reference_skipped" // a reference was not given because the engine knows it
	AlarmNoWorker         AlarmKind = "no_worker"         // no worker runs
	AlarmWorkerLost       AlarmKind = "worker_lost"       // a worker went silent without stopping
	AlarmCanary           AlarmKind = "canary"            // a worker that runs does not bring its canary workflow to an end
	AlarmEngineDown       AlarmKind = "engine_down"       // Temporal does not answer
	AlarmLogAltered       AlarmKind = "log_altered"       // an event log is not what was written and signed
	AlarmChangesNotTold   AlarmKind = "changes_not_told"  // a change of a client's contacts was not told for long
	AlarmMailerRefuses    AlarmKind = "mailer_refuses"    // a mailer refuses our credentials or settings, and another takes the mails
)

// Alarm is something that is wrong with the system, for its operator. It holds no data of a client but a reference.
type Alarm struct {
	ID        uuid.UUID `json:"id"`
	Kind      AlarmKind `json:"kind"`
	Subject   string    `json:"subject"`
	Detail    string    `json:"detail"`
	Since     time.Time `json:"since"`
	LastSeen  time.Time `json:"last_seen"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Announced []string  `json:"-"` // the bulletins that went out about it
}

// Process is a process of the product that runs, or stopped without saying so. Ages are by the database's clock.
type Process struct {
	ID        uuid.UUID
	Age       time.Duration // since its start
	Silence   time.Duration // since it was seen last
	CanaryAge time.Duration // since its canary workflow last came to its end, or since its start
}

// silentAfter is how long after its last heartbeat a process counts as dead, or standing still. A worker writes one
// every two seconds.
const silentAfter = 10 * time.Second

// IsAlive reports whether the process was seen lately.
func (p Process) IsAlive() bool { return p.Silence < silentAfter }
