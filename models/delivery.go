package models

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Purpose says why a contact is reached.
type Purpose string

// The purposes of messages and calls.
const (
	PurposePublished        Purpose = "published"
	PurposeRevised          Purpose = "revised"
	PurposeReminder         Purpose = "reminder"          // it is the client's turn
	PurposeQuestion         Purpose = "question"          // a typed question was asked
	PurposeQuestionReminder Purpose = "question-reminder" // and is not answered yet
	PurposeApproval         Purpose = "approval"          // an isolation needs the client's word
	PurposeLease            Purpose = "lease"             // an isolation lasts long: extend or release?
	PurposeStillPresent     Purpose = "still-present"     // verification found the threat still there
	PurposeClosed           Purpose = "closed"            // closure confirmed, feedback asked
	PurposeReview           Purpose = "review"            // invitation to a threat review
	PurposeTest             Purpose = "test"              // of a contact's channel
	PurposeCode             Purpose = "code"              // that verifies a contact's channel
	PurposeIsolate          Purpose = "isolate"
	PurposeRelease          Purpose = "release"
)

// EffectKind is the kind of an external effect.
type EffectKind string

// The kinds of external effects, each with its own vendor room.
const (
	EffectMail    EffectKind = "mail"
	EffectText    EffectKind = "text" // a short message
	EffectCall    EffectKind = "call"
	EffectIsolate EffectKind = "isolate"
	EffectRelease EffectKind = "release"
)

// Effect is one thing done to the outside world, at most once. Its key is chosen by the workflow from
// what is to be done, never from an attempt number or a run id, so every retry has the same key.
type Effect struct {
	Key        string     `json:"key"`
	Kind       EffectKind `json:"kind"`
	ClientID   uuid.UUID  `json:"client_id"`
	Incident   Reference  `json:"incident,omitempty"` // "" when it is about none: a test, a code
	Purpose    Purpose    `json:"purpose"`
	Revision   int        `json:"revision"`
	Occurrence int        `json:"occurrence"`         // counts repeats of the same purpose and revision, from 1
	Contact    uuid.UUID  `json:"contact"`            // for messages and calls
	Endpoint   string     `json:"endpoint,omitempty"` // for isolations and releases
	Workflow   string     `json:"workflow"`           // the workflow that wants to know what becomes of it
	Simulated  bool       `json:"simulated,omitzero"` // a fire drill with simulated phones: nothing leaves the house
}

// MessageEffect is the effect of sending a notice to its one contact over its channel.
func MessageEffect(r Reference, client uuid.UUID, n Notification) Effect {
	kind := EffectMail
	if n.Channel == ChannelSMS {
		kind = EffectText
	}
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/%s/%d", r, n.Purpose, n.Revision, n.Contact, n.Channel, n.Occurrence),
		Kind: kind, ClientID: client, Incident: r, Purpose: n.Purpose, Revision: n.Revision, Occurrence: n.Occurrence,
		Contact: n.Contact, Workflow: r.WorkflowID(),
	}
}

// ChannelCheckEffect is the effect of trying one channel of a contact, with a test message or a code, apart from any
// incident. The request id tells one wish from the next.
func ChannelCheckEffect(client uuid.UUID, p Purpose, contact uuid.UUID, ch Channel, request string) Effect {
	kind := map[Channel]EffectKind{ChannelEmail: EffectMail, ChannelSMS: EffectText, ChannelVoice: EffectCall}[ch]
	return Effect{
		Key:  fmt.Sprintf("contact/%s/%s/%s/%s", contact, p, ch, request),
		Kind: kind, ClientID: client, Purpose: p, Occurrence: 1, Contact: contact, Workflow: ChannelCheckWorkflowID(contact, ch),
	}
}

// CallEffect is the effect of calling one contact in a round; try counts from 1 and grows after a busy line.
func CallEffect(r Reference, client uuid.UUID, revision, round, try int, contact uuid.UUID) Effect {
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/voice/%d.%d", r, PurposePublished, revision, contact, round, try),
		Kind: EffectCall, ClientID: client, Incident: r, Purpose: PurposePublished, Revision: revision, Occurrence: round,
		Contact: contact, Workflow: r.CallRoundWorkflowID(round),
	}
}

