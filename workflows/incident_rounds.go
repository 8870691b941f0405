package workflows

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

const (
	// longestCall is how long a call may go on, whatever the carrier says, before we give it up.
	longestCall = 10 * time.Minute
	// firstLook and nextLook pace the polling that stands in for lost status callbacks.
	firstLook = 10 * time.Second
	nextLook  = 15 * time.Second
	// keyPress1 says to people how a contact acknowledged on the phone.
	keyPress1 = "key press 1"
)

// calling is the transient state of the rounds of calls.
type calling struct {
	calls map[string]*phoneCall            // by effect key
	made  map[*notify.CallRound]bool       // rounds about approvals that a coroutine makes
	now   map[*notify.CallRound]*phoneCall // the call under way of a round
}

// phoneCall is what this run knows of a call beside what the next one is told.
type phoneCall struct {
	*notify.Call
	round   *notify.CallRound // nil: none has come to it yet, and a lost run placed it
	reason  string            // why it was not placed
	digit   notify.Key        // the key that ended the matter
	hearing int               // keys whose rows are being looked up
	over    bool              // its outcome is reported
}

// phoneCall returns the call with an effect key.
func (w *incidentWorkflow) phoneCall(effect string) *phoneCall {
	c := w.calling.calls[effect]
	if c == nil {
		c = &phoneCall{Call: &notify.Call{}}
		w.calling.calls[effect] = c
	}
	return c
}

// takeUpCall returns the call under way of a round.
func (w *incidentWorkflow) takeUpCall(r *notify.CallRound) (c *phoneCall, e notify.Effect) {
	i := w.state.Incident
	e = r.Effect(i.Reference, i.ClientID, r.Call.Try, r.Call.Contact)
	e.Simulated = i.Exercise.IsSimulated()
	c = w.phoneCall(e.Key)
	c.Call, c.round, w.calling.now[r] = r.Call, r, c
	return c, e
}

// makeCalls calls the contacts of a round one after the other, until a human presses a key or nobody is left, and ends
// the round. A call under way is seen through in any case: a phone that rings in vain is hung up.
func (w *incidentWorkflow) makeCalls(ctx workflow.Context, r *notify.CallRound) error {
	for {
		if err := workflow.Await(ctx, func() bool { return !w.isHearing(ctx) }); err != nil { // a key may still count
			return err
		}
		if r.Call == nil && !w.callNext(ctx, r) {
			break
		}
		if err := w.seeThrough(ctx, r); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.endRound(ctx, r)
	return nil
}

// callNext begins a call to the contact in turn, after a pause when it is not the first one to them. It reports false when
// the round is through or over.
func (w *incidentWorkflow) callNext(ctx workflow.Context, r *notify.CallRound) bool {
	contact, ok := r.InTurn(w.state.Policy)
	if !ok || w.isRoundOver(r) {
		return false
	}
	last := r.Tried[contact]
	if last.Try > 0 && !last.FromLedger {
		over := func() bool { return w.isRoundOver(r) }
		if stop, err := awaitFor(ctx, time.Duration(w.state.Policy.BusyAgainAfter), "busy: call again", over); stop || err != nil {
			return false
		}
		if workflow.Await(ctx, func() bool { return !w.isHearing(ctx) }) != nil || w.isRoundOver(r) {
			return false
		}
	}
	r.Call = &notify.Call{Contact: contact, Try: last.Try + 1}
	return true
}

// isHearing reports whether a key that was pressed may still count.
func (w *incidentWorkflow) isHearing(ctx workflow.Context) bool {
	return len(w.state.Missed) > 0 || w.lookingUp > 0 || workflow.GetSignalChannel(ctx, models.SignalKeyPress).Len() > 0
}

// isRoundOver reports whether a round calls nobody any more.
func (w *incidentWorkflow) isRoundOver(r *notify.CallRound) bool {
	i := w.state.Incident
	switch {
	case w.isDropped(r):
		return true
	case r.Approval != "":
		e := w.openApproval(r.Approval)
		return e == nil || e.Approval.Asked != r.Round
	}
	return i.IsOver() || !w.isRoundUnderway() || r.Round != i.CallRound || r.Critical && !i.NeedsCalls() || i.Acknowledged != nil && !i.Exercise.IsFireDrill()
}

// hasLooseEnds reports whether a round of calls has something to do that the next run would not know of: what ended it, or
// its call, came in this task.
func (w *incidentWorkflow) hasLooseEnds() bool {
	return slices.ContainsFunc(w.state.Rounds, func(r *notify.CallRound) bool {
		c := w.calling.now[r]
		return w.isRoundOver(r) || c != nil && c.digit != "" && !c.over
	})
}

// isDropped reports whether the incident goes on from what the store has, and with other rounds.
func (w *incidentWorkflow) isDropped(r *notify.CallRound) bool {
	return !slices.Contains(w.state.Rounds, r)
}

// endRound takes a round out, and draws the consequences.
func (w *incidentWorkflow) endRound(ctx workflow.Context, r *notify.CallRound) {
	delete(w.calling.now, r)
	maps.DeleteFunc(w.calling.calls, func(_ string, c *phoneCall) bool { return c.round == r })
	if w.isDropped(r) {
		return
	}
	w.state.Rounds = slices.DeleteFunc(w.state.Rounds, func(x *notify.CallRound) bool { return x == r })
	if r.Approval != "" {
		w.approvalCallsEnded(ctx, r)
		return
	}
	if !w.isRoundUnderway() || r.Round != w.state.Incident.CallRound {
		return // the incident said before that it is over, and only a call was left to hang up
	}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CallRoundEnded{CallRoundResult: r.Result()}))
	if w.state.Incident.NeedsCalls() && r.Round >= w.state.Policy.Rounds {
		w.openTask(ctx, incident.TaskNobodyReached, "", fmt.Sprintf("nobody acknowledged after %d call rounds", r.Round))
	}
}

