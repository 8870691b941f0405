package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// answersKept bounds how many commands' answers an incident remembers for repeats.
const answersKept = 200

// incident is one run of an incident's workflow. Only run outlives it.
type incident struct {
	run      models.IncidentRun
	pending  []models.Event         // applied, not yet in the store
	recorded int                    // Seq up to which the store is known to have the events
	sending  map[models.Notice]bool // notices whose message is under way
	turns    workflow.Semaphore     // of messages being handed over
	busy     int                    // signals being worked on, messages being taken back
	again    []string               // endpoints a person wants tried again
	ringing  []string               // approvals contacts are to be called about
	heard    time.Time              // when the present call round last reported
	inboxes  []inbox
	shown    presentation
}

// Incident is the life of one incident, from the moment it is opened to the client's closure and feedback.
func Incident(ctx workflow.Context, run models.IncidentRun) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx) // cancelling is not a way to close an incident
	w := &incident{run: run, recorded: run.Incident.Seq, sending: map[models.Notice]bool{}}
	w.shown = presentationOf(run.Incident)
	if err := w.setup(ctx); err != nil {
		return err
	}
	return w.live(ctx)
}

// setup registers everything that can be asked or told before the first wait.
func (w *incident) setup(ctx workflow.Context) error {
	if w.run.Wished == nil {
		w.run.Wished = map[string]int{}
	}
	if w.run.Rung == nil {
		w.run.Rung = map[string]int{}
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, models.QueryIncident, func() (models.Incident, error) { return w.run.Incident, nil },
		workflow.QueryHandlerOptions{Description: "The incident as it stands now"})
	if err != nil {
		return err
	}
	for _, c := range models.Commands() {
		if err := w.accept(ctx, c.Name()); err != nil {
			return err
		}
	}
	w.listen(ctx)
	return nil
}

// live runs the incident until it is over, or until its history is long enough to go on in a new run.
func (w *incident) live(ctx workflow.Context) error {
	for _, part := range []func(workflow.Context){w.recordEvents, w.messageContacts, w.callContacts, w.containEndpoints, w.ringForApprovals, w.watchContainment, w.remindClient} {
		workflow.Go(ctx, part)
	}
	if w.run.Incident.FireDrill != "" {
		workflow.Go(ctx, w.endDrill)
	}
	w.present(ctx)
	renew := func() bool { return workflow.GetInfo(ctx).GetContinueAsNewSuggested() && w.quiet(ctx) }
	if err := workflow.Await(ctx, func() bool { return w.run.Incident.Over() || renew() }); err != nil {
		return err
	}
	if w.run.Incident.Phase == models.PhaseClosed {
		if err := w.awaitFeedback(ctx, renew); err != nil {
			return err
		}
	}
	if err := workflow.Await(ctx, func() bool { return w.quiet(ctx) && (w.finished(ctx) || renew()) }); err != nil {
		return err
	}
	if !w.finished(ctx) {
		return workflow.NewContinueAsNewError(ctx, Incident, w.run)
	}
	return nil
}

// awaitFeedback gives the client time to rate how the incident was handled.
func (w *incident) awaitFeedback(ctx workflow.Context, renew func() bool) error {
	until := w.run.Incident.ClosedAt.Add(time.Duration(w.run.Policy.FeedbackWindow))
	_, err := awaitUntil(ctx, until, "feedback window closes", func() bool { return w.run.Incident.Feedback != nil || renew() })
	return err
}

// finished reports whether the incident is over and nothing is left to do or to wait for.
func (w *incident) finished(ctx workflow.Context) bool {
	i := w.run.Incident
	if !i.Over() || len(w.run.Notices) > 0 || w.roundUnderway() {
		return false
	}
	window := i.ClosedAt.Add(time.Duration(w.run.Policy.FeedbackWindow))
	return i.Phase == models.PhaseDismissed || i.Feedback != nil || !workflow.Now(ctx).Before(window)
}

// quiet reports whether this run could end here with nothing lost: every event is in the store, no handler is at
// work and no signal is unread. Mails under way do not count: the ledger knows them, the next run goes on.
func (w *incident) quiet(ctx workflow.Context) bool {
	unread := slices.ContainsFunc(w.inboxes, func(b inbox) bool { return b.messages.Len() > 0 })
	return len(w.pending) == 0 && len(w.again) == 0 && w.recorded == w.run.Incident.Seq && w.busy == 0 && !unread && workflow.AllHandlersFinished(ctx)
}

