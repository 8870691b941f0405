package notify

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Purpose is the reason for an effect.
type Purpose string

// The purposes of messages and calls, and of actions at an EDR.
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
	PurposeRisk             Purpose = "risk"              // the time of an accepted risk is over: what becomes of it?
	PurposeReview           Purpose = "review"            // invitation to a threat review
	PurposeTest             Purpose = "test"              // of a contact's channel
	PurposeCode             Purpose = "code"              // that verifies a contact's channel
	PurposeContactChanged   Purpose = "contact-changed"   // a contact of the client was
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

// Effect is one thing done to the outside world, at most once. The workflow makes its key from the thing to be done,
// never from an attempt number or a run id, so every retry has the same key.
type Effect struct {
	Key        string           `json:"key"`
	Kind       EffectKind       `json:"kind"`
	ClientID   uuid.UUID        `json:"client_id"`
	Incident   models.Reference `json:"incident,omitempty"` // "" when it is about none: a test, a code
	Purpose    Purpose          `json:"purpose"`
	Revision   int              `json:"revision"`
	Occurrence int              `json:"occurrence"`         // counts repeats of the same purpose and revision, from 1
	Contact    uuid.UUID        `json:"contact"`            // for messages and calls
	Endpoint   string           `json:"endpoint,omitempty"` // for isolations and releases
	Device     string           `json:"device,omitempty"`   // the EDR's id of the endpoint, once its action is to be sent
	Workflow   string           `json:"workflow"`           // the workflow that is told of its progress
	Simulated  bool             `json:"simulated,omitzero"` // a fire drill with simulated phones: nothing leaves the house
}

// MessageEffect returns the effect of sending a notification to its one contact over its channel.
func MessageEffect(r models.Reference, client uuid.UUID, n Notification) Effect {
	kind := EffectMail
	if n.Channel == models.ChannelSMS {
		kind = EffectText
	}
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/%s/%d", r, n.Purpose, n.Revision, n.Contact, n.Channel, n.Occurrence),
		Kind: kind, ClientID: client, Incident: r, Purpose: n.Purpose, Revision: n.Revision, Occurrence: n.Occurrence,
		Contact: n.Contact, Workflow: r.WorkflowID(),
	}
}

// CallEffect returns the effect of calling one contact in a round; try counts from 1 and grows after a busy line.
func CallEffect(r models.Reference, client uuid.UUID, revision, round, try int, contact uuid.UUID) Effect {
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/voice/%d.%d", r, PurposePublished, revision, contact, round, try),
		Kind: EffectCall, ClientID: client, Incident: r, Purpose: PurposePublished, Revision: revision, Occurrence: round,
		Contact: contact, Workflow: r.WorkflowID(),
	}
}

// ApprovalCallEffect returns the effect of calling one contact about an approval; round counts how often it was asked,
// try grows after a busy line.
func ApprovalCallEffect(r models.Reference, client uuid.UUID, approval, endpoint string, round, try int, contact uuid.UUID) Effect {
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%s/%s/voice/%d.%d", r, PurposeApproval, approval, contact, round, try),
		Kind: EffectCall, ClientID: client, Incident: r, Purpose: PurposeApproval, Occurrence: round, Contact: contact,
		Endpoint: endpoint, Workflow: r.WorkflowID(),
	}
}

// ApprovalOf returns the approval of an incident that a key in the ledger is about, and false when it is about none.
func ApprovalOf(key string, r models.Reference) (approval string, ok bool) {
	rest, ok := strings.CutPrefix(key, fmt.Sprintf("%s/%s/", r, PurposeApproval))
	if !ok {
		return "", false
	}
	approval, _, ok = strings.Cut(rest, "/")
	return approval, ok
}

// RevisionOf returns the revision of the report that a call or text about an incident told of, 0 when it told of none.
func RevisionOf(key string, r models.Reference) int {
	parts := strings.Split(strings.TrimPrefix(key, string(r)+"/"), "/")
	if len(parts) != 5 {
		return 0
	}
	n, _ := strconv.Atoi(parts[1]) // an approval's id is no number
	return n
}

// RoundOf returns the round of a call, 0 when a key in the ledger is that of none.
func RoundOf(key string) int {
	_, call, _ := strings.Cut(key, "/"+string(models.ChannelVoice)+"/")
	round, _, _ := strings.Cut(call, ".")
	n, _ := strconv.Atoi(round)
	return n
}

// TryOf returns which call to the contact in its round a key in the ledger is about, 0 when it is about none.
func TryOf(key string) int {
	_, call, _ := strings.Cut(key, "/"+string(models.ChannelVoice)+"/")
	_, try, _ := strings.Cut(call, ".")
	n, _ := strconv.Atoi(try)
	return n
}

// IsCallTo reports whether a key in the ledger is that of a call to a contact.
func IsCallTo(key string, contact uuid.UUID) bool {
	return strings.Contains(key, fmt.Sprintf("/%s/voice/", contact))
}

// IsCallAbout reports whether a key in the ledger is that of a call about an approval.
func IsCallAbout(key string, r models.Reference, approval string) bool {
	about, ok := ApprovalOf(key, r)
	return ok && about == approval
}

// EndpointEffect returns the effect of isolating or releasing an endpoint. The generation grows with every change of
// the desired state, so a late retry of an old one can be told from the present one; the action, from 1, grows when the
// EDR says that the last one failed.
func EndpointEffect(r models.Reference, client uuid.UUID, p Purpose, endpoint string, generation, action int) Effect {
	kind := EffectIsolate
	if p == PurposeRelease {
		kind = EffectRelease
	}
	return Effect{
		Key:  fmt.Sprintf("%s/%s/%d/%s/edr/%d", r, p, generation, endpoint, action),
		Kind: kind, ClientID: client, Incident: r, Purpose: p, Revision: generation, Occurrence: action, Endpoint: endpoint,
		Workflow: r.EndpointWorkflowID(endpoint),
	}
}

// EffectState says how far an effect got, as the ledger knows it.
type EffectState string

// The states of an effect. An effect that stays "intended" longer than its settle window is ambiguous: it may or may
// not have reached the vendor.
const (
	EffectIntended EffectState = "intended" // recorded, perhaps attempted, no answer known
	EffectAccepted EffectState = "accepted" // the vendor took it and gave an id
	EffectRejected EffectState = "rejected" // the vendor will never do it
	EffectCanceled EffectState = "canceled" // its reason was gone before it was tried
)

// The reasons of canceled effects.
const (
	ReasonSuperseded = "superseded" // a newer message to the same contact, or the opposite action, replaced it
	ReasonHeld       = "held"       // the release of a device that another incident wants isolated
)

// VendorSimulated is the vendor's name in the ledger for effects that never left the house.
const VendorSimulated = "simulated"
