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

// CallRoundResult is what came of a round of calls.
type CallRoundResult struct {
	Round        int       `json:"round"`
	Acknowledged bool      `json:"acknowledged"`
	Contact      uuid.UUID `json:"contact"` // pressed the key
	Tried        int       `json:"tried"`   // contacts called
}

// CallResult is the end of one call of a round.
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

// CallPasses is how often a round goes through the contacts whose number other calls of ours use.
const CallPasses = 5

// CallRound is a round of calls under way, as its incident carries it: one contact after the other is called, in their
// order, until a human presses a key. An approval has rounds of its own.
type CallRound struct {
	Round    int                    `json:"round"`              // of the incident, or how often the approval was asked for
	Revision int                    `json:"revision"`           // of the report that the calls tell of
	Approval string                 `json:"approval,omitempty"` // that the calls ask for, "" for none
	Endpoint string                 `json:"endpoint,omitempty"` // of the approval
	Critical bool                   `json:"critical,omitempty"` // the calls end as soon as the incident needs none any more
	Contacts []uuid.UUID            `json:"contacts"`           // in calling order; nil: yet to be planned
	Pass     int                    `json:"pass,omitempty"`
	Tried    map[uuid.UUID]LastCall `json:"tried,omitempty"` // contact -> the last call to them
	By       *uuid.UUID             `json:"by,omitempty"`    // the first contact who acknowledged in it
	Call     *Call                  `json:"call,omitempty"`  // under way
}

// LastCall says how the last call of a round to a contact ended.
type LastCall struct {
	Try        int         `json:"try"` // counts the calls to the contact
	Outcome    CallOutcome `json:"outcome"`
	FromLedger bool        `json:"from_ledger,omitempty"` // it was made by a run that was lost
}

// Call is a call under way.
type Call struct {
	Contact  uuid.UUID         `json:"contact"`
	Try      int               `json:"try"`               // counts the calls to the contact
	ID       string            `json:"id"`                // the carrier's, "" as long as it is not known
	Placed   time.Time         `json:"placed,omitzero"`   // when the carrier took it
	Alive    time.Time         `json:"alive,omitzero"`    // the last sign of life
	Status   models.CallStatus `json:"status,omitempty"`  // the carrier's last word
	Sequence int               `json:"sequence,omitzero"` // of that word
	Machine  bool              `json:"machine,omitzero"`  // a machine picked up
}

// Statement is what a contact said: the key pressed in a call, or a reply to a text.
type Statement struct {
	Effect  string    `json:"effect"` // key of the call or text
	Key     Key       `json:"key"`
	Contact uuid.UUID `json:"contact"`
	Seq     int       `json:"seq"` // of the last event that the store had then
}

// CallEnd is our own word on the end of a call, for the ledger.
type CallEnd struct {
	Effect  string      `json:"effect"`
	Outcome CallOutcome `json:"outcome"`
	By      uuid.UUID   `json:"by,omitzero"`   // the contact who acknowledged, if one did
	How     string      `json:"how,omitempty"` // they did: "key press 1"
}

// InTurn returns whom the round calls now, and false when it is through: every contact once, one whose line is busy as
// often as the policy says, and one whose number other calls of ours use once more in each pass.
func (r *CallRound) InTurn(p models.Policy) (contact uuid.UUID, ok bool) {
	for r.Pass = max(r.Pass, 1); r.Pass <= CallPasses; r.Pass++ {
		for _, c := range r.Contacts {
			last := r.Tried[c]
			turn := last.Try - (r.Pass-1)*(p.BusyTries+1) // calls of this pass
			again := last.Outcome == OutcomeEngaged || last.Outcome.IsBusy() && turn > 0
			if last.Try == 0 || again && turn <= p.BusyTries {
				return c, true
			}
		}
	}
	return uuid.Nil, false
}

// Note keeps how a call to a contact ended, and of several calls the last.
func (r *CallRound) Note(contact uuid.UUID, last LastCall) {
	if r.Tried == nil {
		r.Tried = map[uuid.UUID]LastCall{}
	}
	if last.Try >= r.Tried[contact].Try {
		r.Tried[contact] = last
	}
	if last.Outcome == OutcomeAcknowledged && r.By == nil {
		r.By = &contact
	}
}

// Effect returns the effect of calling a contact.
func (r *CallRound) Effect(of models.Reference, client uuid.UUID, try int, contact uuid.UUID) Effect {
	if r.Approval != "" {
		return ApprovalCallEffect(of, client, r.Approval, r.Endpoint, r.Round, try, contact)
	}
	return CallEffect(of, client, r.Revision, r.Round, try, contact)
}

// Result returns the report of a round that is over.
func (r *CallRound) Result() CallRoundResult {
	result := CallRoundResult{Round: r.Round, Tried: len(r.Tried)}
	if r.By != nil {
		result.Acknowledged, result.Contact = true, *r.By
	}
	return result
}

// HasCalledEverybody reports whether the carrier accepted a call to every contact who was to be called. Numbers that it
// never calls do not count.
func (r *CallRound) HasCalledEverybody() bool {
	called := 0
	for _, c := range r.Contacts {
		switch r.Tried[c].Outcome {
		case OutcomeRejected:
		case "", OutcomeUnplaced, OutcomeMisconfigured, OutcomeEngaged, OutcomeCanceled:
			return false
		default:
			called++
		}
	}
	return called > 0
}
