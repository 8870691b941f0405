package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// approving is the transient state of callAboutApprovals.
type approving struct {
	toCall []string // approvals that contacts are to be called about
}

// nextWithoutRuling returns an endpoint whose desired state needs a ruling of the response authority now, or nil. The
// one device must be known first. An expired approval gets its next ruling when it is asked for again.
func (w *incidentWorkflow) nextWithoutRuling() *incident.Endpoint {
	if w.state.Incident.IsOver() && !w.state.Managing {
		return nil
	}
	n := slices.IndexFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool {
		return e.AgentID != "" && e.NeedsRuling() && (e.Approval == nil || !e.Approval.Expired)
	})
	if n < 0 {
		return nil
	}
	return &w.state.Incident.Endpoints[n]
}

// evaluateAuthority asks the response authority about the desired state of an endpoint.
func (w *incidentWorkflow) evaluateAuthority(ctx workflow.Context, e incident.Endpoint) error {
	i := w.state.Incident
	asset := e.Asset()
	ruling, err := evaluateAuthority(ctx, evaluateAuthorityInput{ClientID: i.ClientID, Reference: i.Reference, Endpoint: e.ID, Generation: e.Generation, Request: authority.Request{
		Action: e.Desired, Asset: asset, Severity: i.Severity, At: workflow.Now(ctx), Drill: i.Exercise.IsDrill(),
	}})
	if err != nil {
		return err
	}
	if now := w.state.Incident.Endpoint(e.ID); now == nil || now.Generation != e.Generation || !now.NeedsRuling() {
		return nil // the desired state has changed meanwhile
	}
	approval := fmt.Sprintf("a%d", w.state.Incident.Approvals+1)
	if e.Approval != nil {
		approval = e.Approval.ID
	}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ContainmentRuled{
		Endpoint: e.ID, Generation: e.Generation, Approval: approval, AgentID: e.AgentID,
		Asset: asset, Ruling: ruling, ApproveFor: w.state.Policy.ApproveFor, Lease: w.state.Policy.Lease,
	}))
	return nil
}

// approvalChanged lets the consequences follow from an event about an approval: a ruling, an answer or a missing one.
func (w *incidentWorkflow) approvalChanged(ctx workflow.Context, e incident.Event) {
	switch d := e.Data.(type) {
	case *incident.ContainmentRuled:
		p := w.state.Incident.Endpoint(d.Endpoint)
		switch {
		case p.Approval.Denied != nil:
			w.endApprovalTasks(ctx, d.Approval)
			w.openTask(ctx, incident.TaskDenied, p.ID, "endpoint "+p.ID+": "+d.Ruling.Rule)
		case p.IsPermitted():
			w.endApprovalTasks(ctx, d.Approval)
		case p.Approval.IsAnswerable():
			w.approving.toCall = append(w.approving.toCall, d.Approval)
		case p.Approval.IsOpen():
			w.openTask(ctx, incident.TaskApprovalWaiting, d.Approval, "the client must approve, and cannot be asked before the incident is published")
		}
	case *incident.Published:
		for n := range w.state.Incident.Endpoints {
			if a := w.state.Incident.Endpoints[n].Approval; a.IsAnswerable() {
				w.endTask(ctx, incident.TaskApprovalWaiting, a.ID)
				w.approving.toCall = append(w.approving.toCall, a.ID)
			}
		}
	case *incident.ApprovalExpired:
		if p := w.state.Incident.EndpointOfApproval(d.Approval); p.Approval.Expired {
			w.openTask(ctx, incident.TaskApprovalUnanswered, d.Approval, "endpoint "+p.ID+": nobody of the client answered approval "+d.Approval+
				"; asked again "+d.NextAskAt.UTC().Format(time.RFC3339))
		}
	case *incident.ReleaseRequested:
		w.endWithdrawnTasks(ctx)
	case *incident.TaskDone:
		w.callAgain(e.Actor, d.ID)
	case *incident.ApprovalDenied:
		w.endApprovalTasks(ctx, d.Approval)
		w.openTask(ctx, incident.TaskDenied, d.Approval, "approval "+d.Approval+" was denied by the client")
	}
}

