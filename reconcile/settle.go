package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// The reasons for which workflows are terminated, as Temporal keeps them.
const (
	reasonSettled   = "settled by the operator"
	reasonDiscarded = "settled by the operator, who discards what it recorded"
)

// Settlement is what an operator can do about a difference.
type Settlement string

// The settlements; their names are those of the command's flags.
const (
	SettleRecover Settlement = "recover" // append the events that the database lost from the engine's histories
	SettleRestart Settlement = "restart" // end what runs and start it again from the database
	SettleDiscard Settlement = "discard" // restart, and drop what the engine has and the database lost
	SettleEnd     Settlement = "end"     // end what runs, of which the database knows nothing
)

// Difference is one point in which store and engine disagree about an incident.
type Difference struct {
	Reference models.Reference
	What      string
	Settle    Settlement // "": nothing is to be done, or can be
}

// Operator compares store and engine in full and settles differences one by one, on a person's word. It needs no worker.
type Operator struct {
	Reconciler
}

func (o *Operator) pass() *pass {
	return o.newPass()
}

// Differences lists the points in which store and engine disagree, by reference: of the incidents that are not over, and
// of all whose workflows the engine knows. What is on its way between the two is no difference.
func (o *Operator) Differences(ctx context.Context) ([]Difference, error) {
	known, err := o.references(ctx)
	if err != nil {
		return nil, err
	}
	var all []Difference
	for _, r := range known {
		d, err := o.compare(ctx, r)
		if err == nil && d.What != "" { // events may be on their way
			if err = sleep(ctx, time.Second); err == nil {
				d, err = o.compare(ctx, r)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", r, err)
		}
		if d.What != "" {
			all = append(all, d)
		}
	}
	return all, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// references lists the incidents that the store has at work, and those that the engine knows, each once.
func (o *Operator) references(ctx context.Context) (all []models.Reference, err error) {
	for last := (incident.Incident{}); ; {
		page, _, err := o.Store.WatchedIncidents(ctx, last)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		for _, w := range page {
			all = append(all, w.Incident.Reference)
		}
		last = page[len(page)-1].Incident
	}
	for next := []byte(nil); ; {
		page, err := o.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = '" + models.IncidentWorkflow + "'", NextPageToken: next,
		})
		if err != nil {
			return nil, fmt.Errorf("list the workflows of incidents: %w", err)
		}
		for _, w := range page.GetExecutions() {
			if r, err := models.ParseReference(strings.TrimPrefix(w.GetExecution().GetWorkflowId(), "incident/")); err == nil {
				all = append(all, r)
			}
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			slices.SortFunc(all, func(a, b models.Reference) int { return strings.Compare(string(a), string(b)) })
			return slices.Compact(all), nil
		}
	}
}

// compare says in which point store and engine disagree about an incident; What is "" when they agree.
func (o *Operator) compare(ctx context.Context, r models.Reference) (d Difference, err error) {
	d.Reference = r
	s, err := o.pass().look(ctx, r.WorkflowID(), models.IncidentWorkflow)
	if err != nil {
		return d, err
	}
	i, err := o.incident(ctx, r)
	switch {
	case models.KindOf(err) == models.NotFound:
		return o.compareGhost(ctx, d, s)
	case err != nil:
		return d, err
	case s.running && s.strange != "":
		d.What, d.Settle = "what runs in the engine is none of our workflows: it "+s.strange, SettleRestart
		return d, nil
	}
	switch isAnothers, err := o.pass().isAnothers(ctx, i, s); {
	case err != nil:
		return d, err
	case isAnothers:
		d.What, d.Settle = "the engine's workflow is another incident's", SettleDiscard
		return d, nil
	}
	lost, _, err := o.lost(ctx, i)
	switch {
	case models.KindOf(err) == models.Conflict:
		d.What, d.Settle = err.Error(), SettleDiscard
		return d, nil
	case err != nil:
		return d, err
	case len(lost) > 0:
		d.What = fmt.Sprintf("the database has event %d, the workflow recorded event %d", i.Seq, lost[len(lost)-1].Seq)
		d.Settle = SettleRecover
		return d, nil
	case s.running:
		run, err := readRun(ctx, o.Temporal, r.WorkflowID(), "")
		if err == nil && run.seq() < i.Seq {
			d.What = fmt.Sprintf("the database has event %d, the workflow knows of event %d", i.Seq, run.seq())
			d.Settle = SettleRestart
		}
		return d, err
	}
	l, err := o.pass().readLost(ctx, i)
	if err == nil && isMissing(l, s) {
		d.What, d.Settle = "the incident needs its workflow, which "+s.fate(), SettleRestart
	}
	return d, err
}

