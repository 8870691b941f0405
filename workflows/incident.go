package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// resultsKept bounds how many commands' answers an incident remembers for repeats.
const resultsKept = 200

// incidentWorkflow is one run of an incident's workflow. Only run outlives it.
type incidentWorkflow struct {
	state           incident.State
	pending         []incident.Event               // applied, not yet in the store
	recorded        int                          // Seq up to which the store is known to have the events
	sending         map[notify.Notification]bool // notices whose message is under way
	turns           workflow.Semaphore           // of messages being handed over
	busy            int                          // signals being worked on, messages being taken back
	retries         []string                     // endpoints a person wants tried again
	approvalsToCall []string                     // approvals contacts are to be called about
	lastRoundReport time.Time                    // when the present call round last reported
	inboxes         []inbox
	shown           presentation
}

// Incident is the life of one incident, from the moment it is opened to the client's closure and feedback.
func Incident(ctx workflow.Context, run incident.State) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx) // cancelling is not a way to close an incident
	w := &incidentWorkflow{state: run, recorded: run.Incident.Seq, sending: map[notify.Notification]bool{}}
	w.shown = presentationOf(run.Incident)
	if err := w.setup(ctx); err != nil {
		return err
	}
	return w.run(ctx)
}

// setup registers everything that can be asked or told before the first wait.
func (w *incidentWorkflow) setup(ctx workflow.Context) error {
	if w.state.EndpointVersions == nil {
		w.state.EndpointVersions = map[string]int{}
	}
	if w.state.ApprovalRounds == nil {
		w.state.ApprovalRounds = map[string]int{}
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, models.QueryIncident, func() (incident.Incident, error) { return w.state.Incident, nil },
		workflow.QueryHandlerOptions{Description: "The incident as it stands now"})
	if err != nil {
		return err
	}
	for _, c := range incident.Commands() {
		if err := w.registerCommand(ctx, c.Name()); err != nil {
			return err
		}
	}
	w.registerSignals(ctx)
	return nil
}

// run runs the incident until it is over, or until its history is long enough to go on in a new run.
func (w *incidentWorkflow) run(ctx workflow.Context) error {
	for _, part := range []func(workflow.Context){w.recordEvents, w.messageContacts, w.callContacts, w.containEndpoints, w.callAboutApprovals, w.watchContainment, w.remindClient} {
		workflow.Go(ctx, part)
	}
	if w.state.Incident.Exercise.IsFireDrill() {
		workflow.Go(ctx, w.endDrill)
	}
	w.updatePresentation(ctx)
	renew := func() bool { return workflow.GetInfo(ctx).GetContinueAsNewSuggested() && w.isQuiet(ctx) }
	if err := workflow.Await(ctx, func() bool { return w.state.Incident.IsOver() || renew() }); err != nil {
		return err
	}
	if w.state.Incident.Phase == incident.PhaseClosed {
		if err := w.awaitFeedback(ctx, renew); err != nil {
			return err
		}
	}
	if err := workflow.Await(ctx, func() bool { return w.isQuiet(ctx) && (w.isFinished(ctx) || renew()) }); err != nil {
		return err
	}
	if !w.isFinished(ctx) {
		return workflow.NewContinueAsNewError(ctx, Incident, w.state)
	}
	return nil
}

// awaitFeedback gives the client time to rate how the incident was handled.
func (w *incidentWorkflow) awaitFeedback(ctx workflow.Context, renew func() bool) error {
	until := w.state.Incident.ClosedAt.Add(time.Duration(w.state.Policy.FeedbackWindow))
	_, err := awaitUntil(ctx, until, "feedback window closes", func() bool { return w.state.Incident.Feedback != nil || renew() })
	return err
}

// isFinished reports whether the incident is over and nothing is left to do or to wait for.
func (w *incidentWorkflow) isFinished(ctx workflow.Context) bool {
	i := w.state.Incident
	if !i.IsOver() || len(w.state.Notifications) > 0 || w.isRoundUnderway() {
		return false
	}
	window := i.ClosedAt.Add(time.Duration(w.state.Policy.FeedbackWindow))
	return i.Phase == incident.PhaseDismissed || i.Feedback != nil || !workflow.Now(ctx).Before(window)
}

// isQuiet reports whether this run could end here with nothing lost: every event is in the store, no handler is at
// work and no signal is unread. Mails under way do not count: the ledger knows them, the next run goes on.
func (w *incidentWorkflow) isQuiet(ctx workflow.Context) bool {
	unread := slices.ContainsFunc(w.inboxes, func(b inbox) bool { return b.messages.Len() > 0 })
	return len(w.pending) == 0 && len(w.retries) == 0 && w.recorded == w.state.Incident.Seq && w.busy == 0 && !unread && workflow.AllHandlersFinished(ctx)
}

