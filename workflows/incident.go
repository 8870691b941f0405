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
	unfinished int           // signals being handled, messages being taken back, calls being placed, child workflows being told or started
	heard      time.Time     // when the last signal was handled
	room       incident.Room // that the incident takes
	planning   *planning     // the last question to the planner
	renewing   bool          // an operator asks to go on in a new run
	lookingUp  int           // statements of contacts whose rows are being looked up
}

// Incident runs the life of one incident, from its opening to the client's closure and feedback.
func Incident(ctx workflow.Context, state incident.State) error {
	if err := requireOwn(ctx, state.Incident.Reference.WorkflowID()); err != nil {
		return err
	}
	if state.Policy.Rounds == 0 { // it is the incident as the store told it to a run, and no state
		return notOurs()
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx) // cancelling is not a way to close an incident
	w := &incidentWorkflow{
		state:     state,
		recording: recordingOf(state),
		messaging: messaging{
			sending: map[notify.Notification]bool{}, carried: map[notify.Notification]bool{}, waited: map[notify.Notification][]notify.Notification{},
			probing: map[models.Channel]bool{}, probes: map[models.Channel]int{}, failed: map[notify.Notification]error{},
		},
		calling: calling{calls: map[string]*phoneCall{}, made: map[*notify.CallRound]bool{}, now: map[*notify.CallRound]*phoneCall{}},
		shown:   presentationOf(state.Incident),
		room:    incident.NewRoom(state.Incident),
	}
	w.containing.noteVersions(w.state.Incident)
	w.state.Unrecorded, w.state.UnrecordedBy, w.state.UnrecordedCalls, w.state.UnrecordedMessages = nil, nil, nil, nil
	if err := w.setup(ctx); err != nil {
		return err
	}
	return w.run(ctx)
}

// goesOn reports whether this run goes on from an earlier one, which somebody may have begun, or reset, from an old state.
func goesOn(ctx workflow.Context) bool { return workflow.GetInfo(ctx).ContinuedExecutionRunID != "" }

