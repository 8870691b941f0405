package models

import "github.com/google/uuid"

// Names that the desk, the hooks and the workflows share. Search attributes are keywords except
// AttributeDrill, which is a bool.
const (
	IncidentWorkflow  = "Incident"
	CallRoundWorkflow = "CallRound"
	EndpointWorkflow  = "Endpoint"

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

	SignalKeyPress      = "key-press"      // KeyPress, to a call round
	SignalCallProgress  = "call-progress"  // CallProgress, to a call round
	SignalStop          = "stop"           // no argument, to a call round: somebody acknowledged
	SignalContactCalled = "contact-called" // CallResult, from a round to its incident
	SignalRoundEnded    = "round-ended"    // RoundResult, from a round to its incident
	SignalObserved      = "observed"       // EndpointObserved, from an endpoint to its incident
	SignalWanted        = "wanted"         // EndpointWish, from an incident to an endpoint
	SignalMailFact      = "mail-fact"      // MailFact, from the mail hook to an incident

	QueryIncident = "incident" // answers Incident
)

// IncidentRun is all that an incident's workflow carries: its argument at the start and at every
// continue-as-new. Nothing the workflow needs lives outside it.
type IncidentRun struct {
	Incident Incident       `json:"incident"`
	Policy   Policy         `json:"policy"`
	Answers  []Answer       `json:"answers,omitempty"` // of the latest commands, to answer repeats
	Notices  []Notice       `json:"notices,omitempty"` // mails not handed over yet
	Wished   map[string]int `json:"wished,omitempty"`  // endpoint -> generation its workflow was told
}

// Notice is a mail that is due: to one contact, or, while Contact is the zero UUID, to everyone whose rule matches.
type Notice struct {
	Purpose    Purpose   `json:"purpose"`
	Revision   int       `json:"revision"`
	Occurrence int       `json:"occurrence"`
	Contact    uuid.UUID `json:"contact"`
}

// CallRoundRun is what a call round's workflow is started with.
type CallRoundRun struct {
	Reference  Reference   `json:"reference"`
	ClientID   uuid.UUID   `json:"client_id"`
	Revision   int         `json:"revision"`
	Round      int         `json:"round"`
	Policy     Policy      `json:"policy"`
	Recipients []Recipient `json:"recipients"`
}

// EndpointWish is what an incident wants of an endpoint.
type EndpointWish struct {
	Desired    Desired `json:"desired"`
	Generation int     `json:"generation"`
	LetGo      bool    `json:"let_go,omitempty"` // the incident is over: look after the endpoint no more
	Again      int     `json:"again,omitempty"`  // grows when a person wants it tried again at once
}

// EndpointRun is what an endpoint's workflow carries.
type EndpointRun struct {
	Reference Reference        `json:"reference"`
	ClientID  uuid.UUID        `json:"client_id"`
	Endpoint  string           `json:"endpoint"`
	Hostname  string           `json:"hostname"`
	AgentID   string           `json:"agent_id,omitempty"`
	Policy    Policy           `json:"policy"`
	Wish      EndpointWish     `json:"wish"`
	Reached   int              `json:"reached"` // generation the EDR last confirmed
	Told      EndpointObserved `json:"told"`    // the last report to the incident
}

// MailFact is what the mail vendor reported about the mail with this effect key, when it did not reach its reader.
type MailFact struct {
	Effect string `json:"effect"`
	Type   string `json:"type"` // "bounce", "dropped", "blocked"
}