// seeThrough places the call under way of a round, if no run did so before, follows it to its end, and reports its outcome.
func (w *incidentWorkflow) seeThrough(ctx workflow.Context, r *notify.CallRound) error {
	c, e := w.takeUpCall(r)
	outcome, known, err := w.call(ctx, c, e)
	if err == nil && known && outcome == notify.OutcomeAcknowledged {
		if ok, _ := w.isBacked(ctx, statement{c.Contact, notify.KeyAcknowledge, r.Approval}); !ok {
			outcome = notify.OutcomeNoKey
		}
	}
	if err != nil {
		return err
	}
	rings := c.ID != "" && (outcome == notify.OutcomeCanceled || outcome == notify.OutcomeUnknown)
	if w.isDropped(r) {
		if c.digit == notify.KeyAcknowledge && r.Approval == "" { // while the incident went on from what the store has
			w.recordAcknowledgement(ctx, c.Contact, "voice", keyPress1)
		}
		rings = rings && !slices.ContainsFunc(w.state.Rounds, func(r *notify.CallRound) bool { return r.Call != nil && r.Call.ID == c.ID })
	} else {
		w.reportCall(ctx, e.Key, c, outcome, known)
	}
	r.Call = nil
	delete(w.calling.now, r)
	if !rings {
		return nil
	}
	w.unfinished++
	defer func() { w.unfinished-- }()
	if err := hangUp(ctx, w.callRef(c)); err != nil {
		workflow.GetLogger(ctx).Warn("call not hung up", "error", err)
	}
	return nil
}

// call sees a call through to its outcome. known: the ledger has the outcome already, from a run that was lost.
func (w *incidentWorkflow) call(ctx workflow.Context, c *phoneCall, e notify.Effect) (outcome notify.CallOutcome, known bool, err error) {
	if c.isEnded() { // before this run came to it
		return c.outcome(), false, nil
	}
	if c.ID == "" {
		placed, err := w.place(ctx, c, e)
		switch {
		case ctx.Err() != nil:
			return "", false, ctx.Err()
		case err == nil:
			c.ID, c.Placed, c.Alive = placed.ID, workflow.Now(ctx), workflow.Now(ctx)
			c.apply(workflow.Now(ctx), placed.Status, c.Sequence)
		case c.isEnded() || w.isRoundOver(c.round):
			return c.outcome(), false, nil
		default:
			c.reason = failureText(err)
			return outcomeOfFailure(err), false, nil
		}
		if placed.Outcome != "" {
			return placed.Outcome, true, nil
		}
	}
	outcome, err = w.follow(ctx, c)
	return outcome, false, err
}

// place asks the carrier for the call. When the answer is lost, a report of the contact or the carrier proves that
// there was a call and how it ended: then place waits no longer for the answer. When nobody is to be called any more
// the carrier is not asked again, and place waits for an answer under way, so that a call which was placed is hung up.
func (w *incidentWorkflow) place(ctx workflow.Context, c *phoneCall, e notify.Effect) (placed placedCall, err error) {
	w.unfinished++
	defer func() { w.unfinished-- }()
	r := c.round
	summary := fmt.Sprintf("call round %d: contact %d of %d, try %d", r.Round, slices.Index(r.Contacts, c.Contact)+1, len(r.Contacts), c.Try)
	if r.Approval != "" {
		summary = "approval " + r.Approval + ", " + summary
	}
	placing, cancel := workflow.WithCancel(ctx)
	defer cancel()
	err = errors.New("the carrier's answer was not waited for")
	answered := false
	workflow.Go(placing, func(ctx workflow.Context) {
		policy := w.state.Policy
		placed, err = placeCall(ctx, summary, time.Duration(policy.TellAfter), callInput{Effect: e, RingFor: time.Duration(policy.RingFor)})
		answered = true
	})
	if werr := workflow.Await(ctx, func() bool { return answered || c.isEnded() || w.isRoundOver(r) }); werr != nil {
		return placed, werr
	}
	if !answered && !c.isEnded() {
		cancel()
		if werr := workflow.Await(ctx, func() bool { return answered || c.isEnded() }); werr != nil {
			return placed, werr
		}
	}
	return placed, err
}

