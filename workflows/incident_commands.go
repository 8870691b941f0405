package workflows

import (
	"slices"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// registerCommand takes a command as an Update with a validator, and under the same name as a Signal.
func (w *incidentWorkflow) registerCommand(ctx workflow.Context, name string) error {
	err := workflow.SetUpdateHandlerWithOptions(ctx, name,
		func(ctx workflow.Context, r incident.CommandRequest) (incident.CommandResult, error) {
			ctx, _ = workflow.NewDisconnectedContext(ctx) // a cancelled workflow still takes commands
			return w.executeCommand(ctx, name, r)
		},
		workflow.UpdateHandlerOptions{
			Validator: func(ctx workflow.Context, r incident.CommandRequest) error {
				return rejection(w.validateCommand(ctx, name, r))
			},
			Description: "Command of a person: " + name,
		})
	if err != nil {
		return err
	}
	w.addInbox(ctx, name, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		if workflow.Await(ctx, func() bool { return !w.recording.refused }) != nil {
			return
		}
		var r incident.CommandRequest
		if !w.receive(ctx, c, name, &r) {
			return
		}
		w.unfinished++
		defer func() { w.unfinished-- }()
		if _, err := w.executeCommand(ctx, name, r); err != nil {
			w.recordRejection(ctx, name, r, err)
		}
	})
	return nil
}

// validateCommand returns why a command would be rejected, or nil. It changes nothing. When the history is long and the
// store is behind, comments wait outside, so that the run can leave: steady talk would let the history grow until
// Temporal ends the workflow.
func (w *incidentWorkflow) validateCommand(ctx workflow.Context, name string, r incident.CommandRequest) error {
	if known, err := w.validateRepeat(name, r); known || err != nil {
		return err
	}
	if w.recording.refused {
		return models.Errorf(models.Unavailable, "the incident's record does not agree with its workflow; an operator has to settle it")
	}
	c, err := parseCommand(name, r)
	if err != nil || w.isBehind(r.Recorded) {
		return err
	}
	if _, is := c.(*incident.Comment); is && w.isLong(ctx) && w.recording.bytes() > batchBytes {
		return models.Errorf(models.TooMany, "the incident gets more than it can record; try again in a moment")
	}
	r.Voided = incident.AgreedBefore(c, w.state.Incident) // nobody knows yet which of them count
	_, err = w.decideEvents(ctx, c, r)
	return err
}

// decideEvents returns the events that a command causes now, or why it is rejected.
func (w *incidentWorkflow) decideEvents(ctx workflow.Context, c incident.Command, r incident.CommandRequest) ([]incident.Event, error) {
	if err := incident.CheckWaiting(w.waitingMessages(), c); err != nil {
		return nil, err
	}
	return w.room.Decide(w.state.Incident, c, r.CommandContext, workflow.Now(ctx))
}

// executeCommand carries out a command, or returns why it is rejected. A repeat gets the first answer.
func (w *incidentWorkflow) executeCommand(ctx workflow.Context, name string, r incident.CommandRequest) (incident.CommandResult, error) {
	if err := checkSaid(name, r); err != nil {
		w.recordUnsaid(ctx, name, r, err)
		return incident.CommandResult{}, rejection(err)
	}
	if err := w.rejectedBefore(r); err != nil {
		return incident.CommandResult{}, rejection(err)
	}
	result, err := w.judgeCommand(ctx, name, r)
	if isJudgement(err) {
		w.rememberRejection(name, r, err)
	}
	return result, err
}

// judgeCommand makes the change that a command asks for. The workflow task that makes the change also gives the
// result, so the result is as durable as the change; the store has it a moment later.
func (w *incidentWorkflow) judgeCommand(ctx workflow.Context, name string, r incident.CommandRequest) (incident.CommandResult, error) {
	if known := w.resultOf(r.RequestID); known != nil {
		return w.repeatResult(ctx, name, r, *known)
	}
	c, err := parseCommand(name, r)
	if err != nil {
		return incident.CommandResult{}, rejection(err)
	}
	if err := w.catchUp(ctx, r.Recorded); err != nil {
		return incident.CommandResult{}, err
	}
	switch known, err := w.recallResult(ctx, r.RequestID); {
	case err != nil:
		return incident.CommandResult{}, err
	case known != nil:
		return w.repeatResult(ctx, name, r, *known)
	}
	voided, err := w.requireDecision(ctx, c, r)
	if err != nil {
		return incident.CommandResult{}, w.rejectUnbacked(ctx, name, r, err)
	}
	r.Voided = voided
	if err := w.requireSender(ctx, r); err != nil {
		err = rejection(err)
		if typeOf(err) != "" {
			w.recordRejection(ctx, name, r, err)
		}
		return incident.CommandResult{}, err
	}
	if known := w.resultOf(r.RequestID); known != nil { // the same request came another way meanwhile
		return w.repeatResult(ctx, name, r, *known)
	}
	w.acceptsUntil(ctx, c)
	events, err := w.decideEvents(ctx, c, r)
	if err != nil {
		return incident.CommandResult{}, rejection(err)
	}
	for _, e := range events {
		if d, is := e.Data.(*incident.AcknowledgedBy); is {
			d.ReadOnly = r.Actor.Role == models.RoleViewer
		}
	}
	result := incident.CommandResult{RequestID: r.RequestID, Command: name, Fingerprint: r.Fingerprint, FirstSeq: w.state.Incident.Seq + 1}
	for _, e := range events {
		if err := w.applyEvent(ctx, e); err != nil {
			return incident.CommandResult{}, rejection(err)
		}
	}
	isCurrent := r.Recorded == 0 || r.Recorded >= w.state.Incident.AlarmSeq // its sender knew what is to be acknowledged
	if d := w.state.Incident.AcknowledgedWith(c, r.CommandContext); d != nil && isCurrent {
		w.logIfRefused(ctx, w.emit(ctx, r.Actor, d))
	}
	result.LastSeq = w.state.Incident.Seq
	w.rememberResult(incident.RememberedResult{CommandResult: result})
	w.recording.commands = append(w.recording.commands, result)
	return result, nil
}

