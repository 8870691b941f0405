package notify

import (
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// TalkFor is how long after ringing a call may go on without a sign of life before it counts as over.
const TalkFor = 2 * time.Minute

// CallOutcome is what a call came to, in our own words.
type CallOutcome string

// The outcomes of a call. Only a key press counts as having reached a person.
const (
	OutcomeAcknowledged  CallOutcome = "acknowledged" // pressed KeyAcknowledge
	OutcomeDenied        CallOutcome = "denied"       // pressed KeyDeny: an approval is denied
	OutcomePassedOn      CallOutcome = "passed_on"    // pressed KeyNextContact
	OutcomeNoKey         CallOutcome = "no_key"       // answered, no key pressed: hung up
	OutcomeVoicemail     CallOutcome = "voicemail"    // a machine picked up: nobody was reached
	OutcomeBusy          CallOutcome = "busy"
	OutcomeNoAnswer      CallOutcome = "no_answer"
	OutcomeUnreachable   CallOutcome = "unreachable"
	OutcomeUnknown       CallOutcome = "unknown"       // the carrier told no end of it: we gave it up and hung up
	OutcomeCanceled      CallOutcome = "canceled"      // somebody acknowledged elsewhere
	OutcomeEngaged       CallOutcome = "engaged"       // another call of ours to the number is under way
	OutcomeUnplaced      CallOutcome = "unplaced"      // the carrier does not take calls now
	OutcomeMisconfigured CallOutcome = "misconfigured" // our credentials or settings at the carrier are wrong
	OutcomeRejected      CallOutcome = "rejected"      // the carrier will never call this number
)

// IsBusy reports whether the line was in use, by us or by others.
func (o CallOutcome) IsBusy() bool { return o == OutcomeBusy || o == OutcomeEngaged }

// OutcomeOfStatus translates a final call status of a call in which no key ended the matter.
func OutcomeOfStatus(s models.CallStatus) CallOutcome {
	switch s {
	case models.CallBusy:
		return OutcomeBusy
	case models.CallNoAnswer:
		return OutcomeNoAnswer
	case models.CallCanceled:
		return OutcomeCanceled
	case models.CallCompleted:
		return OutcomeNoKey
	default:
		return OutcomeUnreachable
	}
}

// KeyPress is a fact from the phone: the human pressed a digit during the call with this effect key.
type KeyPress struct {
	Effect  string    `json:"effect"`
	Contact uuid.UUID `json:"contact"`
	Digit   Key       `json:"digit"` // one that answers, see CallScript
}

// CallProgress is a fact from the carrier about the call with this effect key.
type CallProgress struct {
	Effect   string            `json:"effect"`
	CallID   string            `json:"call_id"`
	Status   models.CallStatus `json:"status"`
	Sequence int               `json:"sequence"`
	Machine  bool              `json:"machine,omitzero"` // a machine picked up; says nothing of the status
}

// CallRoundResult is what a call round reports to its incident.
type CallRoundResult struct {
	Round        int       `json:"round"`
	Acknowledged bool      `json:"acknowledged"`
	Contact      uuid.UUID `json:"contact"` // who pressed the key
	Tried        int       `json:"tried"`   // contacts called
}

// CallResult is what one call of a round came to, as the round reports it while it goes on.
type CallResult struct {
	Round   int         `json:"round"`
	Try     int         `json:"try"`
	Contact uuid.UUID   `json:"contact"`
	Outcome CallOutcome `json:"outcome"`
	Reason  string      `json:"reason,omitempty"` // class and code, when no call was placed
}

// IsMissed reports whether the contact could not be talked to, and will not be called again in the round.
func (r CallResult) IsMissed(p models.Policy) bool {
	switch r.Outcome {
	case OutcomeNoAnswer, OutcomeNoKey, OutcomeVoicemail, OutcomeUnreachable, OutcomeUnknown, OutcomeRejected:
		return true
	}
	return r.Outcome.IsBusy() && r.Try > p.BusyTries
}

// CallRoundInput is what a call round's workflow is started with.
type CallRoundInput struct {
	Reference models.Reference `json:"reference"`
	ClientID  uuid.UUID        `json:"client_id"`
	Revision  int              `json:"revision"`
	Round     int              `json:"round"`
	Policy    models.Policy    `json:"policy"`
	Calls     []Recipient      `json:"calls"`
	Exercise  models.Exercise  `json:"exercise"`           // in a fire drill the calls go on after somebody acknowledged
	Approval  *ApprovalCall    `json:"approval,omitempty"` // the calls ask for an approval
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
