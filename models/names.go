package models

import (
	"time"

	"github.com/google/uuid"
)

// The types of workflows.
const (
	IncidentWorkflow      = "Incident"
	EndpointWorkflow      = "Endpoint"
	ChannelCheckWorkflow  = "ChannelCheck"
	ContactNoticeWorkflow = "ContactNotice"
	EDRCheckWorkflow      = "EDRCheck"
	CanaryWorkflow        = "Canary"
)

// CanaryWorkflowID is the id of the workflow that proves that a worker process does its work.
func CanaryWorkflowID(process uuid.UUID) string { return "canary/" + process.String() }

// WorkflowTaskTimeout is how long a worker may take over one task of an incident's workflow or of its children before
// the task goes to another worker. A worker that is stopped, but not dead, holds a task for so long.
const WorkflowTaskTimeout = 5 * time.Second

// The task queues.
const (
	QueueIncidents = "incidents"
	QueueMail      = "mail"
	QueuePhone     = "phone"
	QueueEDR       = "edr"
)

// The search attributes: keywords except AttributeDrill, which is a bool.
const (
	AttributeClient      = "WatchfireClient"
	AttributePhase       = "WatchfirePhase"
	AttributeTurn        = "WatchfireTurn"
	AttributeSeverity    = "WatchfireSeverity"
	AttributeContainment = "WatchfireContainment"
	AttributeDrill       = "WatchfireDrill"
)

// The signals that carry facts, with their arguments.
const (
	SignalKeyPress         = "key-press"         // KeyPress, from the hook of a call to its incident
	SignalCallProgress     = "call-progress"     // CallProgress, from the same hooks
	SignalEndpointObserved = "endpoint-observed" // EndpointObserved, from an endpoint to its incident
	SignalDesiredState     = "desired-state"     // DesiredState, from an incident to an endpoint
	SignalDeviceReleased   = "device-released"   // Reference of the incident that released the device for all, to an endpoint of another
	SignalUndelivered      = "undelivered"       // Undelivered, from a hook to an incident
	SignalTextReply        = "text-reply"        // TextReply, from the text hook to an incident
	SignalRefused          = "refused"           // RefusedSignal, from an endpoint to its incident
	SignalStoreAhead       = "store-ahead"       // Seq of the store's last event, from the reconciler to an incident that was reset
	SignalEndpointAnew     = "endpoint-anew"     // id of an endpoint, from the reconciler or from its new run, to its incident: its workflow may not know what the last one knew
	SignalRenew            = "renew"             // no argument, from the operator to an incident or an endpoint: go on in a new run
)

// The queries of an incident's workflow.
const (
	QueryIncident = "incident" // answers Incident
)

// RefusedSignal reports a signal that was not believed.
type RefusedSignal struct {
	Workflow string `json:"workflow"` // the id of the one that got it
	Signal   string `json:"signal"`
}
