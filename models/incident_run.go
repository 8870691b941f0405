package models

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Names that the desk, the hooks and the workflows share. Search attributes are keywords except
// AttributeDrill, which is a bool.
const (
	IncidentWorkflow     = "Incident"
	CallRoundWorkflow    = "CallRound"
	EndpointWorkflow     = "Endpoint"
	ChannelCheckWorkflow = "ChannelCheck"
	EDRCheckWorkflow     = "EDRCheck"

	QueueIncidents = "incidents"
	QueueMail      = "mail"
	QueuePhone     = "phone"
	QueueEDR       = "edr"

	AttributeClient      = "WatchfireClient"
	AttributePhase       = "WatchfirePhase"
	AttributeTurn        = "WatchfireTurn"
	AttributeSeverity    = "WatchfireSeverity"
	AttributeContainment = "WatchfireContainment"
	AttributeDrill       = "WatchfireDrill"

	SignalKeyPress         = "key-press"         // KeyPress, to a call round, or to its incident when that is over
	SignalCallProgress     = "call-progress"     // CallProgress, to a call round
	SignalStopCalls        = "stop-calls"        // no argument, to a call round: somebody acknowledged
	SignalContactCalled    = "contact-called"    // CallResult, from a round to its incident
	SignalCallRoundEnded   = "call-round-ended"  // CallRoundResult, from a round to its incident
	SignalPhoneConsent     = "phone-consent"     // PhoneConsent, from a round of calls for an approval to its incident
	SignalEndpointObserved = "endpoint-observed" // EndpointObserved, from an endpoint to its incident
	SignalDesiredState     = "desired-state"     // DesiredState, from an incident to an endpoint
	SignalUndelivered      = "undelivered"       // Undelivered, from a hook to an incident
	SignalTextReply        = "text-reply"        // Reply, from the text hook to an incident

	QueryIncident = "incident" // answers Incident
)

// State is all that an incident's workflow carries: its argument at the start and at every
// continue-as-new. Nothing the workflow needs lives outside it.
type State struct {
	Incident         Incident        `json:"incident"`
	Policy           Policy          `json:"policy"`
	Results          []CommandResult `json:"results,omitempty"`           // of the latest commands, to answer repeats
	Rejected         []CommandResult `json:"rejected,omitempty"`          // the latest commands that were refused when nobody could be told
	Notifications    []Notification  `json:"notifications,omitempty"`     // messages not handed over yet
	PendingCalls     []Recipient     `json:"pending_calls,omitempty"`     // contacts to be called because a message did not reach them
	FallbacksSent    []string        `json:"fallbacks_sent,omitempty"`    // messages another channel was tried for, so that it is tried once
	EndpointVersions map[string]int  `json:"endpoint_versions,omitempty"` // endpoint -> number of the wish its workflow was told
	ApprovalRounds   map[string]int  `json:"approval_rounds,omitempty"`   // approval -> how often contacts were called about it
}

// Notification is a message that is due: to one contact over one channel, or, while Contact is the zero UUID, to everyone
// whose rule matches.
type Notification struct {
	Purpose    Purpose   `json:"purpose"`
	Revision   int       `json:"revision"`
	Occurrence int       `json:"occurrence"`
	Contact    uuid.UUID `json:"contact"`
	Channel    Channel   `json:"channel,omitempty"`
	At         time.Time `json:"at,omitzero"`        // not before: the contact's hours
	Question   string    `json:"question,omitempty"` // it is about; "" stands for any open one
	Severity   Severity  `json:"severity,omitempty"` // of the incident when it fell due; "" when that is not known
}

// AddressedTo returns the notice to one contact, as planned.
func (n Notification) AddressedTo(r Recipient) Notification {
	n.Contact, n.Channel, n.At = r.Contact, r.Channel, r.At
	return n
}

// Over reports whether the notice's reason is gone before it was sent: the client is not to be reminded of what is
// not theirs any more.
func (n Notification) Over(i Incident) bool {
	switch n.Purpose {
	case PurposeReminder:
		return i.Turn != TurnClient || i.IsOver()
	case PurposeQuestion, PurposeQuestionReminder:
		return i.IsOver() || !slices.ContainsFunc(i.Questions, func(q Question) bool {
			return q.IsOpen() && (n.Question == "" || q.ID == n.Question)
		})
	case PurposeStillPresent:
		return i.IsOver()
	case PurposeApproval:
		return !slices.ContainsFunc(i.Endpoints, func(e Endpoint) bool { return e.Approval.IsAnswerable() })
	case PurposeLease:
		return !slices.ContainsFunc(i.Endpoints, func(e Endpoint) bool { return !e.ReviewDue.IsZero() })
	}
	return false
}