// note applies what happened and lets the consequences follow. An illegal change is refused and nothing happens.
func (w *incident) note(ctx workflow.Context, by models.Actor, data models.EventData) error {
	return w.take(ctx, models.NewEvent(w.run.Incident, workflow.Now(ctx), by, data))
}

func (w *incident) take(ctx workflow.Context, e models.Event) error {
	if err := w.run.Incident.Apply(e); err != nil {
		return err
	}
	w.pending = append(w.pending, e)
	switch d := e.Data.(type) {
	case *models.Published:
		w.due(models.Notice{Purpose: models.PurposePublished, Occurrence: 1})
	case *models.Revised:
		if d.Material {
			w.due(models.Notice{Purpose: models.PurposeRevised, Occurrence: 1})
		}
	case *models.Verified:
		if !d.Gone && w.run.Incident.Phase == models.PhaseClosureRequested {
			w.due(models.Notice{Purpose: models.PurposePresent, Occurrence: e.Seq})
		}
	case *models.AcknowledgedBy:
		w.endTask(ctx, models.TaskNobodyReached, "")
	case *models.TaskDone:
		w.tryAgain(e)
	case *models.Closed:
		w.due(models.Notice{Purpose: models.PurposeClosed, Occurrence: 1})
	case *models.QuestionAsked:
		w.due(models.Notice{Purpose: models.PurposeQuestion, Occurrence: e.Seq, Question: d.ID})
	case *models.QuestionReminded:
		w.due(models.Notice{Purpose: models.PurposeQuestionReminder, Occurrence: e.Seq, Question: d.Question})
	case *models.QuestionAnswered:
		w.endTask(ctx, models.TaskUnanswered, d.Question)
	}
	w.approvalChanged(ctx, e)
	return w.closeIfReady(ctx)
}

// closeIfReady closes the incident once the client asked for it and every guard holds. The event is the client's.
func (w *incident) closeIfReady(ctx workflow.Context) error {
	i := w.run.Incident
	if i.ReadyToClose() != nil {
		return nil
	}
	by := i.Closure.By
	if i.Closure.ConfirmedBy != nil {
		by = *i.Closure.ConfirmedBy
	}
	return w.note(ctx, by, &models.Closed{Decision: i.Closure.Decision})
}

// due plans a message to everyone whose rule matches.
func (w *incident) due(n models.Notice) {
	n.Revision, n.Severity = w.run.Incident.Revision, w.run.Incident.PublishedSeverity
	if slices.Contains(w.run.Notices, n) {
		return
	}
	w.run.Notices = append(w.run.Notices, n)
}

// recordEvents writes events to the store in order, batch by batch, for as long as the run lives.
func (w *incident) recordEvents(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(w.pending) > 0 }) == nil {
		batch := w.pending
		w.pending = nil
		in := recordInput{ClientID: w.run.Incident.ClientID, Reference: w.run.Incident.Reference, Events: batch}
		for record(ctx, in) != nil {
			if pause(ctx, 10*time.Second, "the store refused events; try again") != nil {
				return
			}
		}
		w.recorded = batch[len(batch)-1].Seq
		w.present(ctx)
	}
}

// openTask gives the SOC a task unless the same one is open already.
func (w *incident) openTask(ctx workflow.Context, kind models.TaskKind, effect, detail string) {
	if w.run.Incident.OpenTask(kind, effect) != nil {
		return
	}
	id := fmt.Sprintf("t%d", len(w.run.Incident.Tasks)+1)
	w.must(ctx, w.note(ctx, models.System(), &models.TaskOpened{ID: id, Kind: kind, Effect: effect, Detail: detail}))
}

// endTask ends a task whose reason is gone.
func (w *incident) endTask(ctx workflow.Context, kind models.TaskKind, effect string) {
	if t := w.run.Incident.OpenTask(kind, effect); t != nil {
		w.must(ctx, w.note(ctx, models.System(), &models.TaskDone{ID: t.ID}))
	}
}

// must logs what the rules should never refuse; a refusal is a defect of ours, and the incident goes on.
func (w *incident) must(ctx workflow.Context, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Error("an event of our own was refused", "error", err)
	}
}
