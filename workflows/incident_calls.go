package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// calling is the transient state of callContacts.
type calling struct {
	lastReport time.Time // of the present call round
	endsItself int       // the round that reported an acknowledgement, and calls nobody any more
}

// callContacts keeps call rounds going for a critical incident until a human acknowledges. It never gives up: after the
// policy's rounds the lead gets a task and the cadence slows.
func (w *incidentWorkflow) callContacts(ctx workflow.Context) {
	for !w.state.Incident.IsOver() {
		err := workflow.Await(ctx, func() bool { return w.needsCallRound() || w.isRoundUnderway() || w.state.Incident.IsOver() })
		if err != nil || w.state.Incident.IsOver() && !w.isRoundUnderway() {
			return
		}
		if !w.isRoundUnderway() && !w.startRound(ctx) {
			continue
		}
		if w.awaitRound(ctx) != nil {
			return
		}
	}
}

// needsCallRound reports whether contacts are to be called: all contacts of a critical incident, or those whom a
// message did not reach.
func (w *incidentWorkflow) needsCallRound() bool {
	i := w.state.Incident
	return i.NeedsCalls() || len(w.state.PendingCalls) > 0 && i.Acknowledged == nil && !i.IsOver()
}

// isRoundUnderway reports whether a call round has started and not ended.
func (w *incidentWorkflow) isRoundUnderway() bool {
	return w.state.Incident.CallRound > 0 && w.state.Incident.CallRoundEnded.IsZero()
}

// startRound waits for the next round's time and starts the round. It reports false when the need for it is gone, or
// its time has changed.
func (w *incidentWorkflow) startRound(ctx workflow.Context) bool {
	unneeded := func() bool { return !w.needsCallRound() }
	at := w.nextRoundAt()
	changed := func() bool { return unneeded() || w.nextRoundAt().Before(at) }
	if stop, err := awaitUntil(ctx, at, fmt.Sprintf("call round %d begins", w.state.Incident.CallRound+1), changed); stop || err != nil {
		return false
	}
	i := w.state.Incident
	later := func(r notify.Recipient) bool { return r.At.After(workflow.Now(ctx)) }
	to := slices.DeleteFunc(slices.Clone(w.state.PendingCalls), later)
	if i.NeedsCalls() {
		p, err := w.plan(ctx, planInput{At: workflow.Now(ctx)})
		if err != nil || unneeded() {
			return false
		}
		to = p.Calls
	}
	w.state.PendingCalls = slices.DeleteFunc(w.state.PendingCalls, func(r notify.Recipient) bool { return i.NeedsCalls() || !later(r) })
	round := i.CallRound + 1
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CallRoundStarted{Round: round}))
	if len(to) == 0 {
		w.openTask(ctx, incident.TaskNobodyToReach, "", "no contact is to be called for severity "+string(i.PublishedSeverity))
		w.handleRoundEnded(ctx, notify.CallRoundResult{Round: round})
		return false
	}
	w.startChild(ctx, i.Reference.CallRoundWorkflowID(round), fmt.Sprintf("%s · call round %d", i.Reference, round), models.CallRoundWorkflow,
		notify.CallRoundInput{Reference: i.Reference, ClientID: i.ClientID, Revision: i.Revision, Round: round, Policy: w.state.Policy, Calls: to,
			Exercise: i.Exercise, Answers: i.AlarmSeq})
	return true
}

// nextRoundAt returns when the next round begins: by the policy or, when only contacts are called whom a message did
// not reach, when the first of them may be called.
func (w *incidentWorkflow) nextRoundAt() time.Time {
	if w.state.Incident.NeedsCalls() || len(w.state.PendingCalls) == 0 {
		return w.state.Incident.NextCallRound(w.state.Policy)
	}
	return slices.MinFunc(w.state.PendingCalls, func(a, b notify.Recipient) int { return a.At.Compare(b.At) }).At
}

// startTries is how often a child is started whose id another workflow has, and startAgainAfter the pause between: one
// that is none of ours fails within that time, and the id is free.
const (
	startTries      = 3
	startAgainAfter = 2 * time.Second
)

// startChild starts a child workflow that outlives this run, and reports whether it did: a child that runs already is
// fine. The run stays until the child was started: Temporal forgets a start when the run ends in the same task.
func (w *incidentWorkflow) startChild(ctx workflow.Context, id, summary, kind string, arg any) bool {
	w.unfinished++
	defer func() { w.unfinished-- }()
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, StaticSummary: summary, WorkflowTaskTimeout: models.WorkflowTaskTimeout,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	})
	err := workflow.ExecuteChildWorkflow(ctx, kind, arg).GetChildWorkflowExecution().Get(ctx, nil)
	var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
	for n := 1; n < startTries && errors.As(err, &taken); n++ {
		if pause(ctx, startAgainAfter, "the id of a child is taken; start it again") != nil {
			break
		}
		err = workflow.ExecuteChildWorkflow(ctx, kind, arg).GetChildWorkflowExecution().Get(ctx, nil)
	}
	if err != nil {
		workflow.GetLogger(ctx).Info("child workflow not started", "id", id, "error", err)
	}
	return err == nil
}

