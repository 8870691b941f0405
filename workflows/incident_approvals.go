package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// unruled returns an endpoint whose present wish the response authority has not ruled on, once the one device it is
// about is known, or nil.
func (w *incident) unruled() *models.Endpoint {
	if w.run.Incident.Over() {
		return nil
	}
	n := slices.IndexFunc(w.run.Incident.Endpoints, func(e models.Endpoint) bool { return e.Approval == nil && e.AgentID != "" })
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
	if now := w.run.Incident.Endpoint(e.ID); now == nil || now.Generation != e.Generation {
		return nil // something else is wanted meanwhile
	}
	w.must(ctx, w.note(ctx, models.System(), &models.ContainmentRuled{
		Endpoint: e.ID, Generation: e.Generation, Approval: fmt.Sprintf("a%d", w.run.Incident.Approvals+1), AgentID: e.AgentID,
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
			w.openTask(ctx, models.TaskRefused, p.ID, "endpoint "+p.ID+": "+d.Ruling.Rule)
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
	case *models.ApprovalAsked:
		w.askApproval(ctx, e.Seq, d.Approval)
	case *models.ApprovalRefused:
		w.openTask(ctx, models.TaskRefused, d.Approval, "approval "+d.Approval+" was refused by the client")
	case *models.LeaseDue:
		w.due(models.Notice{Purpose: models.PurposeLease, Occurrence: e.Seq})
	}
}

// askApproval asks the client's contacts for an approval: by mail, in the portal and by phone.
func (w *incident) askApproval(ctx workflow.Context, seq int, approval string) {
	w.due(models.Notice{Purpose: models.PurposeApproval, Occurrence: seq})
	w.ringing = append(w.ringing, approval)
}

// openApproval returns the endpoint whose approval still waits for people, or nil.
func (w *incident) openApproval(id string) *models.Endpoint {
	for n := range w.run.Incident.Endpoints {
		if p := &w.run.Incident.Endpoints[n]; p.Approval.Answerable() && p.Approval.ID == id {
			return p
		}
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
	p, err := plan(ctx, planInput{ClientID: i.ClientID, Reference: i.Reference, Severity: i.Severity, At: workflow.Now(ctx), Approval: true})
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
		if e.Approval.Ruling.Decision == models.DecideAskThenAuto {
			w.must(ctx, w.note(ctx, models.System(), &models.ApprovalLapsed{Approval: c.Approval}))
		}
	case c.Granted:
		w.must(ctx, w.note(ctx, contactActor(c.Contact), &models.ApprovalGiven{Approval: c.Approval, Person: c.Person, Via: "voice"}))
	default:
		w.must(ctx, w.note(ctx, contactActor(c.Contact), &models.ApprovalRefused{Approval: c.Approval, Person: c.Person, Via: "voice"}))
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
		if !gone {
			w.must(ctx, w.note(ctx, models.System(), d.event()))
		}
	}
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

func (d deadline) event() models.EventData {
	switch {
	case d.approval == "":
		return &models.LeaseDue{Endpoint: d.endpoint}
	case d.again:
		return &models.ApprovalAsked{Approval: d.approval}
	default:
		return &models.ApprovalLapsed{Approval: d.approval}
	}
}

func (w *incident) nextDeadline() (deadline, bool) {
	i := w.run.Incident
	var all []deadline
	for _, e := range i.Endpoints {
		switch {
		case e.Approval.Open() && e.Approval.Lapsed:
			all = append(all, deadline{at: e.Approval.ExpiresAt.Add(w.run.Policy.Reminder(i.Severity)), approval: e.Approval.ID, endpoint: e.ID, again: true})
		case e.Approval.Answerable():
			all = append(all, deadline{at: e.Approval.ExpiresAt, approval: e.Approval.ID, endpoint: e.ID})
		case !e.ReviewAt.IsZero() && e.Desired == models.DesiredIsolated && e.Kept == nil:
			all = append(all, deadline{at: e.ReviewAt, endpoint: e.ID})
		}
	}
	if len(all) == 0 {
		return deadline{}, false
	}
	return slices.MinFunc(all, func(a, b deadline) int { return a.at.Compare(b.at) }), true
}
