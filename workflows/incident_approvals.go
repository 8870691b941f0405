package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// unruled returns an endpoint about whose wish the response authority is to be asked now, once the one device it is
// about is known, or nil. What lapsed is ruled on when its time has come again.
func (w *incident) unruled() *models.Endpoint {
	if w.run.Incident.Over() {
		return nil
	}
	n := slices.IndexFunc(w.run.Incident.Endpoints, func(e models.Endpoint) bool {
		return e.AgentID != "" && e.Unruled() && (e.Approval == nil || !e.Approval.Lapsed)
	})
	if n < 0 {
		return nil
	}
	return &w.run.Incident.Endpoints[n]
}

// decide asks the response authority about what is wanted of an endpoint.
func (w *incident) decide(ctx workflow.Context, e models.Endpoint) error {
	i := w.run.Incident
	asset := e.Asset()
	ruling, err := rule(ctx, ruleInput{ClientID: i.ClientID, Reference: i.Reference, Endpoint: e.ID, Generation: e.Generation, Request: models.ResponseRequest{
		Action: e.Desired, Asset: asset, Severity: i.Severity, At: workflow.Now(ctx), Drill: i.Drill,
	}})
	if err != nil {
		return err
	}
	if now := w.run.Incident.Endpoint(e.ID); now == nil || now.Generation != e.Generation || !now.Unruled() {
		return nil // something else is wanted meanwhile
	}
	approval := fmt.Sprintf("a%d", w.run.Incident.Approvals+1)
	if e.Approval != nil {
		approval = e.Approval.ID
	}
	w.must(ctx, w.note(ctx, models.System(), &models.ContainmentRuled{
		Endpoint: e.ID, Generation: e.Generation, Approval: approval, AgentID: e.AgentID,
		Asset: asset, Ruling: ruling, ApproveFor: w.run.Policy.ApproveFor, Lease: w.run.Policy.Lease,
	}))
	return nil
}

// approvalChanged lets the consequences of what was ruled, answered or not answered follow.
func (w *incident) approvalChanged(ctx workflow.Context, e models.Event) {
	switch d := e.Data.(type) {
	case *models.ContainmentRuled:
		p := w.run.Incident.Endpoint(d.Endpoint)
		switch {
		case p.Approval.Refused != nil:
			w.endTask(ctx, models.TaskUnapproved, d.Approval)
			w.openTask(ctx, models.TaskRefused, p.ID, "endpoint "+p.ID+": "+d.Ruling.Rule)
		case p.Permitted():
			w.endTask(ctx, models.TaskUnapproved, d.Approval)
		case p.Approval.Answerable():
			w.askApproval(ctx, e.Seq, d.Approval)
		case p.Approval.Open():
			w.openTask(ctx, models.TaskUnasked, d.Approval, "the client must approve, and cannot be asked before the incident is published")
		}
	case *models.Published:
		for n := range w.run.Incident.Endpoints {
			if a := w.run.Incident.Endpoints[n].Approval; a.Answerable() {
				w.endTask(ctx, models.TaskUnasked, a.ID)
				w.askApproval(ctx, e.Seq, a.ID)
			}
		}
	case *models.ApprovalLapsed:
		if p := w.run.Incident.EndpointOfApproval(d.Approval); p.Approval.Lapsed {
			w.openTask(ctx, models.TaskUnapproved, d.Approval, "endpoint "+p.ID+": nobody of the client answered approval "+d.Approval+
				"; asked again "+d.AgainAt.UTC().Format(time.RFC3339))
		}
	case *models.ReleaseRequested:
		w.withdrawn(ctx, d.Endpoint)
	case *models.ApprovalRefused:
		w.endTask(ctx, models.TaskUnapproved, d.Approval)
		w.openTask(ctx, models.TaskRefused, d.Approval, "approval "+d.Approval+" was refused by the client")
	case *models.LeaseDue:
		w.due(models.Notice{Purpose: models.PurposeLease, Occurrence: e.Seq})
	}
}