// callAgain has contacts called about an approval that nobody could be called about, because a person of the SOC ended the
// task about that.
func (w *incidentWorkflow) callAgain(by models.Actor, task string) {
	for _, t := range w.state.Incident.Tasks {
		if t.ID == task && t.Kind == incident.TaskNoApprover && by.Side == models.SideSOC && w.openApproval(t.Effect) != nil {
			w.approving.toCall = append(w.approving.toCall, t.Effect)
		}
	}
}

// endApprovalTasks ends the tasks about an approval that was answered.
func (w *incidentWorkflow) endApprovalTasks(ctx workflow.Context, approval string) {
	w.endTask(ctx, incident.TaskApprovalUnanswered, approval)
	w.endTask(ctx, incident.TaskNoApprover, approval)
}

// endWithdrawnTasks ends the tasks about approvals that no endpoint needs any more.
func (w *incidentWorkflow) endWithdrawnTasks(ctx workflow.Context) {
	for _, t := range w.state.Incident.Tasks {
		about := t.Kind == incident.TaskApprovalUnanswered || t.Kind == incident.TaskApprovalWaiting || t.Kind == incident.TaskNoApprover
		if about && !t.Done && w.state.Incident.EndpointOfApproval(t.Effect) == nil {
			w.endTask(ctx, t.Kind, t.Effect)
		}
	}
}

// openApproval returns the endpoint whose approval people are being asked for, or nil.
func (w *incidentWorkflow) openApproval(id string) *incident.Endpoint {
	if p := w.state.Incident.EndpointOfApproval(id); p != nil && p.Approval.IsAnswerable() {
		return p
	}
	return nil
}

// askForApprovals has contacts called about every approval that people are asked for, unless it was done.
func (w *incidentWorkflow) askForApprovals() {
	for _, e := range w.state.Incident.Endpoints {
		if e.Approval.IsAnswerable() {
			w.approving.toCall = append(w.approving.toCall, e.Approval.ID)
		}
	}
}

// callAboutApprovals begins the calls about approvals that people are asked for, and goes on with those that an earlier
// run began.
func (w *incidentWorkflow) callAboutApprovals(ctx workflow.Context) {
	w.askForApprovals()
	for workflow.Await(ctx, func() bool { return len(w.approving.toCall) > 0 || w.unmadeRound() != nil }) == nil {
		if r := w.unmadeRound(); r != nil {
			w.calling.made[r] = true
			workflow.Go(ctx, func(ctx workflow.Context) { w.callApprovers(ctx, r) })
			continue
		}
		approval := w.approving.toCall[0]
		w.approving.toCall = w.approving.toCall[1:]
		e := w.openApproval(approval)
		if e == nil || w.state.ApprovalRounds[approval] >= e.Approval.Asked ||
			slices.ContainsFunc(w.state.Rounds, func(r *notify.CallRound) bool { return r.Approval == approval && r.Round == e.Approval.Asked }) {
			continue // or its calls are made, or over
		}
		w.state.Rounds = append(w.state.Rounds, &notify.CallRound{Round: e.Approval.Asked, Revision: w.state.Incident.Revision, Approval: approval, Endpoint: e.ID})
	}
}

// unmadeRound returns a round of calls about an approval that no coroutine makes, or nil.
func (w *incidentWorkflow) unmadeRound() *notify.CallRound {
	n := slices.IndexFunc(w.state.Rounds, func(r *notify.CallRound) bool { return r.Approval != "" && !w.calling.made[r] })
	if n < 0 {
		return nil
	}
	return w.state.Rounds[n]
}

// callApprovers makes a round of calls about an approval, in the contacts' order.
func (w *incidentWorkflow) callApprovers(ctx workflow.Context, r *notify.CallRound) {
	if r.Contacts == nil && w.planApprovers(ctx, r) != nil {
		return
	}
	_ = w.makeCalls(ctx, r)
}

