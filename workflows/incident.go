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

// incidentWorkflow is one run of an incident's workflow. The next run gets the state and nothing else.
type incidentWorkflow struct {
	state      incident.State
	recording  recording
	messaging  messaging
	calling    calling
	containing containing
	approving  approving
	inboxes    []inbox
	shown      presentation
	unfinished int // signals being handled and messages being taken back
}

// recording is the transient state of recordEvents.
type recording struct {
	pending  []incident.Event // applied and not in the store yet
	recorded int              // Seq of the last event that the store is known to have
}

// Incident runs the life of one incident, from its opening to the client's closure and feedback.
func Incident(ctx workflow.Context, state incident.State) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx) // cancelling is not a way to close an incident
	w := &incidentWorkflow{
		state:     state,
		recording: recording{recorded: state.Incident.Seq},
		messaging: messaging{sending: map[notify.Notification]bool{}},
		approving: approving{endsItself: map[string]bool{}},
		shown:     presentationOf(state.Incident),
	}
	if err := w.setup(ctx); err != nil {
		return err
	}
	return w.run(ctx)
}

// setup registers every query, command and signal before the first wait.
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

// run starts the coroutines and ends when the incident is over, or goes on in a new run when the history has grown
// long. Handlers of commands and signals only change the state; each coroutine watches the state and does one thing:
//
//	coroutine           watches                                    causes
//	recordEvents        events that are not in the store           activity Record; search attributes and details
//	messageContacts     notifications                              activities SendMail and SendText; ContactMessaged,
//	                                                               NotDelivered, tasks about messages
//	callContacts        severity, acknowledgement, pending calls   child workflow CallRound; CallRoundStarted and
//	                                                               CallRoundEnded, task nobody_reached
//	containEndpoints    endpoints without a ruling or whose        EvaluateAuthority and ContainmentRuled; child workflow
//	                    workflow does not know the desired state   Endpoint and its signal desired-state
//	callAboutApprovals  approvals that people are asked for        child workflow CallRound about an approval
//	watchContainment    deadlines of approvals and leases          ApprovalExpired, LeaseDue, a new ruling
//	remindClient        the client's turn, open questions          ReminderSent, QuestionReminded, QuestionOverdue
//	endDrill            the end of a fire drill's messages, calls  Dismissed
//	attendInboxes       signals                                    the handlers in incident_signals.go
func (w *incidentWorkflow) run(ctx workflow.Context) error {
	for _, coroutine := range []func(workflow.Context){
		w.recordEvents, w.messageContacts, w.callContacts, w.containEndpoints, w.callAboutApprovals, w.watchContainment, w.remindClient,
	} {
		workflow.Go(ctx, coroutine)
	}
	if w.state.Incident.Exercise.IsFireDrill() {
		workflow.Go(ctx, w.endDrill)
	}
	w.updatePresentation(ctx)
	mayRenew := func() bool { return workflow.GetInfo(ctx).GetContinueAsNewSuggested() && w.isQuiet(ctx) }
	if err := workflow.Await(ctx, func() bool { return w.state.Incident.IsOver() || mayRenew() }); err != nil {
		return err
	}
	if w.state.Incident.Phase == incident.PhaseClosed {
		if err := w.awaitFeedback(ctx, mayRenew); err != nil {
			return err
		}
	}
	if err := workflow.Await(ctx, func() bool { return w.isQuiet(ctx) && (w.isFinished(ctx) || mayRenew()) }); err != nil {
		return err
	}
	if !w.isFinished(ctx) {
		return workflow.NewContinueAsNewError(ctx, Incident, w.state)
	}
	return nil
}