// ApprovalCallEffect is the effect of calling one contact about an approval; round counts how often it was asked, try
// grows after a busy line.
func ApprovalCallEffect(r Reference, client uuid.UUID, a ApprovalCall, round, try int, contact uuid.UUID) Effect {
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%s/%s/voice/%d.%d", r, PurposeApproval, a.ID, contact, round, try),
		Kind: EffectCall, ClientID: client, Incident: r, Purpose: PurposeApproval, Occurrence: round, Contact: contact,
		Endpoint: a.Endpoint, Workflow: r.ApprovalWorkflowID(a.ID, round),
	}
}

// EndpointEffect is the effect of isolating or releasing an endpoint. The generation grows with every
// change of mind, so a late retry of an old one can be told from the present one; the order, from 1, grows when the EDR
// says that it failed.
func EndpointEffect(r Reference, client uuid.UUID, p Purpose, endpoint string, generation, order int) Effect {
	kind := EffectIsolate
	if p == PurposeRelease {
		kind = EffectRelease
	}
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/edr/%d", r, p, generation, endpoint, order),
		Kind: kind, ClientID: client, Incident: r, Purpose: p, Revision: generation, Occurrence: order, Endpoint: endpoint,
		Workflow: r.EndpointWorkflowID(endpoint),
	}
}

// EffectState says how far an effect got, as the ledger knows it.
type EffectState string

// The states of an effect. An effect that stays "intended" longer than its settle window is ambiguous:
// it may or may not have reached the vendor.
const (
	EffectIntended EffectState = "intended" // recorded, perhaps attempted, no answer known
	EffectAccepted EffectState = "accepted" // the vendor took it and gave an id
	EffectRejected EffectState = "rejected" // the vendor will never do it
	EffectCanceled EffectState = "canceled" // its reason was gone before it was tried
)

// ReasonSuperseded is why a message was canceled that a newer one to the same contact replaced.
const ReasonSuperseded = "superseded"

// VendorSimulated is the vendor's name in the ledger for what never left the house.
const VendorSimulated = "simulated"

// Delivery is a row of the ledger as people see it.
type Delivery struct {
	ID             uuid.UUID       `json:"id"`
	Key            string          `json:"key"`
	Kind           EffectKind      `json:"kind"`
	Incident       Reference       `json:"incident,omitempty"`
	Purpose        Purpose         `json:"purpose"`
	Revision       int             `json:"revision"`
	Occurrence     int             `json:"occurrence"`
	Contact        uuid.UUID       `json:"contact"`
	ContactName    string          `json:"contact_name,omitempty"`
	Endpoint       string          `json:"endpoint,omitempty"`
	State          EffectState     `json:"state"`
	Vendor         string          `json:"vendor,omitempty"`
	VendorID       string          `json:"vendor_id,omitempty"`
	VendorState    string          `json:"vendor_state,omitempty"` // the vendor's last word: "delivered", "completed", …
	Outcome        string          `json:"outcome,omitempty"`      // ours: "acknowledged", "voicemail", …
	AcknowledgedBy uuid.UUID       `json:"acknowledged_by,omitzero"`
	AcknowledgedAt time.Time       `json:"acknowledged_at,omitzero"`
	How            string          `json:"how,omitempty"`    // it was acknowledged: "key press 1", "reply to text message"
	Reason         string          `json:"reason,omitempty"` // the class and code of a failure, or why it was canceled
	Attempts       int             `json:"attempts"`
	PlannedAt      time.Time       `json:"planned_at"` // not before
	AcceptedAt     time.Time       `json:"accepted_at,omitzero"`
	UpdatedAt      time.Time       `json:"updated_at"`
	States         []DeliveryState `json:"states"` // what the vendor said, in the order it came
}

// DeliveryState is one word of a vendor on a delivery.
type DeliveryState struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`               // when it happened, as the vendor says; when it came, if it does not
	Detail string    `json:"detail,omitempty"` // an error code, or what a mail server said: untrusted
}
