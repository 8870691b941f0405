package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

const (
	// longestCall is how long a call may go on, whatever the carrier says, before we give it up.
	longestCall = 10 * time.Minute
	// passes is how often a round goes through the contacts whose number other calls of ours use.
	passes = 5
	// firstLook and nextLook pace the polling that stands in for lost status callbacks.
	firstLook = 10 * time.Second
	nextLook  = 15 * time.Second
	// keyPress1 says to people how a contact acknowledged on the phone.
	keyPress1 = "key press 1"
)

// callRoundWorkflow is one round of calls through a client's contacts, in their order, until a human presses a key.
type callRoundWorkflow struct {
	notify.CallRoundInput
	calls              map[string]*phoneCall // by effect key
	stopped            bool
	unrecordedOutcomes int                              // outcomes that are not in the ledger yet
	tries              map[uuid.UUID]int                // contact -> calls
	lastOutcome        map[uuid.UUID]notify.CallOutcome // contact -> outcome of the last call
	acknowledgedBy     *uuid.UUID                       // nobody yet: nil
	approvers          []notify.PhoneConsent            // of those who approved, one for each person
	denied             bool                             // one contact denied the approval
	hearing            int                              // keys that are being looked up
}

// phoneCall is the state of one call.
type phoneCall struct {
	try      int
	reason   string            // why it was not placed
	digit    notify.Key        // the key that ended the matter
	status   models.CallStatus // the carrier's last word
	sequence int               // of that word
	machine  bool              // a machine picked up
	hearing  bool              // a key was pressed, and the contact's own row behind it is being looked up
	alive    time.Time         // the last sign of life
	over     bool              // its outcome is reported
}

// CallRound calls the recipients one after the other. It reports every call, and its own end, to the incident's
// workflow.
func CallRound(ctx workflow.Context, in notify.CallRoundInput) error {
	if err := requireOwn(ctx, in.WorkflowID()); err != nil {
		return err
	}
	w := &callRoundWorkflow{CallRoundInput: in, calls: map[string]*phoneCall{}, tries: map[uuid.UUID]int{}, lastOutcome: map[uuid.UUID]notify.CallOutcome{}}
	w.registerSignals(ctx)
	left := in.Calls
	for pass := 1; pass <= passes && len(left) > 0 && !w.isOver(); pass++ {
		var err error
		if left, err = w.callEach(ctx, left); err != nil {
			return err
		}
	}
	if err := workflow.Await(ctx, func() bool { return !w.isHearing(ctx) }); err != nil {
		return err
	}
	w.reportEnd(ctx)
	return workflow.Await(ctx, func() bool { return w.unrecordedOutcomes == 0 })
}

// reportEnd signals to the incident that nobody is called any more.
func (w *callRoundWorkflow) reportEnd(ctx workflow.Context) {
	if w.Approval != nil {
		w.signalIncident(ctx, models.SignalPhoneConsent, notify.PhoneConsent{Approval: w.Approval.ID, Ended: true, AllCalled: w.hasCalledEverybody()})
		return
	}
	result := notify.CallRoundResult{Round: w.Round, Tried: len(w.tries)}
	if w.acknowledgedBy != nil {
		result.Acknowledged, result.Contact = true, *w.acknowledgedBy
	}
	w.signalIncident(ctx, models.SignalCallRoundEnded, result)
}

// registerSignals takes key presses, reports of the carrier, and the incident's word to stop.
func (w *callRoundWorkflow) registerSignals(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var k notify.KeyPress
			if w.receive(ctx, models.SignalKeyPress, &k) {
				w.handleKeyPress(ctx, k)
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var p notify.CallProgress
			if !w.receive(ctx, models.SignalCallProgress, &p) {
				continue
			}
			if c := w.calls[p.Effect]; c != nil {
				c.machine = c.machine || p.Machine
				c.applyProgress(workflow.Now(ctx), p.Status, p.Sequence)
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for !w.receive(ctx, models.SignalStopCalls, nil) && ctx.Err() == nil {
		}
		w.stopped = true
	})
}

// receive takes the next message of a signal, and reports whether it is to be believed. One that is not is the incident's
// to record.
func (w *callRoundWorkflow) receive(ctx workflow.Context, name string, to any) bool {
	c := workflow.GetSignalChannel(ctx, name)
	if receive(ctx, c, to) != nil {
		w.signalIncident(ctx, models.SignalRefused, refusedBy(ctx, name))
		return false
	}
	return true
}