// planApprovers finds out who is called in a round about an approval, once the store has that it is asked for: nobody when
// it is no longer open, or nobody can be called, which the SOC is told.
func (w *incidentWorkflow) planApprovers(ctx workflow.Context, r *notify.CallRound) error {
	if e := w.openApproval(r.Approval); e != nil {
		seq, rebases := e.Approval.AskedSeq, w.recording.rebases
		if err := workflow.Await(ctx, func() bool { return w.mayFollow(seq) || w.recording.rebases > rebases || w.isRoundOver(r) }); err != nil {
			return err
		}
	}
	if w.isRoundOver(r) {
		return nil
	}
	e := w.openApproval(r.Approval)
	p, err := w.plan(ctx, planInput{At: workflow.Now(ctx), Approval: true, AskedBy: &e.RequestedBy, Persons: e.Approval.Ruling.Persons})
	if e = w.openApproval(r.Approval); err != nil || w.isRoundOver(r) {
		return err
	}
	if r.Contacts = e.CallableAbout(p.Calls); len(r.Contacts) == 0 {
		w.openTask(ctx, incident.TaskNoApprover, r.Approval, "nobody can be called who may give approval "+r.Approval+
			" on the phone; responders and admins of the client can give it over the API")
		return nil
	}
	w.endTask(ctx, incident.TaskNoApprover, r.Approval)
	w.state.ApprovalRounds[r.Approval] = r.Round
	return nil
}

// approvalCallsEnded lets an isolation go on that waits for the client only as long as somebody can be called.
func (w *incidentWorkflow) approvalCallsEnded(ctx workflow.Context, r *notify.CallRound) {
	delete(w.calling.made, r)
	e := w.openApproval(r.Approval)
	if e != nil && e.Approval.Asked == r.Round && e.Approval.Ruling.Decision == authority.DecideAskThenAuto && r.HasCalledEverybody() {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ApprovalExpired{Approval: r.Approval, AllCalled: true}))
	}
}

// takeConsent takes a contact's answer about an approval, which their own row stands behind.
func (w *incidentWorkflow) takeConsent(ctx workflow.Context, approval string, k notify.KeyPress, found foundStatement) {
	e := w.openApproval(approval)
	if e == nil || k.Digit != notify.KeyAcknowledge && k.Digit != notify.KeyDeny {
		return
	}
	by := models.ContactActor(k.Contact)
	if k.Digit == notify.KeyDeny {
		w.answerApproval(ctx, by, (*incident.Deny)(nil).Name(), &incident.ApprovalDenied{Approval: approval, Person: found.Person, Via: "voice"})
	} else { // who agreed meanwhile was looked up, too
		voided := slices.DeleteFunc(e.Approval.Givers(), func(by models.Actor) bool { return !slices.Contains(found.Voided, by) })
		w.answerApproval(ctx, by, (*incident.Approve)(nil).Name(), &incident.ApprovalGiven{Approval: approval, Person: found.Person, Via: "voice", Voided: voided})
	}
	w.recordAcknowledgement(ctx, k.Contact, "voice", "answer about approval "+approval) // whoever answers has heard of the incident
}

// answerApproval records a contact's answer about an approval or, when it is refused, that it was.
func (w *incidentWorkflow) answerApproval(ctx workflow.Context, by models.Actor, command string, answer incident.EventData) {
	err := w.emit(ctx, by, answer)
	if err == nil {
		return
	}
	rejected := &incident.CommandRejected{Command: command, Reason: failureText(rejection(err)), By: by}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), rejected))
}

// deadline is the end of an approval or a lease, or the moment at which an expired approval is asked for again.
type deadline struct {
	at       time.Time
	approval string // "" for a lease
	endpoint string
	askAgain bool // the approval has expired
}