// compareGhost says what is to be done about an incident that the store does not know.
func (o *Operator) compareGhost(ctx context.Context, d Difference, s workflowState) (Difference, error) {
	if !s.found || s.status() == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED {
		return d, nil // it was ended
	}
	d.What = "the database does not know it, and it " + s.fate()
	if s.running {
		d.What, d.Settle = "the database does not know it, and it runs", SettleEnd
	}
	opening, _, _, err := o.ghost(ctx, d.Reference)
	switch k := models.KindOf(err); {
	case k == models.Conflict || k == models.NotFound:
		d.What += "; it cannot be recovered: " + err.Error()
		return d, nil
	case err != nil:
		return d, err
	}
	_, err = store.Run(o.Store.InClient(ctx, store.SOC, clientOf(opening)), (*store.Tx).Client)
	switch {
	case models.KindOf(err) == models.NotFound:
		d.What += "; nor does it know the client"
		return d, nil
	case err != nil:
		return d, err
	}
	d.Settle = SettleRecover
	return d, nil
}

// incident reads an incident as the store has it.
func (o *Operator) incident(ctx context.Context, r models.Reference) (incident.Incident, error) {
	return store.Run(o.Store.InEveryClient(ctx), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(r) })
}

// lost returns the events of an incident that the store lost and the engine still has, and their commands.
func (o *Operator) lost(ctx context.Context, i incident.Incident) ([]incident.Event, []incident.CommandResult, error) {
	l, err := o.pass().readLost(ctx, i)
	if err != nil {
		return nil, nil, err
	}
	runs, err := readRuns(ctx, o.Temporal, i.Reference)
	if err != nil {
		return nil, nil, err
	}
	return lostEvents(runs, i, l.Events)
}

// ghost returns the events of an incident that the store does not know, as the engine has them. The engine does not keep
// who opened it: the first event is the system's. Conflict: the engine does not have all of it any more.
func (o *Operator) ghost(ctx context.Context, r models.Reference) (opening incident.Event, later []incident.Event, commands []incident.CommandResult, err error) {
	runs, err := readRuns(ctx, o.Temporal, r)
	if err != nil {
		return opening, nil, nil, err
	}
	first := slices.IndexFunc(runs, func(run runRecord) bool { return run.state.Incident.Seq == 1 && !run.discarded })
	if first < 0 {
		return opening, nil, nil, models.Errorf(models.Conflict, "the engine does not have the beginning of %s any more", r)
	}
	i := runs[first].state.Incident
	opening = incident.NewEvent(incident.Incident{}, i.OpenedAt, models.System(), &incident.Opened{
		Reference: i.Reference, ClientID: i.ClientID, Title: i.Assessment.Title, Severity: i.Severity, Alerts: i.Alerts, Exercise: i.Exercise,
	})
	later, commands, err = lostEvents(runs, i, []incident.Event{opening})
	return opening, later, commands, err
}

// clientOf returns the client of an incident's first event.
func clientOf(opening incident.Event) uuid.UUID {
	if d, ok := opening.Data.(*incident.Opened); ok {
		return d.ClientID
	}
	return uuid.Nil
}

// Recover appends the events that the store lost, because it is an older copy, from the histories of the incident's
// workflow, with the commands and the decisions of the client that made them, and returns how many. An incident that is
// not known at all is put back under its reference. What does not run and should is started. NotFound: neither side
// knows the incident, or the store does not know its client. Conflict: the engine does not have all of it.
func (o *Operator) Recover(ctx context.Context, r models.Reference) (n int, err error) {
	var events []incident.Event
	var commands []incident.CommandResult
	i, err := o.incident(ctx, r)
	switch {
	case models.KindOf(err) == models.NotFound:
		var opening incident.Event
		if opening, events, commands, err = o.ghost(ctx, r); err != nil {
			return 0, err
		}
		i.ClientID, n = clientOf(opening), 1
		err = o.Store.ForClient(ctx, store.SOC, i.ClientID, func(tx *store.Tx) error { return tx.RestoreIncident(opening) })
	case err == nil:
		events, commands, err = o.lost(ctx, i)
	}
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		if err := o.recoverEvent(ctx, i.ClientID, r, e, commands); err != nil {
			return n, fmt.Errorf("recover event %d of %s: %w", e.Seq, r, err)
		}
		n++
	}
	if i, err = o.incident(ctx, r); err != nil {
		return n, err
	}
	p := o.pass()
	s, err := p.look(ctx, r.WorkflowID(), models.IncidentWorkflow)
	if err != nil || s.running {
		return n, err
	}
	l, err := p.readLost(ctx, i)
	if err != nil || !isMissing(l, s) {
		return n, err
	}
	return n, p.startAgain(ctx, l)
}