// follow waits until a key ends the matter, the carrier says that the call is over, or the round is over. When the
// carrier's reports stay away it asks. It gives up a call that shows no sign of life.
func (w *incidentWorkflow) follow(ctx workflow.Context, c *phoneCall) (notify.CallOutcome, error) {
	settled := func() bool { return c.isEnded() || w.isRoundOver(c.round) }
	ringFor := time.Duration(w.state.Policy.RingFor)
	pause := ringFor
	if !w.state.Incident.Exercise.IsSimulated() { // in a simulated drill there is no carrier that could report first
		pause += firstLook
	}
	for ; ; pause = nextLook {
		ok, err := awaitFor(ctx, pause, "no word from the carrier: ask it", settled)
		if err != nil {
			return "", err
		}
		if ok {
			return c.outcome(), nil
		}
		if s, err := callStatus(ctx, w.callRef(c)); err == nil {
			c.apply(workflow.Now(ctx), s, c.Sequence)
		}
		now := workflow.Now(ctx)
		if !settled() && c.hearing == 0 && (now.Sub(c.Alive) > ringFor+notify.TalkFor || now.Sub(c.Placed) > longestCall) {
			return notify.OutcomeUnknown, nil
		}
	}
}

// callRef names a call to the carrier.
func (w *incidentWorkflow) callRef(c *phoneCall) callRef {
	return callRef{ClientID: w.state.Incident.ClientID, CallID: c.ID, Simulated: w.state.Incident.Exercise.IsSimulated()}
}

// apply applies the carrier's word if it is newer than the last and the call is not over already.
func (c *phoneCall) apply(at time.Time, s models.CallStatus, sequence int) {
	if s == "" || c.Status.IsFinal() || sequence < c.Sequence {
		return
	}
	c.Status, c.Sequence = s, sequence
	if s == models.CallInProgress {
		c.Alive = at
	}
}

// isEnded reports whether a key or the carrier ended the call. A key that is being looked up may still count.
func (c *phoneCall) isEnded() bool { return c.hearing == 0 && (c.digit != "" || c.Status.IsFinal()) }

// outcome returns the outcome of a settled call. A key counts before the carrier's word.
func (c *phoneCall) outcome() notify.CallOutcome {
	switch {
	case c.digit == notify.KeyAcknowledge:
		return notify.OutcomeAcknowledged
	case c.digit == notify.KeyDeny:
		return notify.OutcomeDenied
	case c.digit == notify.KeyNextContact:
		return notify.OutcomePassedOn
	case c.Status == models.CallCompleted && c.Machine:
		return notify.OutcomeVoicemail
	case c.Status.IsFinal():
		return notify.OutcomeOfStatus(c.Status)
	default:
		return notify.OutcomeCanceled
	}
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

// reportCall reports the outcome of a call. known: the ledger has it already.
func (w *incidentWorkflow) reportCall(ctx workflow.Context, effect string, c *phoneCall, outcome notify.CallOutcome, known bool) {
	c.over = true
	c.round.Note(c.Contact, notify.LastCall{Try: c.Try, Outcome: outcome, FromLedger: known})
	if !known {
		w.recordCallEnd(effect, c.Contact, outcome)
	}
	if c.round.Approval == "" {
		w.noteCalled(ctx, notify.CallResult{Round: c.round.Round, Try: c.Try, Contact: c.Contact, Outcome: outcome, Reason: c.reason})
	}
}

// recordCallEnd has the ledger told how a call ended, with the next events.
func (w *incidentWorkflow) recordCallEnd(effect string, contact uuid.UUID, outcome notify.CallOutcome) {
	end := notify.CallEnd{Effect: effect, Outcome: outcome}
	if outcome == notify.OutcomeAcknowledged {
		end.By, end.How = contact, keyPress1
	}
	w.recording.calls = append(w.recording.calls, end)
}

// noteCalled records how a call about the incident ended, and draws the consequences.
func (w *incidentWorkflow) noteCalled(ctx workflow.Context, r notify.CallResult) {
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ContactCalled{CallResult: r}))
	switch r.Outcome {
	case notify.OutcomeUnplaced:
		w.openTask(ctx, incident.TaskVendorDown, "phone", "the carrier does not take calls: "+r.Reason)
	case notify.OutcomeMisconfigured:
		w.openTask(ctx, incident.TaskConfig, "phone", "calls: "+r.Reason)
	case notify.OutcomeRejected:
		w.openTask(ctx, incident.TaskRejected, "phone/"+r.Contact.String(), "the carrier will not call a contact's number: "+r.Reason)
	case notify.OutcomeCanceled, notify.OutcomeEngaged: // these say nothing about the carrier
	default:
		w.endTask(ctx, incident.TaskVendorDown, "phone")
		w.endTask(ctx, incident.TaskConfig, "phone")
	}
	switch {
	case r.Outcome == notify.OutcomeAcknowledged:
		w.recordAcknowledgement(ctx, r.Contact, "voice", keyPress1)
	case r.IsMissed(w.state.Policy):
		w.textMissedContact(ctx, r)
	}
}