// handleKeyPress takes a key press. It counts also when the call was given up before, or was placed by a lost run of
// this round, which this one has not come to yet.
func (w *callRoundWorkflow) handleKeyPress(ctx workflow.Context, k notify.KeyPress) {
	c := w.calls[k.Effect]
	if c == nil {
		c = &phoneCall{}
		w.calls[k.Effect] = c
	}
	if c.digit == k.Digit || !w.isTheirs(ctx, c, k) {
		return
	}
	switch {
	case w.Approval != nil && (k.Digit == notify.KeyAcknowledge || k.Digit == notify.KeyDeny):
		w.passOnConsent(ctx, k)
	case k.Digit == notify.KeyAcknowledge && w.acknowledgedBy == nil:
		w.acknowledgedBy = &k.Contact
	}
	c.digit = k.Digit
	if c.over {
		w.reportCall(ctx, k.Effect, k.Contact, c.outcome())
	}
}

// isTheirs reports whether the contact's own row backs a key press. One without is the incident's to record, and so is
// the approval of a contact who may not approve. One from before the calls is the incident's to judge.
func (w *callRoundWorkflow) isTheirs(ctx workflow.Context, c *phoneCall, k notify.KeyPress) bool {
	said, about := statementInput{ClientID: w.ClientID, Reference: w.Reference, Contact: k.Contact, Key: k.Digit}, w.Revision
	if w.Approval != nil {
		said.Approval, said.AskedBy, about = w.Approval.ID, w.Approval.AskedBy, w.Round
		if k.Digit == notify.KeyAcknowledge {
			said.Givers = w.agreed()
		}
	}
	c.hearing, w.hearing = true, w.hearing+1
	defer func() { c.hearing, w.hearing = false, w.hearing-1 }()
	found, err := findStatement(ctx, said)
	known := found.Known && notify.IsCallTo(k.Effect, k.Contact)
	switch {
	case err != nil:
		return false
	case known && found.Refused == "" && found.Answers(w.Answers, about):
		w.void(found.Voided)
		return true
	case known && w.Approval != nil:
		w.signalIncident(ctx, models.SignalPhoneConsent, w.consent(k))
	default:
		w.signalIncident(ctx, models.SignalKeyPress, k)
	}
	return false
}

// agreed returns who has agreed to what the calls are about, as far as the round knows.
func (w *callRoundWorkflow) agreed() []models.Actor {
	all := slices.Clone(w.Approval.AgreedBefore)
	for _, c := range w.approvers {
		all = append(all, models.ContactActor(c.Contact))
	}
	return all
}

// void lets the calls go on until others have agreed in the place of those who may not act any more.
func (w *callRoundWorkflow) void(of []models.Actor) {
	if len(of) == 0 {
		return
	}
	isVoid := func(by models.Actor) bool { return slices.Contains(of, by) }
	count := len(w.Approval.AgreedBefore)
	w.Approval.AgreedBefore = slices.DeleteFunc(slices.Clone(w.Approval.AgreedBefore), isVoid)
	w.Approval.Persons += count - len(w.Approval.AgreedBefore)
	w.approvers = slices.DeleteFunc(w.approvers, func(c notify.PhoneConsent) bool { return isVoid(models.ContactActor(c.Contact)) })
}

// isHearing reports whether a key that was pressed may still count.
func (w *callRoundWorkflow) isHearing(ctx workflow.Context) bool {
	return w.hearing > 0 || workflow.GetSignalChannel(ctx, models.SignalKeyPress).Len() > 0
}

// applyProgress applies the carrier's word if it is newer than the last and the call is not over already.
func (c *phoneCall) applyProgress(at time.Time, s models.CallStatus, sequence int) {
	if s == "" || c.status.IsFinal() || sequence < c.sequence {
		return
	}
	c.status, c.sequence = s, sequence
	if s == models.CallInProgress {
		c.alive = at
	}
}

// isEnded reports whether a key or the carrier ended the call. A key that is being looked up may still count.
func (c *phoneCall) isEnded() bool { return !c.hearing && (c.digit != "" || c.status.IsFinal()) }

// isOver reports whether nobody needs to be called any more.
func (w *callRoundWorkflow) isOver() bool {
	if w.Approval != nil {
		return w.stopped || w.denied || len(w.approvers) >= w.Approval.Persons
	}
	return w.acknowledgedBy != nil && !w.Exercise.IsFireDrill() || w.stopped
}

// passOnConsent signals a contact's answer about an approval to the incident.
func (w *callRoundWorkflow) passOnConsent(ctx workflow.Context, k notify.KeyPress) {
	consent := w.consent(k)
	w.signalIncident(ctx, models.SignalPhoneConsent, consent)
	isTheirs := func(c notify.PhoneConsent) bool {
		return c.Contact == k.Contact || models.SamePerson(c.Person, consent.Person)
	}
	switch {
	case !consent.Granted:
		w.denied = true
	case !slices.ContainsFunc(w.approvers, isTheirs):
		w.approvers = append(w.approvers, consent)
	}
}

