package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// registerCommand takes a command as an Update with a validator, and under the same name as a Signal.
func (w *incidentWorkflow) registerCommand(ctx workflow.Context, name string) error {
	err := workflow.SetUpdateHandlerWithOptions(ctx, name,
		func(ctx workflow.Context, o incident.CommandRequest) (incident.CommandResult, error) {
			ctx, _ = workflow.NewDisconnectedContext(ctx) // a cancelled workflow still takes commands
			return w.executeCommand(ctx, name, o)
		},
		workflow.UpdateHandlerOptions{
			Validator: func(ctx workflow.Context, o incident.CommandRequest) error {
				return rejection(w.validateCommand(ctx, name, o))
			},
			Description: "Command of a person: " + name,
		})
	if err != nil {
		return err
	}
	w.inbox(ctx, name, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var o incident.CommandRequest
		c.Receive(ctx, &o)
		w.busy++
		defer func() { w.busy-- }()
		if _, err := w.executeCommand(ctx, name, o); err != nil {
			w.recordRejection(ctx, name, o, failureText(err))
		}
	})
	return nil
}

// recordRejection keeps a refusal where people look, because a signal cannot be refused to its sender. One that comes again is
// known by its request id.
func (w *incidentWorkflow) recordRejection(ctx workflow.Context, name string, o incident.CommandRequest, reason string) {
	a := incident.CommandResult{RequestID: o.RequestID, Command: name, Fingerprint: o.Fingerprint}
	if o.RequestID != "" && slices.Contains(w.state.Rejected, a) {
		return
	}
	w.state.Rejected = latestResults(append(w.state.Rejected, a))
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CommandRejected{Command: name, Reason: reason, RequestID: o.RequestID, By: o.Actor}))
}

// validateCommand says why an order would be refused. It changes nothing.
func (w *incidentWorkflow) validateCommand(ctx workflow.Context, name string, o incident.CommandRequest) error {
	if w.resultOf(o.RequestID) != nil {
		return nil
	}
	c, err := parseCommand(name, o)
	if err != nil {
		return err
	}
	return w.state.Incident.Can(c, o.CommandContext, workflow.Now(ctx))
}

// executeCommand makes the change a command asks for. The answer is given with the workflow task that makes it, so it is as
// durable as the change; the store has it a moment later. A repeat gets the first answer.
func (w *incidentWorkflow) executeCommand(ctx workflow.Context, name string, o incident.CommandRequest) (incident.CommandResult, error) {
	if a := w.resultOf(o.RequestID); a != nil {
		return *a, nil
	}
	c, err := parseCommand(name, o)
	if err != nil {
		return incident.CommandResult{}, rejection(err)
	}
	if err := w.requireDecision(ctx, c, o); err != nil {
		return incident.CommandResult{}, rejection(err)
	}
	if a := w.resultOf(o.RequestID); a != nil { // the same order came another way meanwhile
		return *a, nil
	}
	events, err := w.state.Incident.Decide(c, o.CommandContext, workflow.Now(ctx))
	if err != nil {
		return incident.CommandResult{}, rejection(err)
	}
	a := incident.CommandResult{RequestID: o.RequestID, Command: name, Fingerprint: o.Fingerprint, FirstSeq: w.state.Incident.Seq + 1}
	for _, e := range events {
		if err := w.applyEvent(ctx, e); err != nil {
			return incident.CommandResult{}, rejection(err)
		}
	}
	a.LastSeq = w.state.Incident.Seq
	w.rememberResult(a)
	return a, nil
}

// requireDecision checks that the client's own row in the database stands behind a decision.
func (w *incidentWorkflow) requireDecision(ctx workflow.Context, c incident.Command, o incident.CommandRequest) error {
	if !incident.IsDecision(c) {
		return nil
	}
	ok, err := hasDecision(ctx, decisionInput{
		ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, RequestID: o.RequestID, Command: c.Name(), UserID: o.Actor.ID,
	})
	if err != nil {
		return err
	}
	if !ok {
		return models.Errorf(models.Forbidden, "no decision of the client stands behind this")
	}
	return nil
}

func (w *incidentWorkflow) resultOf(request string) *incident.CommandResult {
	for n := range w.state.Results {
		if w.state.Results[n].RequestID == request {
			return &w.state.Results[n]
		}
	}
	return nil
}

func (w *incidentWorkflow) rememberResult(a incident.CommandResult) {
	w.state.Results = latestResults(append(w.state.Results, a))
}

// latestResults returns as many of the last answers as an incident remembers.
func latestResults(list []incident.CommandResult) []incident.CommandResult {
	return list[max(0, len(list)-resultsKept):]
}

func parseCommand(name string, o incident.CommandRequest) (incident.Command, error) {
	if o.RequestID == "" {
		return nil, models.InvalidField("/request_id", "is required")
	}
	return incident.ParseCommand(name, o.Body)
}
