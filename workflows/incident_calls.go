package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// callContacts keeps call rounds going for a critical incident until a human acknowledges. It never gives up: after
// the policy's rounds the lead gets a task and the cadence slows.
func (w *incident) callContacts(ctx workflow.Context) {
	for !w.run.Incident.Over() {
		err := workflow.Await(ctx, func() bool { return w.needsRound() || w.roundUnderway() || w.run.Incident.Over() })
		if err != nil || w.run.Incident.Over() && !w.roundUnderway() {
			return
		}
		if !w.roundUnderway() && !w.startRound(ctx) {
			continue
		}
		if w.awaitRound(ctx) != nil {
			return
		}
	}
}

// needsRound reports whether contacts are to be called: all of them for a critical incident, or those whom a message
// did not reach.
func (w *incident) needsRound() bool {
	i := w.run.Incident
	return i.NeedsCalls() || len(w.run.Callees) > 0 && i.Acknowledged == nil && !i.Over()
}

func (w *incident) roundUnderway() bool {
	return w.run.Incident.CallRound > 0 && w.run.Incident.CallRoundEnded.IsZero()
}

// startRound waits for the next round's time and starts it. It reports false when there was no need any more, or when
// that time changed.
func (w *incident) startRound(ctx workflow.Context) bool {
	unneeded := func() bool { return !w.needsRound() }
	at := w.nextRound()
	changed := func() bool { return unneeded() || w.nextRound().Before(at) }
	if stop, err := awaitUntil(ctx, at, fmt.Sprintf("call round %d begins", w.run.Incident.CallRound+1), changed); stop || err != nil {
		return false
	}
	i := w.run.Incident
	later := func(r models.Reach) bool { return r.At.After(workflow.Now(ctx)) }
	to := slices.DeleteFunc(slices.Clone(w.run.Callees), later)
	if i.NeedsCalls() {
		p, err := plan(ctx, planInput{ClientID: i.ClientID, Reference: i.Reference, Severity: i.PublishedSeverity, At: workflow.Now(ctx)})
		if err != nil || unneeded() {
			return false
		}
		to = p.Calls
	}
	w.run.Callees = slices.DeleteFunc(w.run.Callees, func(r models.Reach) bool { return i.NeedsCalls() || !later(r) })
	round := i.CallRound + 1
	w.must(ctx, w.note(ctx, models.System(), &models.CallRoundStarted{Round: round}))
	if len(to) == 0 {
		w.openTask(ctx, models.TaskNobodyToReach, "", "no contact is to be called for severity "+string(i.PublishedSeverity))
		w.roundEnded(ctx, models.RoundResult{Round: round})
		return false
	}
	w.startChild(ctx, i.Reference.CallRoundWorkflowID(round), fmt.Sprintf("%s · call round %d", i.Reference, round), models.CallRoundWorkflow,
		models.CallRoundRun{Reference: i.Reference, ClientID: i.ClientID, Revision: i.Revision, Round: round, Policy: w.run.Policy, Calls: to,
			Everyone: i.FireDrill != "", Rehearsal: w.rehearsal()})
	return true
}

// nextRound is when the next round begins: by the policy, or, when only those are called whom a message did not reach,
// when the first of them may be.
func (w *incident) nextRound() time.Time {
	if w.run.Incident.NeedsCalls() || len(w.run.Callees) == 0 {
		return w.run.Incident.NextCallRound(w.run.Policy)
	}
	return slices.MinFunc(w.run.Callees, func(a, b models.Reach) int { return a.At.Compare(b.At) }).At
}

// startChild starts a child workflow that outlives this run. One that runs already is fine.
func (w *incident) startChild(ctx workflow.Context, id, summary, kind string, arg any) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, StaticSummary: summary,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	})
	if err := workflow.ExecuteChildWorkflow(ctx, kind, arg).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("child workflow not started", "id", id, "error", err)
	}
}

