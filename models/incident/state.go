package incident

import (
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// State is all that an incident's workflow carries: its argument at the start and at every
// continue-as-new. Nothing the workflow needs lives outside it.
type State struct {
	Incident         Incident              `json:"incident"`
	Policy           models.Policy         `json:"policy"`
	Results          []CommandResult       `json:"results,omitempty"`           // of the latest commands, to answer repeats
	Rejected         []CommandResult       `json:"rejected,omitempty"`          // the latest commands that were refused when nobody could be told
	Notifications    []notify.Notification `json:"notifications,omitempty"`     // messages not handed over yet
	PendingCalls     []notify.Recipient    `json:"pending_calls,omitempty"`     // contacts to be called because a message did not reach them
	FallbacksSent    []string              `json:"fallbacks_sent,omitempty"`    // messages another channel was tried for, so that it is tried once
	EndpointVersions map[string]int        `json:"endpoint_versions,omitempty"` // endpoint -> number of the wish its workflow was told
	ApprovalRounds   map[string]int        `json:"approval_rounds,omitempty"`   // approval -> how often contacts were called about it
}