// recoverEvent appends an event that was lost. Before the first event of a decision of the client it puts the client's
// own row back, which was lost, too.
func (o *Operator) recoverEvent(ctx context.Context, client uuid.UUID, r models.Reference, e incident.Event, commands []incident.CommandResult) error {
	var done []incident.CommandResult
	for _, c := range commands {
		if c.LastSeq == e.Seq {
			done = append(done, c)
		}
		if c.FirstSeq != e.Seq || !incident.IsDecision(e.Actor.Side) {
			continue
		}
		user, err := uuid.Parse(e.Actor.ID)
		if err != nil { // what a contact said is no user's decision
			continue
		}
		err = o.Store.ForClient(ctx, store.Portal, client, func(tx *store.Tx) error {
			return tx.SaveDecision(store.Decision{
				RequestID: c.RequestID, Incident: r, Command: c.Command, UserID: user, Fingerprint: c.Fingerprint, At: e.At,
			})
		})
		command, known := incident.ParseCommand(c.Command, nil)
		isMinor := known == nil && !incident.ClosesRisk(command)
		if err != nil && !(isMinor && models.KindOf(err) == models.NotFound) { // who is younger than the copy may be missing
			return fmt.Errorf("the decision of the client: %w", err)
		}
	}
	return o.Store.ForClient(ctx, store.Worker, client, func(tx *store.Tx) error { return tx.Record(r, []incident.Event{e}, done...) })
}

// Restart ends what runs in the engine under an incident's reference and starts its workflow from the stored state.
// NotFound: the store does not know the incident. Conflict: what runs is another incident's, or the engine has events
// that the store lost.
func (o *Operator) Restart(ctx context.Context, r models.Reference) error {
	i, err := o.incident(ctx, r)
	if err != nil {
		return err
	}
	s, err := o.pass().look(ctx, r.WorkflowID(), models.IncidentWorkflow)
	if err != nil {
		return err
	}
	switch isAnothers, err := o.pass().isAnothers(ctx, i, s); {
	case err != nil:
		return err
	case isAnothers && s.strange == "":
		return models.Errorf(models.Conflict, "what runs as %s is another incident, which the database does not know: discard it", r)
	}
	lost, _, err := o.lost(ctx, i)
	switch {
	case err != nil:
		return err
	case len(lost) > 0:
		return models.Errorf(models.Conflict, "the engine has %d events that the database lost: recover them, or discard them", len(lost))
	}
	if err := o.terminate(ctx, r, reasonSettled); err != nil {
		return err
	}
	if err := o.start(ctx, i); err != nil || !s.found {
		return err
	}
	p := o.pass()
	l, err := p.readLost(ctx, i)
	if err != nil {
		return err
	}
	return p.repeatCommands(ctx, l, s.runID())
}

// Discard is Restart, whatever the engine has: events that the store lost are dropped for good, and an incident of the
// same reference that the store does not know.
func (o *Operator) Discard(ctx context.Context, r models.Reference) error {
	i, err := o.incident(ctx, r)
	if err != nil {
		return err
	}
	if err := o.terminate(ctx, r, reasonDiscarded); err != nil {
		return err
	}
	return o.start(ctx, i)
}

// start starts the workflow of an incident from the stored state.
func (o *Operator) start(ctx context.Context, i incident.Incident) error {
	p := o.pass()
	lost, err := p.readLost(ctx, i)
	if err != nil {
		return err
	}
	return p.startAgain(ctx, lost)
}

// End ends a ghost: everything that runs in the engine under a reference that the store does not know. Conflict: it
// knows the incident.
func (o *Operator) End(ctx context.Context, r models.Reference) error {
	switch _, err := o.incident(ctx, r); {
	case err == nil:
		return models.Errorf(models.Conflict, "the database knows %s: start it again instead", r)
	case models.KindOf(err) != models.NotFound:
		return err
	}
	return o.terminate(ctx, r, reasonSettled)
}

// terminate ends every workflow of an incident, the incident's own first, so that it starts no other.
func (o *Operator) terminate(ctx context.Context, r models.Reference, reason string) error {
	s, err := o.pass().look(ctx, r.WorkflowID(), models.IncidentWorkflow)
	if err == nil && s.running {
		err = o.Temporal.TerminateWorkflow(ctx, r.WorkflowID(), "", reason)
	}
	if err != nil {
		return err
	}
	children, err := o.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "ExecutionStatus = 'Running' and WorkflowId starts_with '" + r.WorkflowID() + "/'",
	})
	if err != nil {
		return fmt.Errorf("list the workflows of %s: %w", r, err)
	}
	for _, w := range children.GetExecutions() {
		id := w.GetExecution().GetWorkflowId()
		if s, err = o.pass().look(ctx, id, ""); err == nil && s.running { // the list lags
			err = o.Temporal.TerminateWorkflow(ctx, id, "", reason)
		}
		if err != nil {
			return fmt.Errorf("end %s: %w", id, err)
		}
	}
	return nil
}