// awaitRound waits for the round to end. It stops the round as soon as anyone acknowledged anywhere or no calls are
// needed any more, and also when the round has been silent for longer than a call can take.
func (w *incidentWorkflow) awaitRound(ctx workflow.Context) error {
	round, needed := w.state.Incident.CallRound, w.state.Incident.NeedsCalls()
	ended := func() bool { return !w.isRoundUnderway() }
	enough := func() bool {
		i := w.state.Incident
		return ended() || i.IsOver() || needed && !i.NeedsCalls() || i.Acknowledged != nil && !i.Exercise.IsFireDrill()
	}
	w.calling.lastReport = workflow.Now(ctx)
	until := func() time.Time { return w.calling.lastReport.Add(longestSilence(w.state.Policy)) }
	for !enough() && workflow.Now(ctx).Before(until()) {
		if _, err := awaitUntil(ctx, until(), fmt.Sprintf("watch that call round %d goes on", round), enough); err != nil {
			return err
		}
	}
	if !ended() && w.calling.endsItself == round {
		if _, err := awaitFor(ctx, stopWithin, "call round ends", ended); err != nil {
			return err
		}
	}
	if !ended() {
		stop := workflow.SignalExternalWorkflow(ctx, w.state.Incident.Reference.CallRoundWorkflowID(round), "", models.SignalStopCalls, nil)
		if stop.Get(ctx, nil) == nil {
			if _, err := awaitFor(ctx, stopWithin, "call round stops", ended); err != nil {
				return err
			}
		}
	}
	if !ended() { // somebody terminated the round, or it is lost: never silent
		w.handleRoundEnded(ctx, notify.CallRoundResult{Round: round})
	}
	return nil
}

// stopWithin is how long a round that calls nobody any more may take to report its end.
const stopWithin = 2 * time.Minute

// longestSilence returns more time than a round can take from one report to the next, which is one call.
func longestSilence(p models.Policy) time.Duration {
	return 2*longestCall + time.Duration(p.TellAfter+p.RingFor+p.BusyAgainAfter)
}

// handleContactCalled takes a round's report of one call.
func (w *incidentWorkflow) handleContactCalled(ctx workflow.Context, r notify.CallResult) {
	w.calling.lastReport = workflow.Now(ctx)
	if key := r.Outcome.Key(); key != "" {
		if ok, _ := w.isBacked(ctx, statement{r.Contact, key, ""}); !ok {
			return
		}
	}
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
		w.calling.endsItself = r.Round
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

// recordAcknowledgement records that a human acknowledged: the first one, or each in a fire drill.
func (w *incidentWorkflow) recordAcknowledgement(ctx workflow.Context, contact uuid.UUID, channel, how string) {
	i := w.state.Incident
	if !i.IsOver() && (i.Acknowledged == nil || i.Exercise.IsFireDrill() && i.Acknowledged.By != models.ContactActor(contact)) {
		w.logIfRefused(ctx, w.emit(ctx, models.ContactActor(contact), &incident.AcknowledgedBy{Channel: channel, How: how}))
	}
}

// handleRoundEnded takes a round's report of its end.
func (w *incidentWorkflow) handleRoundEnded(ctx workflow.Context, r notify.CallRoundResult) {
	if workflow.Await(ctx, func() bool { return w.lookingUp == 0 }) != nil { // its calls are told of first
		return
	}
	known := w.state.Incident.Acknowledged != nil && w.state.Incident.Acknowledged.By == models.ContactActor(r.Contact)
	if r.Acknowledged && !known { // also when we had given the round up for lost
		if ok, _ := w.isBacked(ctx, statement{r.Contact, notify.KeyAcknowledge, ""}); ok {
			w.recordAcknowledgement(ctx, r.Contact, "voice", keyPress1)
		} else {
			r.Acknowledged, r.Contact = false, uuid.Nil
		}
	}
	if r.Round != w.state.Incident.CallRound || !w.isRoundUnderway() {
		return
	}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CallRoundEnded{CallRoundResult: r}))
	if w.state.Incident.NeedsCalls() && r.Round >= w.state.Policy.Rounds {
		w.openTask(ctx, incident.TaskNobodyReached, "", fmt.Sprintf("nobody acknowledged after %d call rounds", r.Round))
	}
}
