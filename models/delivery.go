package models

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Purpose says why a contact is reached.
type Purpose string

// The purposes of messages and calls.
const (
	PurposePublished Purpose = "published"
	PurposeRevised   Purpose = "revised"
	PurposeReminder  Purpose = "reminder"
	PurposePresent   Purpose = "still-present" // verification found the threat still there
	PurposeClosed    Purpose = "closed"        // closure confirmed, feedback asked
	PurposeIsolate   Purpose = "isolate"
	PurposeRelease   Purpose = "release"
)

// EffectKind is the kind of an external effect.
type EffectKind string

// The kinds of external effects, each with its own vendor room.
const (
	EffectMail    EffectKind = "mail"
	EffectCall    EffectKind = "call"
	EffectIsolate EffectKind = "isolate"
	EffectRelease EffectKind = "release"
)

// Effect is one thing done to the outside world, at most once. Its key is chosen by the workflow from
// what is to be done, never from an attempt number or a run id, so every retry has the same key.
type Effect struct {
	Key      string     `json:"key"`
	Kind     EffectKind `json:"kind"`
	ClientID uuid.UUID  `json:"client_id"`
	Incident Reference  `json:"incident"`
	Purpose  Purpose    `json:"purpose"`
	Revision int        `json:"revision"`
	Contact  uuid.UUID  `json:"contact"`            // for mails and calls
	Endpoint string     `json:"endpoint,omitempty"` // for isolations and releases
	Workflow string     `json:"workflow"`           // the workflow that wants to know what becomes of it
}

// MailEffect is the effect of mailing one contact. Occurrence counts repeats of the same purpose and revision, from 1.
func MailEffect(r Reference, client uuid.UUID, p Purpose, revision, occurrence int, contact uuid.UUID) Effect {
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/email/%d", r, p, revision, contact, occurrence),
		Kind: EffectMail, ClientID: client, Incident: r, Purpose: p, Revision: revision, Contact: contact, Workflow: r.WorkflowID(),
	}
}

// CallEffect is the effect of calling one contact in a round; try counts from 1 and grows after a busy line.
func CallEffect(r Reference, client uuid.UUID, revision, round, try int, contact uuid.UUID) Effect {
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/voice/%d.%d", r, PurposePublished, revision, contact, round, try),
		Kind: EffectCall, ClientID: client, Incident: r, Purpose: PurposePublished, Revision: revision, Contact: contact,
		Workflow: r.CallRoundWorkflowID(round),
	}
}

// EndpointEffect is the effect of isolating or releasing an endpoint. The generation grows with every
// change of mind, so a late retry of an old one can be told from the present one.
func EndpointEffect(r Reference, client uuid.UUID, p Purpose, endpoint string, generation int) Effect {
	kind := EffectIsolate
	if p == PurposeRelease {
		kind = EffectRelease
	}
	return Effect{
		Key:  string(r) + "/" + string(p) + "/" + strconv.Itoa(generation) + "/" + endpoint + "/edr",
		Kind: kind, ClientID: client, Incident: r, Purpose: p, Revision: generation, Endpoint: endpoint,
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
)

// Delivery is a row of the ledger as people see it.
type Delivery struct {
	ID          uuid.UUID   `json:"id"`
	Key         string      `json:"key"`
	Kind        EffectKind  `json:"kind"`
	Incident    Reference   `json:"incident"`
	Purpose     Purpose     `json:"purpose"`
	Revision    int         `json:"revision"`
	Contact     uuid.UUID   `json:"contact"`
	ContactName string      `json:"contact_name,omitempty"`
	Endpoint    string      `json:"endpoint,omitempty"`
	State       EffectState `json:"state"`
	Vendor      string      `json:"vendor,omitempty"`
	VendorID    string      `json:"vendor_id,omitempty"`
	VendorState string      `json:"vendor_state,omitempty"` // the vendor's last word: "delivered", "completed", …
	Outcome     string      `json:"outcome,omitempty"`      // ours: "acknowledged", "voicemail or hung up", …
	Reason      string      `json:"reason,omitempty"`       // the class and code of a failure
	Attempts    int         `json:"attempts"`
	PlannedAt   time.Time   `json:"planned_at"`
	AcceptedAt  time.Time   `json:"accepted_at,omitzero"`
	UpdatedAt   time.Time   `json:"updated_at"`
}