// watchContainment lets approvals expire, asks for them again by the reminder rule, and has isolations reviewed.
func (w *incidentWorkflow) watchContainment(ctx workflow.Context) {
	for !w.state.Incident.IsOver() || w.state.Managing {
		d, wanted := w.nextDeadline()
		changed := func() bool {
			now, still := w.nextDeadline()
			return still != wanted || now != d
		}
		if !wanted {
			if workflow.Await(ctx, changed) != nil {
				return
			}
			continue
		}
		gone, err := awaitUntil(ctx, d.at, d.summary(), changed)
		if err != nil {
			return
		}
		if !gone && w.actOnDeadline(ctx, d, changed) != nil {
			return
		}
	}
}

// actOnDeadline emits the event of a deadline that has passed, or has an expired approval ruled on again.
func (w *incidentWorkflow) actOnDeadline(ctx workflow.Context, d deadline, changed func() bool) error {
	e := w.state.Incident.Endpoint(d.endpoint)
	switch {
	case d.approval == "":
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.LeaseDue{Endpoint: d.endpoint}))
		return nil
	case d.askAgain:
		return w.evaluateAuthority(ctx, *e)
	}
	next, err := w.askAgainAt(ctx, *e)
	if err == nil && !changed() {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ApprovalExpired{Approval: d.approval, NextAskAt: next}))
	}
	return err
}

// askAgainAt returns when the approval of an endpoint, which nobody answered, is asked for again: by the
// reminder rule or, when nobody could be reached while it was open, as soon as somebody can be.
func (w *incidentWorkflow) askAgainAt(ctx workflow.Context, e incident.Endpoint) (time.Time, error) {
	now := workflow.Now(ctx)
	at, err := w.firstReachable(ctx, e, e.Approval.AskedAt)
	if err != nil || !at.Before(now) {
		return at, err
	}
	return w.firstReachable(ctx, e, now.Add(w.state.Policy.Reminder(w.state.Incident.PublishedSeverity)))
}

// firstReachable returns when the first contact can be reached about an approval that is asked for at a moment. It
// returns that moment itself when nobody ever can be.
func (w *incidentWorkflow) firstReachable(ctx workflow.Context, e incident.Endpoint, at time.Time) (time.Time, error) {
	p, err := w.plan(ctx, planInput{At: at, Approval: true, AskedBy: &e.RequestedBy, Persons: e.Approval.Ruling.Persons})
	if err != nil || len(p.Calls) > 0 || len(p.Messages) == 0 {
		return at, err
	}
	return slices.MinFunc(p.Messages, func(a, b notify.Recipient) int { return a.At.Compare(b.At) }).At, nil
}

func (d deadline) summary() string {
	switch {
	case d.approval == "":
		return "endpoint " + d.endpoint + ": extend the isolation or release it"
	case d.askAgain:
		return "ask for approval " + d.approval + " again"
	default:
		return "approval " + d.approval + " expires"
	}
}

// nextDeadline returns the deadline that comes first, and false when there is none.
func (w *incidentWorkflow) nextDeadline() (deadline, bool) {
	i := w.state.Incident
	var all []deadline
	for _, e := range i.Endpoints {
		switch {
		case e.Approval.IsOpen() && e.Approval.Expired:
			all = append(all, deadline{at: e.Approval.NextAskAt, approval: e.Approval.ID, endpoint: e.ID, askAgain: true})
		case e.Approval.IsAnswerable():
			all = append(all, deadline{at: e.Approval.ExpiresAt, approval: e.Approval.ID, endpoint: e.ID})
		}
		switch {
		case e.ReviewAt.IsZero():
		case e.Kept == nil:
			all = append(all, deadline{at: e.ReviewAt, endpoint: e.ID})
		case w.state.Managing: // keeping it began another lease
			at := e.Kept.At.Add(time.Duration(e.Lease))
			if e.ReviewAt.After(at) {
				at = e.ReviewAt
			}
			all = append(all, deadline{at: at, endpoint: e.ID})
		}
	}
	if len(all) == 0 {
		return deadline{}, false
	}
	return slices.MinFunc(all, func(a, b deadline) int { return a.at.Compare(b.at) }), true
}