// recallResult returns the result of a command that was accepted under a request id so long ago that the workflow may
// have forgotten it, or nil. The store forgets none.
func (w *incidentWorkflow) recallResult(ctx workflow.Context, request string) (*incident.CommandResult, error) {
	accepted := 0
	for _, r := range w.state.Results {
		if !r.Rejected {
			accepted++
		}
	}
	if accepted < resultsKept {
		return nil, nil
	}
	return findCommand(ctx, commandInput{ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, RequestID: request})
}

// repeatResult returns the first result of a command to its repeat, or why it is none.
func (w *incidentWorkflow) repeatResult(ctx workflow.Context, name string, r incident.CommandRequest, first incident.CommandResult) (incident.CommandResult, error) {
	if err := w.checkRepeat(name, r, first); err != nil {
		return incident.CommandResult{}, w.rejectUnbacked(ctx, name, r, err)
	}
	return first, nil
}

// requireDecision checks that the client's own row in the database backs what a user of the client sends: this very
// command with these fields, not refused since, not from before what it answers when the look-up is done, and no second
// consent of one person. It returns whose earlier consents to the same count no more.
func (w *incidentWorkflow) requireDecision(ctx workflow.Context, c incident.Command, r incident.CommandRequest) (voided []models.Actor, err error) {
	if !incident.IsDecision(r.Actor.Side) {
		return nil, nil
	}
	in := decisionInput{
		ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, RequestID: r.RequestID, Command: c.Name(), UserID: r.Actor.ID,
		Role: r.Actor.Role, Person: r.Person, Via: r.Via, Fingerprint: incident.Fingerprint(c.Name(), r.Body),
	}
	in.AgreedBefore = w.agreedBefore(c)
	found, err := findDecision(ctx, in)
	for err == nil && !slices.Equal(in.Givers, w.agreedBefore(c).Givers) { // somebody agreed meanwhile
		in.AgreedBefore = w.agreedBefore(c)
		found, err = findDecision(ctx, in)
	}
	switch {
	case err != nil:
		return nil, err
	case found.Disabled:
		return nil, senderMayNotAct()
	case !found.Backed:
		return nil, models.Errorf(models.Forbidden, "no decision of the client stands behind this")
	case found.AreOne:
		return nil, incident.CountsAsOne()
	case !found.Old && found.Seq < incident.Answers(c, w.state.Incident):
		return nil, models.Errorf(models.Conflict, "the incident has changed since this was decided; look again and decide anew")
	}
	return found.Voided, nil
}

// agreedBefore returns who has agreed already to what a command approves.
func (w *incidentWorkflow) agreedBefore(c incident.Command) agreedBefore {
	approve, is := c.(*incident.Approve)
	if !is {
		return agreedBefore{}
	}
	before := agreedBefore{Givers: incident.AgreedBefore(c, w.state.Incident)}
	if e := w.openApproval(approve.Approval); e != nil {
		by := e.RequestedBy
		before.AskedBy = &by
	}
	return before
}

// requireSender checks that the user of the SOC who sent a command may still act for the client. Whoever Watchfire does not
// know is left to the other rules: people give commands by hand.
func (w *incidentWorkflow) requireSender(ctx workflow.Context, r incident.CommandRequest) error {
	user, err := uuid.Parse(r.Actor.ID)
	if err != nil || r.Actor.Side != models.SideSOC {
		return nil
	}
	lost, err := mayNotAct(ctx, senderInput{ClientID: w.state.Incident.ClientID, UserID: user, Role: r.Actor.Role})
	if err == nil && lost {
		return senderMayNotAct()
	}
	return err
}

func senderMayNotAct() error {
	return models.Errorf(models.Forbidden, "the sender may not act for this client any more")
}

// rejectUnbacked records a command that nothing of the client stands behind, however it came: its sender may be anybody.
func (w *incidentWorkflow) rejectUnbacked(ctx workflow.Context, name string, r incident.CommandRequest, why error) error {
	err := rejection(why)
	if incident.IsDecision(r.Actor.Side) && typeOf(err) != "" {
		w.recordRejection(ctx, name, r, err)
	}
	return err
}

// checkRepeat returns why a command is no repeat of the one that was accepted under its request id.
func (w *incidentWorkflow) checkRepeat(name string, r incident.CommandRequest, known incident.CommandResult) error {
	if known.Fingerprint != "" && known.Fingerprint != incident.Fingerprint(name, r.Body) {
		return models.InvalidField("/request_id", "was already used for another request")
	}
	return nil
}

func parseCommand(name string, r incident.CommandRequest) (incident.Command, error) {
	if r.RequestID == "" {
		return nil, models.InvalidField("/request_id", "is required")
	}
	return incident.ParseCommand(name, r.Body)
}