// textMissedContact sends a text to a contact who did not take a call, once for each revision.
func (w *incidentWorkflow) textMissedContact(ctx workflow.Context, r notify.CallResult) {
	i := w.state.Incident
	n := notify.Notification{Purpose: notify.PurposePublished, Revision: i.Revision, Occurrence: 1, Contact: r.Contact, Channel: models.ChannelVoice}
	w.sendFallback(ctx, n, notify.MessageEffect(i.Reference, i.ClientID, n).Key, string(r.Outcome))
}

// handleCallProgress takes the carrier's word on a call. One that this run does not know is asked about when a round
// comes to it.
func (w *incidentWorkflow) handleCallProgress(ctx workflow.Context, p notify.CallProgress) {
	if c := w.calling.calls[p.Effect]; c != nil {
		c.Machine = c.Machine || p.Machine
		c.apply(workflow.Now(ctx), p.Status, p.Sequence)
	}
}

// handleKeyPress takes the key that a contact pressed on the phone, if their own row stands behind it. It counts also
// when the call was given up before, its round is over, or a lost run placed it.
func (w *incidentWorkflow) handleKeyPress(ctx workflow.Context, k notify.KeyPress) {
	approval, _ := notify.ApprovalOf(k.Effect, w.state.Incident.Reference)
	switch {
	case k.Digit == notify.KeyHeard:
		w.handleHeard(ctx, k)
		return
	case approval != "" && w.openApproval(approval) == nil, !notify.IsCallTo(k.Effect, k.Contact):
		return
	}
	c := w.phoneCall(k.Effect)
	if c.digit == k.Digit {
		return
	}
	c.hearing++
	ok, found := w.isBacked(ctx, statement{k.Contact, k.Digit, approval})
	c.hearing--
	nobodys := c.round == nil || w.isDropped(c.round)
	if !ok && nobodys {
		delete(w.calling.calls, k.Effect)
	}
	if !ok {
		return
	}
	c.digit = k.Digit
	switch {
	case approval != "":
		w.takeConsent(ctx, approval, k, found)
	case nobodys && k.Digit == notify.KeyAcknowledge:
		w.recordAcknowledgement(ctx, k.Contact, "voice", keyPress1)
	}
	switch {
	case nobodys:
		w.recordCallEnd(k.Effect, k.Contact, c.outcome())
	case c.over:
		w.reportCall(ctx, k.Effect, c, c.outcome(), false)
	}
}

// hearMissed takes what contacts said to a run that was lost, before any round goes on.
func (w *incidentWorkflow) hearMissed(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(w.state.Missed) > 0 }) == nil {
		a := w.state.Missed[0]
		if a.Key == notify.KeyReply {
			w.handleTextReply(ctx, notify.TextReply{Effect: a.Effect, Contact: a.Contact})
		} else {
			w.handleKeyPress(ctx, notify.KeyPress{Effect: a.Effect, Contact: a.Contact, Digit: a.Key})
		}
		w.state.Missed = slices.DeleteFunc(w.state.Missed, func(x notify.Statement) bool { return x == a })
	}
}

// handleHeard takes the word that a human heard in a call about an approval which incident it is about.
func (w *incidentWorkflow) handleHeard(ctx workflow.Context, k notify.KeyPress) {
	if ok, _ := w.isBacked(ctx, statement{k.Contact, notify.KeyHeard, ""}); ok {
		w.recordAcknowledgement(ctx, k.Contact, "voice", "key press 1 in a call about an approval")
	}
}