// Replaces reports whether an older notice to the same contact over the same channel need not be sent any more, because
// this one says as much. What may be the word of a critical report stays, unless this is the word of a critical one too.
func (n Notification) Replaces(old Notification) bool {
	report := old.Purpose == PurposePublished || old.Purpose == PurposeRevised
	critical := old.Severity == SeverityCritical || old.Severity == ""
	switch {
	case n.Contact != old.Contact || n.Channel != old.Channel:
		return false
	case n.Purpose == PurposeRevised:
		return report && n.Revision > old.Revision && (!critical || n.Severity == SeverityCritical)
	case n.Purpose == PurposeReminder, n.Purpose == PurposeQuestionReminder:
		return old.Purpose == n.Purpose && old.Question == n.Question && n.Occurrence > old.Occurrence
	case n.Purpose == PurposeClosed && report:
		return !critical
	case n.Purpose == PurposeClosed:
		return slices.Contains([]Purpose{PurposeReminder, PurposeQuestion, PurposeQuestionReminder}, old.Purpose)
	}
	return false
}

// CallRoundInput is what a call round's workflow is started with.
type CallRoundInput struct {
	Reference Reference     `json:"reference"`
	ClientID  uuid.UUID     `json:"client_id"`
	Revision  int           `json:"revision"`
	Round     int           `json:"round"`
	Policy    Policy        `json:"policy"`
	Calls     []Recipient   `json:"calls"`
	Exercise  Exercise      `json:"exercise"`           // in a fire drill the calls go on after somebody acknowledged
	Approval  *ApprovalCall `json:"approval,omitempty"` // the calls ask for an approval
}

// ApprovalCall is what a round of calls asks an approval for.
type ApprovalCall struct {
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
	Persons  int    `json:"persons"` // who must agree
}

// PhoneConsent is a contact's key press about an approval, or, with Ended, the word that the calls are over.
type PhoneConsent struct {
	Approval  string    `json:"approval"`
	Contact   uuid.UUID `json:"contact"`
	Person    string    `json:"person,omitempty"` // see PersonOf
	Granted   bool      `json:"granted"`
	Ended     bool      `json:"ended,omitzero"`
	AllCalled bool      `json:"all_called,omitzero"` // the carrier took a call to everybody who was to be called
}

// ChannelCheckInput is what a channel check's workflow is started with: one message or call to one contact, apart from any
// incident.
type ChannelCheckInput struct {
	Effect  Effect   `json:"effect"`
	Channel Channel  `json:"channel"`
	RingFor Duration `json:"ring_for"`
}

// ChannelCheckWorkflowID is the id of the workflow that tries a contact's channel: one at a time.
func ChannelCheckWorkflowID(contact uuid.UUID, ch Channel) string {
	return "contact/" + contact.String() + "/" + string(ch)
}

// DesiredState is what an incident wants of an endpoint.
type DesiredState struct {
	Desired     Desired `json:"desired"`
	Generation  int     `json:"generation"`
	Permitted   bool    `json:"permitted"`              // the EDR may be asked for it; else the device is only looked up
	Detach      bool    `json:"detach,omitempty"`       // the incident is over: look after the endpoint no more
	RetryNumber int     `json:"retry_number,omitempty"` // grows when a person wants it tried again at once
}

// EndpointState is what an endpoint's workflow carries.
type EndpointState struct {
	Reference           Reference        `json:"reference"`
	ClientID            uuid.UUID        `json:"client_id"`
	Endpoint            string           `json:"endpoint"`
	Hostname            string           `json:"hostname"`
	AgentID             string           `json:"agent_id,omitempty"`
	Policy              Policy           `json:"policy"`
	Wanted              DesiredState     `json:"wanted"`               // the newest one
	Permitted           DesiredState     `json:"permitted"`            // the newest one that is permitted; it is pursued
	ConfirmedGeneration int              `json:"confirmed_generation"` // generation the EDR last confirmed
	ActionSent          bool             `json:"action_sent"`          // the EDR was asked to change something, or may have been
	FailedActions       int              `json:"failed_actions"`       // orders of this generation that are over: refused, failed, undone by others
	LastReport          EndpointObserved `json:"last_report"`          // the last report to the incident
}

// Undelivered is a vendor's word that a message it took never reached its contact.
type Undelivered struct {
	Effect       string       `json:"effect"`
	Notification Notification `json:"notification"`
	Reason       string       `json:"reason"` // "bounce", "dropped", "undelivered", "failed"
}

// TextReply is a contact's answer to a text message, proven by the code that was in it.
type TextReply struct {
	Effect  string    `json:"effect"`
	Contact uuid.UUID `json:"contact"`
}