// consent returns a contact's answer about the approval.
func (w *callRoundWorkflow) consent(k notify.KeyPress) notify.PhoneConsent {
	consent := notify.PhoneConsent{Approval: w.Approval.ID, Contact: k.Contact, Granted: k.Digit == notify.KeyAcknowledge}
	for _, r := range w.Calls {
		if r.Contact == k.Contact {
			consent.Person = r.Person
		}
	}
	return consent
}

// hasCalledEverybody reports whether the carrier accepted a call to every contact who was to be called. Numbers that it
// never calls do not count.
func (w *callRoundWorkflow) hasCalledEverybody() bool {
	called := 0
	for _, r := range w.Calls {
		switch w.lastOutcome[r.Contact] {
		case notify.OutcomeRejected:
		case "", notify.OutcomeUnplaced, notify.OutcomeMisconfigured, notify.OutcomeEngaged, notify.OutcomeCanceled:
			return false
		default:
			called++
		}
	}
	return called > 0
}

// callEach calls contacts one after the other, until nobody needs to be called any more. It returns the contacts whose
// number other calls of ours use, to be called once more.
func (w *callRoundWorkflow) callEach(ctx workflow.Context, to []notify.Recipient) (engaged []notify.Recipient, err error) {
	for _, r := range to {
		if w.isOver() {
			return nil, nil
		}
		result, err := w.callContact(ctx, r)
		if err != nil {
			return nil, err
		}
		w.lastOutcome[r.Contact] = result
		if result == notify.OutcomeEngaged {
			engaged = append(engaged, r)
		}
	}
	return engaged, nil
}

// callContact calls one contact, again after a busy line as often as the policy says.
func (w *callRoundWorkflow) callContact(ctx workflow.Context, r notify.Recipient) (result notify.CallOutcome, err error) {
	for repeat := 0; repeat <= w.Policy.BusyTries; repeat++ {
		if w.tries[r.Contact] > 0 {
			stop, err := awaitFor(ctx, time.Duration(w.Policy.BusyAgainAfter), "busy: call again", w.isOver)
			if stop || err != nil {
				return result, err
			}
		}
		w.tries[r.Contact]++
		if result, err = w.call(ctx, r, w.tries[r.Contact]); err != nil || !result.IsBusy() || w.isOver() {
			return result, err
		}
	}
	return result, nil
}

// call places one call, sees it through and reports its outcome.
func (w *callRoundWorkflow) call(ctx workflow.Context, r notify.Recipient, try int) (notify.CallOutcome, error) {
	e := notify.CallEffect(w.Reference, w.ClientID, w.Revision, w.Round, try, r.Contact)
	if w.Approval != nil {
		e = notify.ApprovalCallEffect(w.Reference, w.ClientID, *w.Approval, w.Round, try, r.Contact)
	}
	e.Simulated = w.Exercise.IsSimulated()
	c := w.calls[e.Key]
	if c == nil {
		c = &phoneCall{}
		w.calls[e.Key] = c
	}
	c.try = try
	if c.isEnded() { // before this run came to it
		w.reportCall(ctx, e.Key, r.Contact, c.outcome())
		return c.outcome(), nil
	}
	summary := fmt.Sprintf("call contact %d of %d, try %d", slices.Index(w.Calls, r)+1, len(w.Calls), try)
	id, err := w.place(ctx, c, summary, callInput{Effect: e, RingFor: time.Duration(w.Policy.RingFor)})
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	var result notify.CallOutcome
	switch {
	case err == nil:
		if result, err = w.follow(ctx, c, id); err != nil {
			return "", err
		}
	case c.isEnded() || w.isOver():
		result = c.outcome()
	default:
		result, c.reason = outcomeOfFailure(err), failureText(err)
	}
	w.reportCall(ctx, e.Key, r.Contact, result)
	if id != "" && (result == notify.OutcomeCanceled || result == notify.OutcomeUnknown) {
		if err := hangUp(ctx, callRef{ClientID: w.ClientID, CallID: id, Simulated: w.Exercise.IsSimulated()}); err != nil {
			workflow.GetLogger(ctx).Warn("call not hung up", "error", err)
		}
	}
	return result, nil
}

