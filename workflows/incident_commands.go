package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// accept takes a command as an Update with a validator, and under the same name as a Signal.
func (w *incident) accept(ctx workflow.Context, name string) error {
	err := workflow.SetUpdateHandlerWithOptions(ctx, name,
		func(ctx workflow.Context, o models.Order) (models.Answer, error) {
			ctx, _ = workflow.NewDisconnectedContext(ctx) // a cancelled workflow still takes commands
			return w.carryOut(ctx, name, o)
		},
		workflow.UpdateHandlerOptions{
			Validator:   func(ctx workflow.Context, o models.Order) error { return refusal(w.judge(ctx, name, o)) },
			Description: "Command of a person: " + name,
		})
	if err != nil {
		return err
	}
	w.inbox(ctx, name, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var o models.Order
		c.Receive(ctx, &o)
		w.busy++
		defer func() { w.busy-- }()
		if _, err := w.carryOut(ctx, name, o); err != nil {
			w.refused(ctx, name, o, words(err))
		}
	})
	return nil
}

// refused keeps a refusal where people look, because a signal cannot be refused to its sender. One that comes again is
// known by its request id.
func (w *incident) refused(ctx workflow.Context, name string, o models.Order, reason string) {
	a := models.Answer{RequestID: o.RequestID, Command: name, Fingerprint: o.Fingerprint}
	if o.RequestID != "" && slices.Contains(w.run.Refused, a) {
		return
	}
	w.run.Refused = latest(append(w.run.Refused, a))
	w.must(ctx, w.note(ctx, models.System(), &models.CommandRefused{Command: name, Reason: reason, RequestID: o.RequestID, By: o.Actor}))
}

// judge says why an order would be refused. It changes nothing.
func (w *incident) judge(ctx workflow.Context, name string, o models.Order) error {
	if w.answered(o.RequestID) != nil {
		return nil
	}
	c, err := parse(name, o)
	if err != nil {
		return err
	}
	return w.run.Incident.Can(c, o.Ask, workflow.Now(ctx))
}

// carryOut makes the change a command asks for. The answer is given with the workflow task that makes it, so it is as
// durable as the change; the store has it a moment later. A repeat gets the first answer.
func (w *incident) carryOut(ctx workflow.Context, name string, o models.Order) (models.Answer, error) {
	if a := w.answered(o.RequestID); a != nil {
		return *a, nil
	}
	c, err := parse(name, o)
	if err != nil {
		return models.Answer{}, refusal(err)
	}
	if err := w.backed(ctx, c, o); err != nil {
		return models.Answer{}, refusal(err)
	}
	if a := w.answered(o.RequestID); a != nil { // the same order came another way meanwhile
		return *a, nil
	}
	events, err := w.run.Incident.Decide(c, o.Ask, workflow.Now(ctx))
	if err != nil {
		return models.Answer{}, refusal(err)
	}
	a := models.Answer{RequestID: o.RequestID, Command: name, Fingerprint: o.Fingerprint, FirstSeq: w.run.Incident.Seq + 1}
	for _, e := range events {
		if err := w.take(ctx, e); err != nil {
			return models.Answer{}, refusal(err)
		}
	}
	a.LastSeq = w.run.Incident.Seq
	w.remember(a)
	return a, nil
}

// backed checks that the client's own row in the database stands behind a decision.
func (w *incident) backed(ctx workflow.Context, c models.Command, o models.Order) error {
	if !models.IsDecision(c) {
		return nil
	}
	ok, err := decided(ctx, decidedInput{
		ClientID: w.run.Incident.ClientID, Reference: w.run.Incident.Reference, RequestID: o.RequestID, Command: c.Name(), UserID: o.Actor.ID,
	})
	if err != nil {
		return err
	}
	if !ok {
		return models.Errorf(models.Forbidden, "no decision of the client stands behind this")
	}
	return nil
}

func (w *incident) answered(request string) *models.Answer {
	for n := range w.run.Answers {
		if w.run.Answers[n].RequestID == request {
			return &w.run.Answers[n]
		}
	}
	return nil
}

func (w *incident) remember(a models.Answer) { w.run.Answers = latest(append(w.run.Answers, a)) }

// latest returns as many of the last answers as an incident remembers.
func latest(list []models.Answer) []models.Answer {
	return list[max(0, len(list)-answersKept):]
}

func parse(name string, o models.Order) (models.Command, error) {
	if o.RequestID == "" {
		return nil, models.InvalidField("/request_id", "is required")
	}
	return models.ParseCommand(name, o.Body)
}
