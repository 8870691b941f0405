package incident

import (
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// State is all that an incident's workflow carries: its argument at the start and at every continue-as-new. The
// workflow keeps nothing else that it needs later.
type State struct {
	Incident         Incident              `json:"incident"`
	Policy           models.Policy         `json:"policy"`
	Results          []RememberedResult    `json:"results,omitempty"`           // of the latest commands, to answer repeats
	Notifications    []notify.Notification `json:"notifications,omitempty"`     // messages not handed over yet
	PendingCalls     []notify.Recipient    `json:"pending_calls,omitempty"`     // contacts to call because a message did not reach them
	Rounds           []*notify.CallRound   `json:"rounds,omitempty"`            // of calls, under way
	FallbacksSent    []string              `json:"fallbacks_sent,omitempty"`    // messages that got a fallback over another channel, so that each gets one
	EndpointVersions map[string]int        `json:"endpoint_versions,omitempty"` // endpoint -> version of the desired state that its workflow knows
	Looks            map[string]Look       `json:"looks,omitempty"`             // endpoint -> the look at it before closure
	Managing         bool                  `json:"managing,omitempty"`          // the incident is over, and its devices need the workflow as long as they are not at rest
	ApprovalRounds   map[string]int        `json:"approval_rounds,omitempty"`   // approval -> how many call rounds were started about it
	Unrecorded       []Event               `json:"unrecorded,omitempty"`        // applied, and not known to be in the store
	UnrecordedBy     []CommandResult       `json:"unrecorded_by,omitempty"`     // the commands that made some of them
	UnrecordedCalls  []notify.CallEnd      `json:"unrecorded_calls,omitempty"`  // ends of calls that the ledger is not known to have
	// UnrecordedMessages are the messages to everyone that follow from unrecorded events, by their Seq. They were found when
	// each event was applied: the incident has changed since.
	UnrecordedMessages map[int][]notify.Notification `json:"unrecorded_messages,omitempty"`
	Missed             []notify.Statement            `json:"missed,omitempty"` // what contacts said to a run that was lost
}

// Look is a look at a released device before its incident is closed.
type Look struct {
	Number int  `json:"number"`
	Done   bool `json:"done,omitempty"`
}

// RememberedResult is the result of a command, or its rejection.
type RememberedResult struct {
	CommandResult
	Rejected bool `json:"rejected,omitempty"`
	// Of a rejected one: which Seq the store had when the request was sent, and why it was rejected; "" before that was kept.
	Recorded int         `json:"recorded,omitempty"`
	Kind     models.Kind `json:"kind,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Shown    bool        `json:"shown,omitempty"`  // as an event: it came as a signal, whose sender nobody could answer
	Unsaid   bool        `json:"unsaid,omitempty"` // the request did not say that it asks for this command
}