// outcomeOfFailure returns why there was no call.
func outcomeOfFailure(err error) notify.CallOutcome {
	switch {
	case isEngaged(err):
		return notify.OutcomeEngaged
	case classOf(err) == models.Rejected:
		return notify.OutcomeRejected
	case classOf(err) == models.Config:
		return notify.OutcomeMisconfigured
	default:
		return notify.OutcomeUnplaced
	}
}

// reportCall reports the outcome of a call and writes it into the ledger, however long that takes: nobody waits for it.
func (w *callRoundWorkflow) reportCall(ctx workflow.Context, effect string, contact uuid.UUID, result notify.CallOutcome) {
	c := w.calls[effect]
	c.over = true
	report := outcomeInput{ClientID: w.ClientID, Effect: effect, Outcome: string(result)}
	if result == notify.OutcomeAcknowledged {
		report.By, report.How = contact, keyPress1
	}
	w.unrecordedOutcomes++
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := setOutcome(ctx, report); err != nil {
			workflow.GetLogger(ctx).Error("outcome of a call not recorded", "error", err)
		}
		w.unrecordedOutcomes--
	})
	if w.Approval == nil {
		w.signalIncident(ctx, models.SignalContactCalled, notify.CallResult{Round: w.Round, Try: c.try, Contact: contact, Outcome: result, Reason: c.reason})
	}
}

// place asks the carrier for the call. When the answer is lost, a report of the contact or the carrier proves that
// there was a call and how it ended: then place waits no longer for the answer. When nobody is to be called any more
// the carrier is not asked again, and place waits for an answer under way, so that a call which was placed is hung up.
func (w *callRoundWorkflow) place(ctx workflow.Context, c *phoneCall, summary string, in callInput) (string, error) {
	placing, cancel := workflow.WithCancel(ctx)
	defer cancel()
	var id string
	err := errors.New("the carrier's answer was not waited for")
	answered := false
	workflow.Go(placing, func(ctx workflow.Context) {
		id, err = placeCall(ctx, summary, time.Duration(w.Policy.TellAfter), in)
		answered = true
	})
	if werr := workflow.Await(ctx, func() bool { return answered || c.isEnded() || w.isOver() }); werr != nil {
		return "", werr
	}
	if !answered && !c.isEnded() {
		cancel()
		if werr := workflow.Await(ctx, func() bool { return answered || c.isEnded() }); werr != nil {
			return "", werr
		}
	}
	return id, err
}

// follow waits until a key ends the matter, the carrier says that the call is over, or the round is over. When the
// carrier's reports stay away it asks. It gives up a call that shows no sign of life.
func (w *callRoundWorkflow) follow(ctx workflow.Context, c *phoneCall, id string) (notify.CallOutcome, error) {
	settled := func() bool { return c.isEnded() || w.isOver() }
	placed := workflow.Now(ctx)
	c.alive = placed
	limit := time.Duration(w.Policy.RingFor) + notify.TalkFor
	pause := time.Duration(w.Policy.RingFor)
	if !w.Exercise.IsSimulated() { // in a simulated drill there is no carrier that could report first
		pause += firstLook
	}
	for ; ; pause = nextLook {
		ok, err := awaitFor(ctx, pause, "no word from the carrier: ask it", settled)
		if err != nil {
			return "", err
		}
		if ok {
			break
		}
		if s, err := callStatus(ctx, callRef{ClientID: w.ClientID, CallID: id, Simulated: w.Exercise.IsSimulated()}); err == nil {
			c.applyProgress(workflow.Now(ctx), s, c.sequence)
		}
		now := workflow.Now(ctx)
		if !settled() && !c.hearing && (now.Sub(c.alive) > limit || now.Sub(placed) > longestCall) {
			return notify.OutcomeUnknown, nil
		}
	}
	return c.outcome(), nil
}

// outcome returns the outcome of a settled call. A key counts before the carrier's word.
func (c *phoneCall) outcome() notify.CallOutcome {
	switch {
	case c.digit == notify.KeyAcknowledge:
		return notify.OutcomeAcknowledged
	case c.digit == notify.KeyDeny:
		return notify.OutcomeDenied
	case c.digit == notify.KeyNextContact:
		return notify.OutcomePassedOn
	case c.status == models.CallCompleted && c.machine:
		return notify.OutcomeVoicemail
	case c.status.IsFinal():
		return notify.OutcomeOfStatus(c.status)
	default:
		return notify.OutcomeCanceled
	}
}

// signalIncident signals a report to the incident. An incident that is over takes none.
func (w *callRoundWorkflow) signalIncident(ctx workflow.Context, signal string, arg any) {
	if err := workflow.SignalExternalWorkflow(ctx, w.Reference.WorkflowID(), "", signal, arg).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the incident did not take a report", "signal", signal, "error", err)
	}
}
