package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// callContacts keeps call rounds going for a critical incident until a human acknowledges. It never gives up: after the
// policy's rounds the lead gets a task and the cadence slows.
func (w *incidentWorkflow) callContacts(ctx workflow.Context) {
	for {
		if workflow.Await(ctx, func() bool { return w.needsCallRound() || w.isRoundUnderway() || w.ownRound() != nil }) != nil {
			return
		}
		if r := w.presentRound(ctx); r != nil && w.makeCalls(ctx, r) != nil {
			return
		}
	}
}

// ownRound returns the round of calls about the incident that goes on, or nil.
func (w *incidentWorkflow) ownRound() *notify.CallRound {
	n := slices.IndexFunc(w.state.Rounds, func(r *notify.CallRound) bool { return r.Approval == "" })
	if n < 0 {
		return nil
	}
	return w.state.Rounds[n]
}

// presentRound returns the round of calls about the incident that is under way, after it has begun the next one when its
// time has come. It returns nil when nobody is to be called any more, or at another time.
func (w *incidentWorkflow) presentRound(ctx workflow.Context) *notify.CallRound {
	r := w.ownRound()
	switch {
	case r == nil && !w.isRoundUnderway():
		return w.startRound(ctx)
	case r == nil: // nobody knows whom it has called; the ledger does
		r = &notify.CallRound{Round: w.state.Incident.CallRound, Revision: w.state.Incident.Revision}
		w.state.Rounds = append(w.state.Rounds, r)
	}
	if r.Contacts == nil { // it was the round of a run that was lost
		contacts, err := w.planRound(ctx)
		if err != nil {
			return nil
		}
		r.Contacts, r.Critical = contacts, w.state.Incident.NeedsCalls()
		w.dropPendingCalls(r)
	}
	return r
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

// startRound waits for the next round's time and begins the round. It returns nil when the need for it is gone, its time
// has changed, or nobody is to be called.
func (w *incidentWorkflow) startRound(ctx workflow.Context) *notify.CallRound {
	unneeded := func() bool { return !w.needsCallRound() }
	at := w.nextRoundAt()
	changed := func() bool {
		return unneeded() || w.isRoundUnderway() || w.ownRound() != nil || w.nextRoundAt().Before(at)
	}
	if stop, err := awaitUntil(ctx, at, fmt.Sprintf("call round %d begins", w.state.Incident.CallRound+1), changed); stop || err != nil || unneeded() {
		return nil
	}
	contacts, err := w.planRound(ctx)
	if err != nil || unneeded() || w.isRoundUnderway() {
		return nil
	}
	i := w.state.Incident
	r := &notify.CallRound{Round: i.CallRound + 1, Revision: i.Revision, Contacts: contacts}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CallRoundStarted{Round: r.Round}))
	r.Critical = w.state.Incident.NeedsCalls()
	w.dropPendingCalls(r)
	w.state.Rounds = append(w.state.Rounds, r)
	if len(contacts) == 0 {
		w.openTask(ctx, incident.TaskNobodyToReach, "", "no contact is to be called for severity "+string(i.PublishedSeverity))
		w.endRound(ctx, r)
		return nil
	}
	return r
}

// planRound returns who is called now, in their order: all contacts who can be called about a critical incident, or in a
// fire drill, or those whom a message did not reach.
func (w *incidentWorkflow) planRound(ctx workflow.Context) ([]uuid.UUID, error) {
	all, now := w.state.Incident.NeedsCalls() || w.state.Incident.Exercise.IsFireDrill(), workflow.Now(ctx)
	to := w.state.PendingCalls
	if all {
		p, err := w.plan(ctx, planInput{At: now})
		if err != nil {
			return nil, err
		}
		to = p.Calls
	}
	contacts := []uuid.UUID{}
	for _, r := range to {
		if all || !r.At.After(now) {
			contacts = append(contacts, r.Contact)
		}
	}
	return contacts, nil
}

// dropPendingCalls takes out the contacts whom a round calls because a message did not reach them; a round about a
// critical incident calls everybody who can be called.
func (w *incidentWorkflow) dropPendingCalls(r *notify.CallRound) {
	w.state.PendingCalls = slices.DeleteFunc(slices.Clone(w.state.PendingCalls), func(p notify.Recipient) bool {
		return r.Critical || slices.Contains(r.Contacts, p.Contact)
	})
}

// nextRoundAt returns when the next round begins: by the policy or, when only contacts are called whom a message did
// not reach, when the first of them may be called.
func (w *incidentWorkflow) nextRoundAt() time.Time {
	if w.state.Incident.NeedsCalls() || len(w.state.PendingCalls) == 0 {
		return w.state.Incident.NextCallRound(w.state.Policy)
	}
	return slices.MinFunc(w.state.PendingCalls, func(a, b notify.Recipient) int { return a.At.Compare(b.At) }).At
}

// recordAcknowledgement records that a human acknowledged: the first one, or each in a fire drill.
func (w *incidentWorkflow) recordAcknowledgement(ctx workflow.Context, contact uuid.UUID, channel, how string) {
	i := w.state.Incident
	if !i.IsOver() && (i.Acknowledged == nil || i.Exercise.IsFireDrill() && i.Acknowledged.By != models.ContactActor(contact)) {
		w.logIfRefused(ctx, w.emit(ctx, models.ContactActor(contact), &incident.AcknowledgedBy{Channel: channel, How: how}))
	}
}