// emit applies what happened and lets the consequences follow. An illegal change is refused and nothing happens.
func (w *incidentWorkflow) emit(ctx workflow.Context, by models.Actor, data incident.EventData) error {
	return w.applyEvent(ctx, incident.NewEvent(w.state.Incident, workflow.Now(ctx), by, data))
}

func (w *incidentWorkflow) applyEvent(ctx workflow.Context, e incident.Event) error {
	if err := w.state.Incident.Apply(e); err != nil {
		return err
	}
	w.pending = append(w.pending, e)
	switch d := e.Data.(type) {
	case *incident.Published:
		w.queueNotification(notify.Notification{Purpose: notify.PurposePublished, Occurrence: 1})
	case *incident.Revised:
		if d.Material {
			w.queueNotification(notify.Notification{Purpose: notify.PurposeRevised, Occurrence: 1})
		}
	case *incident.Verified:
		if !d.Gone && w.state.Incident.Phase == incident.PhaseClosureRequested {
			w.queueNotification(notify.Notification{Purpose: notify.PurposeStillPresent, Occurrence: e.Seq})
		}
	case *incident.AcknowledgedBy:
		w.endTask(ctx, incident.TaskNobodyReached, "")
	case *incident.TaskDone:
		w.noteRetry(e)
	case *incident.Closed:
		w.queueNotification(notify.Notification{Purpose: notify.PurposeClosed, Occurrence: 1})
	case *incident.QuestionAsked:
		w.queueNotification(notify.Notification{Purpose: notify.PurposeQuestion, Occurrence: e.Seq, Question: d.ID})
	case *incident.QuestionReminded:
		w.queueNotification(notify.Notification{Purpose: notify.PurposeQuestionReminder, Occurrence: e.Seq, Question: d.Question})
	case *incident.QuestionAnswered:
		w.endTask(ctx, incident.TaskQuestionUnanswered, d.Question)
	}
	w.approvalChanged(ctx, e)
	return w.closeIfReady(ctx)
}

// closeIfReady closes the incident once the client asked for it and every guard holds. The event is the client's.
func (w *incidentWorkflow) closeIfReady(ctx workflow.Context) error {
	i := w.state.Incident
	if i.ReadyToClose() != nil {
		return nil
	}
	by := i.Closure.By
	if i.Closure.ConfirmedBy != nil {
		by = *i.Closure.ConfirmedBy
	}
	return w.emit(ctx, by, &incident.Closed{Decision: i.Closure.Decision})
}

// queueNotification plans a message to everyone whose rule matches.
func (w *incidentWorkflow) queueNotification(n notify.Notification) {
	n.Revision, n.Severity = w.state.Incident.Revision, w.state.Incident.PublishedSeverity
	if slices.Contains(w.state.Notifications, n) {
		return
	}
	w.state.Notifications = append(w.state.Notifications, n)
}

// recordEvents writes events to the store in order, batch by batch, for as long as the run lives.
func (w *incidentWorkflow) recordEvents(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(w.pending) > 0 }) == nil {
		batch := w.pending
		w.pending = nil
		in := recordInput{ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, Events: batch}
		for record(ctx, in) != nil {
			if pause(ctx, 10*time.Second, "the store refused events; try again") != nil {
				return
			}
		}
		w.recorded = batch[len(batch)-1].Seq
		w.updatePresentation(ctx)
	}
}

// openTask gives the SOC a task unless the same one is open already.
func (w *incidentWorkflow) openTask(ctx workflow.Context, kind incident.TaskKind, effect, detail string) {
	if w.state.Incident.OpenTask(kind, effect) != nil {
		return
	}
	id := fmt.Sprintf("t%d", len(w.state.Incident.Tasks)+1)
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.TaskOpened{ID: id, Kind: kind, Effect: effect, Detail: detail}))
}

// endTask ends a task whose reason is gone.
func (w *incidentWorkflow) endTask(ctx workflow.Context, kind incident.TaskKind, effect string) {
	if t := w.state.Incident.OpenTask(kind, effect); t != nil {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.TaskDone{ID: t.ID}))
	}
}

// logIfRefused logs what the rules should never refuse; a refusal is a defect of ours, and the incident goes on.
func (w *incidentWorkflow) logIfRefused(ctx workflow.Context, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Error("an event of our own was refused", "error", err)
	}
}