// withdrawn ends the tasks about approvals of an endpoint that nobody waits for any more.
func (w *incident) withdrawn(ctx workflow.Context, endpoint string) {
	for _, t := range w.run.Incident.Tasks {
		about := t.Kind == models.TaskUnapproved || t.Kind == models.TaskUnasked
		if about && !t.Done && w.run.Incident.EndpointOfApproval(t.Effect) == nil {
			w.endTask(ctx, t.Kind, t.Effect)
		}
	}
}

// askApproval asks the client's contacts for an approval: by mail, in the portal and by phone.
func (w *incident) askApproval(ctx workflow.Context, seq int, approval string) {
	w.due(models.Notice{Purpose: models.PurposeApproval, Occurrence: seq})
	w.ringing = append(w.ringing, approval)
}

// openApproval returns the endpoint whose approval still waits for people, or nil.
func (w *incident) openApproval(id string) *models.Endpoint {
	if p := w.run.Incident.EndpointOfApproval(id); p != nil && p.Approval.Answerable() {
		return p
	}
	return nil
}

// ringForApprovals begins the calls about approvals that are asked, and looks after those an earlier run began.
func (w *incident) ringForApprovals(ctx workflow.Context) {
	for _, e := range w.run.Incident.Endpoints {
		if e.Approval.Answerable() {
			w.ringing = append(w.ringing, e.Approval.ID)
		}
	}
	for workflow.Await(ctx, func() bool { return len(w.ringing) > 0 }) == nil {
		approval := w.ringing[0]
		w.ringing = w.ringing[1:]
		workflow.Go(ctx, func(ctx workflow.Context) { w.ringForApproval(ctx, approval) })
	}
}

// ringForApproval calls contacts about an approval, in their order, until it is settled.
func (w *incident) ringForApproval(ctx workflow.Context, approval string) {
	i := w.run.Incident
	e := w.openApproval(approval)
	if e == nil {
		return
	}
	round := e.Approval.Asked
	if w.run.Rung[approval] < round && !w.ring(ctx, approval, round) {
		return
	}
	if workflow.Await(ctx, func() bool { return w.openApproval(approval) == nil }) == nil {
		// A round that is over needs no stop.
		id := i.Reference.ApprovalWorkflowID(approval, round)
		_ = workflow.SignalExternalWorkflow(ctx, id, "", models.SignalStop, nil).Get(ctx, nil)
	}
}

// ring starts the calls. It reports false when there is nobody to call, or nothing to call about any more.
func (w *incident) ring(ctx workflow.Context, approval string, round int) bool {
	i := w.run.Incident
	p, err := plan(ctx, planInput{ClientID: i.ClientID, Reference: i.Reference, Severity: i.PublishedSeverity, At: workflow.Now(ctx), Approval: true})
	e := w.openApproval(approval)
	if err != nil || e == nil || len(p.Calls) == 0 {
		return false
	}
	w.run.Rung[approval] = round
	w.startChild(ctx, i.Reference.ApprovalWorkflowID(approval, round), fmt.Sprintf("%s · calls about approval %s", i.Reference, approval), models.CallRoundWorkflow, models.CallRoundRun{
		Reference: i.Reference, ClientID: i.ClientID, Revision: i.Revision, Round: round, Policy: w.run.Policy, Calls: p.Calls,
		Approval: &models.ApprovalCall{ID: approval, Endpoint: e.ID, Persons: max(e.Approval.Ruling.Persons-len(e.Approval.Given), 1)},
	})
	return true
}

