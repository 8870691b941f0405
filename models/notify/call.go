package notify

import (
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// TalkFor is how long after ringing a call may go on without a sign of life before it counts as over.
const TalkFor = 2 * time.Minute

// CallOutcome is the end of a call, in our own words.
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
	OutcomeUnknown       CallOutcome = "unknown"       // the carrier reported no end: we gave it up and hung up
	OutcomeCanceled      CallOutcome = "canceled"      // somebody acknowledged elsewhere
	OutcomeEngaged       CallOutcome = "engaged"       // another call of ours to the number is under way
	OutcomeUnplaced      CallOutcome = "unplaced"      // the carrier does not take calls now, or does not tell whether it took this one
	OutcomeMisconfigured CallOutcome = "misconfigured" // our credentials or settings at the carrier are wrong
	OutcomeRejected      CallOutcome = "rejected"      // the carrier will never call this number
)

// IsBusy reports whether the line was in use, by us or by others.
func (o CallOutcome) IsBusy() bool { return o == OutcomeBusy || o == OutcomeEngaged }

// Key returns the key that ended a call this way, "" when none did.
func (o CallOutcome) Key() Key {
	switch o {
	case OutcomeAcknowledged:
		return KeyAcknowledge
	case OutcomeDenied:
		return KeyDeny
	case OutcomePassedOn:
		return KeyNextContact
	default:
		return ""
	}
}

// OutcomeOfStatus translates the final status of a call that no key ended.
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

// CallRoundResult is a call round's report to its incident.
type CallRoundResult struct {
	Round        int       `json:"round"`
	Acknowledged bool      `json:"acknowledged"`
	Contact      uuid.UUID `json:"contact"` // pressed the key
	Tried        int       `json:"tried"`   // contacts called
}

// CallResult is the end of one call, as its round reports it while the round goes on.
type CallResult struct {
	Round   int         `json:"round"`
	Try     int         `json:"try"`
	Contact uuid.UUID   `json:"contact"`
	Outcome CallOutcome `json:"outcome"`
	Reason  string      `json:"reason,omitempty"` // class and code, when no call was placed
}

// IsMissed reports whether nobody talked to the contact, and the round does not call them again.
func (r CallResult) IsMissed(p models.Policy) bool {
	switch r.Outcome {
	case OutcomeNoAnswer, OutcomeNoKey, OutcomeVoicemail, OutcomeUnreachable, OutcomeUnknown, OutcomeRejected:
		return true
	}
	return r.Outcome.IsBusy() && r.Try > p.BusyTries
}

// CallRoundInput is the input of a call round's workflow.
type CallRoundInput struct {
	Reference models.Reference `json:"reference"`
	ClientID  uuid.UUID        `json:"client_id"`
	Revision  int              `json:"revision"`
	Round     int              `json:"round"`
	Policy    models.Policy    `json:"policy"`
	Calls     []Recipient      `json:"calls"`
	Exercise  models.Exercise  `json:"exercise"`           // in a fire drill the calls go on after somebody acknowledged
	Approval  *ApprovalCall    `json:"approval,omitempty"` // the calls ask for an approval
	Answers   int              `json:"answers,omitzero"`   // Seq of the event that a key must not be older than
}

// WorkflowID returns the id of the workflow that makes the calls.
func (in CallRoundInput) WorkflowID() string {
	if in.Approval != nil {
		return in.Reference.ApprovalWorkflowID(in.Approval.ID, in.Round)
	}
	return in.Reference.CallRoundWorkflowID(in.Round)
}

// ApprovalCall is the approval that a round of calls asks for.
type ApprovalCall struct {
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
	Persons  int    `json:"persons"` // how many must agree
	// AskedBy is the user who asked for what is to be approved: contacts whom they made may not answer. nil: a run from
	// before approvers were confirmed takes the answer of every contact.
	AskedBy *models.Actor `json:"asked_by,omitempty"`
	// AgreedBefore are those who had agreed when the calls began. One more must agree for each who may not act any more.
	AgreedBefore []models.Actor `json:"agreed_before,omitempty"`
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