// awaitFeedback gives the client time to rate how the incident was handled.
func (w *incidentWorkflow) awaitFeedback(ctx workflow.Context, mayRenew func() bool) error {
	until := w.state.Incident.ClosedAt.Add(time.Duration(w.state.Policy.FeedbackWindow))
	_, err := awaitUntil(ctx, until, "feedback window closes", func() bool { return w.state.Incident.Feedback != nil || mayRenew() })
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

// isQuiet reports whether this run could end here and lose nothing: every event is in the store, no handler is at work
// and no signal is unread. Messages being handed over do not count: the ledger knows them, and the next run goes on.
func (w *incidentWorkflow) isQuiet(ctx workflow.Context) bool {
	unread := slices.ContainsFunc(w.inboxes, func(b inbox) bool { return b.messages.Len() > 0 })
	recorded := len(w.recording.pending) == 0 && w.recording.recorded == w.state.Incident.Seq
	return recorded && len(w.containing.retries) == 0 && w.unfinished == 0 && !unread && workflow.AllHandlersFinished(ctx)
}

// emit makes an event of data, applies it and lets its consequences follow. An illegal change is an error, and nothing
// happens.
func (w *incidentWorkflow) emit(ctx workflow.Context, by models.Actor, data incident.EventData) error {
	return w.applyEvent(ctx, incident.NewEvent(w.state.Incident, workflow.Now(ctx), by, data))
}

// applyEvent applies an event, queues it for the store and lets its consequences follow.
func (w *incidentWorkflow) applyEvent(ctx workflow.Context, e incident.Event) error {
	if err := w.state.Incident.Apply(e); err != nil {
		return err
	}
	w.recording.pending = append(w.recording.pending, e)
	for _, n := range w.state.Incident.NotificationsAfter(e) {
		w.queueNotification(n)
	}
	switch d := e.Data.(type) {
	case *incident.AcknowledgedBy:
		w.endTask(ctx, incident.TaskNobodyReached, "")
	case *incident.TaskDone:
		w.noteRetry(e)
	case *incident.QuestionAnswered:
		w.endTask(ctx, incident.TaskQuestionUnanswered, d.Question)
	}
	w.approvalChanged(ctx, e)
	return w.closeIfReady(ctx)
}

// closeIfReady closes the incident once the client asked for closure and every guard holds. The event is the client's.
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

// queueNotification plans a message to every contact whose rule matches.
func (w *incidentWorkflow) queueNotification(n notify.Notification) {
	if slices.Contains(w.state.Notifications, n) {
		return
	}
	w.state.Notifications = append(w.state.Notifications, n)
}

// recordEvents writes events to the store in order, batch by batch, for as long as the run lives.
func (w *incidentWorkflow) recordEvents(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(w.recording.pending) > 0 }) == nil {
		batch := w.recording.pending
		w.recording.pending = nil
		in := recordInput{ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, Events: batch}
		for record(ctx, in) != nil {
			if pause(ctx, 10*time.Second, "the store does not take events; try again") != nil {
				return
			}
		}
		w.recording.recorded = batch[len(batch)-1].Seq
		w.updatePresentation(ctx)
	}
}

// openTask gives the SOC a task, unless a task of the same kind about the same effect is open.
func (w *incidentWorkflow) openTask(ctx workflow.Context, kind incident.TaskKind, effect, detail string) {
	if w.state.Incident.OpenTask(kind, effect) != nil {
		return
	}
	id := fmt.Sprintf("t%d", len(w.state.Incident.Tasks)+1)
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.TaskOpened{ID: id, Kind: kind, Effect: effect, Detail: detail}))
}

// endTask ends the open task of a kind about an effect, because its reason is gone.
func (w *incidentWorkflow) endTask(ctx workflow.Context, kind incident.TaskKind, effect string) {
	if t := w.state.Incident.OpenTask(kind, effect); t != nil {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.TaskDone{ID: t.ID}))
	}
}

// logIfRefused logs the refusal of an event that the rules should never refuse. Such a refusal is a defect of ours, and
// the incident goes on.
func (w *incidentWorkflow) logIfRefused(ctx workflow.Context, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Error("an event of our own was refused", "error", err)
	}
}