// phoneConsent is a contact's key press about an approval, or the word that every contact was called.
func (w *incident) phoneConsent(ctx workflow.Context, c models.PhoneConsent) {
	e := w.openApproval(c.Approval)
	switch {
	case e == nil:
	case c.Ended:
		if c.Tried && e.Approval.Ruling.Decision == models.DecideAskThenAuto {
			w.must(ctx, w.note(ctx, models.System(), &models.ApprovalLapsed{Approval: c.Approval, Tried: true}))
		}
	case c.Granted:
		w.must(ctx, w.note(ctx, models.ContactActor(c.Contact), &models.ApprovalGiven{Approval: c.Approval, Person: c.Person, Via: "voice"}))
	default:
		w.must(ctx, w.note(ctx, models.ContactActor(c.Contact), &models.ApprovalRefused{Approval: c.Approval, Person: c.Person, Via: "voice"}))
	}
}

// deadline is something about an endpoint that happens when its time has come.
type deadline struct {
	at       time.Time
	approval string // "" for a lease
	endpoint string
	again    bool // it lapsed and is asked again
}

// watchContainment lets approvals lapse, asks them again by the reminder rule, and has isolations reviewed.
func (w *incident) watchContainment(ctx workflow.Context) {
	for !w.run.Incident.Over() {
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
		if !gone && w.passed(ctx, d, changed) != nil {
			return
		}
	}
}

// passed does what is due when a deadline has passed.
func (w *incident) passed(ctx workflow.Context, d deadline, changed func() bool) error {
	e := w.run.Incident.Endpoint(d.endpoint)
	switch {
	case d.approval == "":
		w.must(ctx, w.note(ctx, models.System(), &models.LeaseDue{Endpoint: d.endpoint}))
		return nil
	case d.again:
		return w.decide(ctx, *e)
	}
	again, err := w.askAgainAt(ctx, e.Approval.AskedAt)
	if err == nil && !changed() {
		w.must(ctx, w.note(ctx, models.System(), &models.ApprovalLapsed{Approval: d.approval, AgainAt: again}))
	}
	return err
}

// askAgainAt is when an approval that was asked at a moment and not answered is asked again: by the reminder rule; when
// nobody could be reached while it was open, as soon as somebody can.
func (w *incident) askAgainAt(ctx workflow.Context, asked time.Time) (time.Time, error) {
	now := workflow.Now(ctx)
	at, err := w.firstReach(ctx, asked)
	if err != nil || !at.Before(now) {
		return at, err
	}
	return w.firstReach(ctx, now.Add(w.run.Policy.Reminder(w.run.Incident.PublishedSeverity)))
}

// firstReach is when the first contact can be reached about an approval that is asked at a moment; that moment itself, if
// nobody ever can.
func (w *incident) firstReach(ctx workflow.Context, at time.Time) (time.Time, error) {
	i := w.run.Incident
	p, err := plan(ctx, planInput{ClientID: i.ClientID, Reference: i.Reference, Severity: i.PublishedSeverity, At: at, Approval: true})
	if err != nil || len(p.Calls) > 0 || len(p.Messages) == 0 {
		return at, err
	}
	return slices.MinFunc(p.Messages, func(a, b models.Reach) int { return a.At.Compare(b.At) }).At, nil
}

func (d deadline) summary() string {
	switch {
	case d.approval == "":
		return "endpoint " + d.endpoint + ": extend the isolation or release it"
	case d.again:
		return "ask for approval " + d.approval + " again"
	default:
		return "approval " + d.approval + " lapses"
	}
}

func (w *incident) nextDeadline() (deadline, bool) {
	i := w.run.Incident
	var all []deadline
	for _, e := range i.Endpoints {
		switch {
		case e.Approval.Open() && e.Approval.Lapsed:
			all = append(all, deadline{at: e.Approval.AgainAt, approval: e.Approval.ID, endpoint: e.ID, again: true})
		case e.Approval.Answerable():
			all = append(all, deadline{at: e.Approval.ExpiresAt, approval: e.Approval.ID, endpoint: e.ID})
		}
		if !e.ReviewAt.IsZero() && e.Kept == nil {
			all = append(all, deadline{at: e.ReviewAt, endpoint: e.ID})
		}
	}
	if len(all) == 0 {
		return deadline{}, false
	}
	return slices.MinFunc(all, func(a, b deadline) int { return a.at.Compare(b.at) }), true
}