// setup registers every query, command and signal before the first wait.
func (w *incidentWorkflow) setup(ctx workflow.Context) error {
	if w.state.EndpointVersions == nil {
		w.state.EndpointVersions = map[string]int{}
	}
	if w.state.ApprovalRounds == nil {
		w.state.ApprovalRounds = map[string]int{}
	}
	if w.state.Incident.IsOver() {
		w.startManaging(ctx)
	}
	for _, r := range w.state.Rounds {
		if r.Call != nil {
			w.takeUpCall(r)
		}
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, models.QueryIncident, func() (incident.Incident, error) { return w.state.Incident.Carried(), nil },
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
//	hearMissed          what contacts said to a lost run           as the handlers of key presses and replies
//	callContacts        severity, acknowledgement, pending calls   rounds of calls: activity PlaceCall; CallRoundStarted,
//	                                                               ContactCalled, CallRoundEnded, task nobody_reached
//	containEndpoints    endpoints without a ruling or whose        EvaluateAuthority and ContainmentRuled; child workflow
//	                    workflow does not know the desired state   Endpoint and its signal desired-state
//	callAboutApprovals  approvals that people are asked for        a coroutine for each round of calls about one
//	watchContainment    deadlines of approvals and leases          ApprovalExpired, LeaseDue, a new ruling
//	remindClient        the client's turn, open questions          ReminderSent, QuestionReminded, QuestionOverdue
//	askAboutRisks       the expiry of accepted risks               RiskExpired and its task
//	endDrill            the end of a fire drill's messages, calls  Dismissed
//	attendInboxes       signals                                    the handlers in incident_signals.go
func (w *incidentWorkflow) run(ctx workflow.Context) error {
	for _, coroutine := range []func(workflow.Context){
		w.recordEvents, w.messageContacts, w.hearMissed, w.callContacts, w.containEndpoints, w.callAboutApprovals, w.watchContainment, w.remindClient,
	} {
		workflow.Go(ctx, coroutine)
	}
	if w.state.Incident.Exercise.IsFireDrill() {
		workflow.Go(ctx, w.endDrill)
	}
	workflow.Go(ctx, w.askAboutRisks)
	if goesOn(ctx) {
		workflow.Go(ctx, w.askStore)
	}
	w.updatePresentation(ctx)
	mayRenew := func() bool { return w.isLong(ctx) && w.mayLeave(ctx) }
	if err := workflow.Await(ctx, func() bool { return w.state.Incident.IsOver() || mayRenew() }); err != nil {
		return err
	}
	if w.state.Incident.Phase == incident.PhaseClosed {
		if err := w.awaitFeedback(ctx, mayRenew); err != nil {
			return err
		}
	}
	if w.state.Managing {
		if err := w.awaitRest(ctx, mayRenew); err != nil {
			return err
		}
	}
	mayEnd := func() bool { return w.isQuiet(ctx) && w.isFinished(ctx) }
	if err := workflow.Await(ctx, func() bool { return mayEnd() || mayRenew() }); err != nil {
		return err
	}
	if !mayEnd() {
		return workflow.NewContinueAsNewError(ctx, Incident, w.nextState())
	}
	return nil
}

// nextState returns the state for the next run.
func (w *incidentWorkflow) nextState() incident.State {
	next := w.state
	next.Incident = next.Incident.Carried()
	next.Unrecorded, next.UnrecordedBy, next.UnrecordedCalls = w.recording.events(), w.recording.commands, w.recording.calls
	next.UnrecordedMessages = w.recording.messages()
	next.Rounds = carriedRounds(next.Rounds)
	for _, h := range w.messaging.handing { // the others follow from their events once more
		if h.seq <= w.recording.recorded && w.messaging.sending[h.Notification] {
			next.Notifications = append(slices.Clone(next.Notifications), h.Notification)
		}
	}
	return next
}

// mostCarriedCalls bounds the contacts in the rounds of calls about approvals that the next run is told in full. Who is
// called in the others can be asked again, and what became of their calls the ledger knows.
const mostCarriedCalls = 1000

// carriedRounds returns the rounds of calls for the next run.
func carriedRounds(all []*notify.CallRound) (carried []*notify.CallRound) {
	contacts := 0
	for _, r := range all {
		if contacts += len(r.Contacts); r.Approval != "" && contacts > mostCarriedCalls {
			r = &notify.CallRound{Round: r.Round, Revision: r.Revision, Approval: r.Approval, Endpoint: r.Endpoint, Call: r.Call}
		}
		carried = append(carried, r)
	}
	return carried
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
	if !i.IsOver() || w.hasExpiredRisk(ctx) || w.isMessaging() || len(w.state.Rounds) > 0 || w.state.Managing && !w.containing.detached {
		return false
	}
	window := i.ClosedAt.Add(time.Duration(w.state.Policy.FeedbackWindow))
	return i.Phase == incident.PhaseDismissed || i.Feedback != nil || !workflow.Now(ctx).Before(window)
}

// isQuiet reports whether this run could end here and lose nothing: every event is in the store, no handler is at work
// and no signal is unread. Messages being handed over do not count: the ledger knows them, and the next run goes on.
func (w *incidentWorkflow) isQuiet(ctx workflow.Context) bool {
	recorded := !w.recording.isBehind() && w.recording.recorded == w.state.Incident.Seq
	return recorded && w.isAtRest(ctx)
}

// longHistory is from how many bytes on a history is too long, if Temporal does not say so before. A worker that has
// forgotten the incident reads all of it.
const longHistory = 1 << 20

// mostCarried bounds the events in bytes that the next run is given because the store does not have them yet. With the
// largest state they stay below what Temporal takes.
const mostCarried = 768 << 10

// isLong reports whether the history has grown so long that the incident should go on in a new run.
func (w *incidentWorkflow) isLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return w.renewing || info.GetContinueAsNewSuggested() || info.GetCurrentHistorySize() > longHistory
}

// mayLeave reports whether the incident could go on in a new run here. Events that are not in the store yet go along,
// unless they are too many: under steady talk there would always be one, and the history would grow for ever. A task
// that brought signals is never the last one: when another signal comes meanwhile, Temporal drops the last task with
// all that it did, and under steady signals nothing would ever be done.
func (w *incidentWorkflow) mayLeave(ctx workflow.Context) bool {
	return w.recording.bytes() <= mostCarried && w.isAtRest(ctx) && !w.hasLooseEnds() && !w.heard.Equal(workflow.Now(ctx))
}

// isAtRest reports whether no handler is at work and no signal is unread.
func (w *incidentWorkflow) isAtRest(ctx workflow.Context) bool {
	unread := slices.ContainsFunc(w.inboxes, inbox.hasMessage)
	return len(w.containing.retries) == 0 && w.unfinished == 0 && !unread && workflow.AllHandlersFinished(ctx)
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
	w.addPending(e)
	switch d := e.Data.(type) {
	case *incident.AcknowledgedBy:
		if !d.ReadOnly {
			w.endTask(ctx, incident.TaskNobodyReached, "")
		}
	case *incident.TaskDone:
		w.noteRetry(e)
	case *incident.Dismissed, *incident.Closed:
		w.startManaging(ctx)
	case *incident.ClosureRequested:
		w.state.Looks = nil
	case *incident.RecommendationSettled:
		w.endTask(ctx, incident.TaskRiskExpired, d.Recommendation)
	case *incident.RiskSettled:
		w.endTask(ctx, incident.TaskRiskExpired, incident.RiskOfClosure)
	case *incident.QuestionAnswered:
		w.endTask(ctx, incident.TaskQuestionUnanswered, d.Question)
	}
	w.approvalChanged(ctx, e)
	return w.closeIfReady(ctx)
}

// closeIfReady closes the incident once the client asked for closure and every guard holds. The event is the client's.
func (w *incidentWorkflow) closeIfReady(ctx workflow.Context) error {
	i := w.state.Incident
	if i.ReadyToClose() != nil || !w.areReleasedLookedAt(ctx) {
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