// awaitRound waits for the round to end. As soon as anyone acknowledged anywhere, or no calls are needed any more, the
// round is told to stop, and also when it has been silent for longer than a call can take.
func (w *incident) awaitRound(ctx workflow.Context) error {
	round, needed := w.run.Incident.CallRound, w.run.Incident.NeedsCalls()
	ended := func() bool { return !w.roundUnderway() }
	enough := func() bool {
		i := w.run.Incident
		return ended() || i.Over() || needed && !i.NeedsCalls() || i.Acknowledged != nil && i.FireDrill == ""
	}
	w.heard = workflow.Now(ctx)
	until := func() time.Time { return w.heard.Add(longestSilence(w.run.Policy)) }
	for !enough() && workflow.Now(ctx).Before(until()) {
		if _, err := awaitUntil(ctx, until(), fmt.Sprintf("watch that call round %d goes on", round), enough); err != nil {
			return err
		}
	}
	if !ended() {
		stop := workflow.SignalExternalWorkflow(ctx, w.run.Incident.Reference.CallRoundWorkflowID(round), "", models.SignalStop, nil)
		if stop.Get(ctx, nil) == nil {
			if _, err := awaitFor(ctx, 2*time.Minute, "call round stops", ended); err != nil {
				return err
			}
		}
	}
	if !ended() { // it was terminated by hand, or lost: never silent
		w.roundEnded(ctx, models.RoundResult{Round: round})
	}
	return nil
}

// longestSilence is more than a round can take from one report to the next, which is one call.
func longestSilence(p models.Policy) time.Duration {
	return 2*longestCall + time.Duration(p.TellAfter+p.RingFor+p.BusyAgainAfter)
}

func (w *incident) contactCalled(ctx workflow.Context, r models.CallResult) {
	w.heard = workflow.Now(ctx)
	w.must(ctx, w.note(ctx, models.System(), &models.ContactCalled{CallResult: r}))
	switch r.Outcome {
	case models.OutcomeUnplaced:
		w.openTask(ctx, models.TaskVendorDown, "phone", "the carrier does not take calls: "+r.Reason)
	case models.OutcomeMisconfigured:
		w.openTask(ctx, models.TaskConfig, "phone", "calls: "+r.Reason)
	case models.OutcomeRefused:
		w.openTask(ctx, models.TaskRejected, "phone/"+r.Contact.String(), "the carrier will not call a contact's number: "+r.Reason)
	case models.OutcomeCanceled, models.OutcomeEngaged: // say nothing about the carrier
	default:
		w.endTask(ctx, models.TaskVendorDown, "phone")
		w.endTask(ctx, models.TaskConfig, "phone")
	}
	switch {
	case r.Outcome == models.OutcomeAcknowledged:
		w.reached(ctx, r.Contact, "voice", keyPress1)
	case r.Missed(w.run.Policy):
		w.textMissed(ctx, r)
	}
}

// textMissed sends a text to a contact who did not take a call, once for each revision.
func (w *incident) textMissed(ctx workflow.Context, r models.CallResult) {
	i := w.run.Incident
	n := models.Notice{Purpose: models.PurposePublished, Revision: i.Revision, Occurrence: 1, Contact: r.Contact, Channel: models.ChannelVoice}
	w.insteadOf(ctx, n, models.MessageEffect(i.Reference, i.ClientID, n).Key, string(r.Outcome))
}

// reached records that a human was reached: the first one, or, in a fire drill, each.
func (w *incident) reached(ctx workflow.Context, contact uuid.UUID, channel, how string) {
	i := w.run.Incident
	if !i.Over() && (i.Acknowledged == nil || i.FireDrill != "" && i.Acknowledged.By != models.ContactActor(contact)) {
		w.must(ctx, w.note(ctx, models.ContactActor(contact), &models.AcknowledgedBy{Channel: channel, How: how}))
	}
}

func (w *incident) roundEnded(ctx workflow.Context, r models.RoundResult) {
	if r.Acknowledged { // also when the round was given up for lost
		w.reached(ctx, r.Contact, "voice", keyPress1)
	}
	if r.Round != w.run.Incident.CallRound || !w.roundUnderway() {
		return
	}
	w.must(ctx, w.note(ctx, models.System(), &models.CallRoundEnded{RoundResult: r}))
	if w.run.Incident.NeedsCalls() && r.Round >= w.run.Policy.Rounds {
		w.openTask(ctx, models.TaskNobodyReached, "", fmt.Sprintf("nobody acknowledged after %d call rounds", r.Round))
	}
}
