package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// listen takes the facts that machines and child workflows report.
func (w *incident) listen(ctx workflow.Context) {
	w.inbox(ctx, models.SignalKeyPress, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var k models.KeyPress
		c.Receive(ctx, &k)
		w.keyPressed(ctx, k)
	})
	w.inbox(ctx, models.SignalContactCalled, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var r models.CallResult
		c.Receive(ctx, &r)
		w.contactCalled(ctx, r)
	})
	w.inbox(ctx, models.SignalRoundEnded, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var r models.RoundResult
		c.Receive(ctx, &r)
		w.roundEnded(ctx, r)
	})
	w.inbox(ctx, models.SignalObserved, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var o models.EndpointObserved
		c.Receive(ctx, &o)
		w.endpointObserved(ctx, o)
	})
	w.inbox(ctx, models.SignalMailFact, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var f models.MailFact
		c.Receive(ctx, &f)
		w.mailFailed(ctx, f)
	})
}

// inbox works on a signal's messages one after the other, in the order they came.
func (w *incident) inbox(ctx workflow.Context, name string, next func(workflow.Context, workflow.ReceiveChannel)) {
	c := workflow.GetSignalChannel(ctx, name)
	w.inboxes = append(w.inboxes, c)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			next(ctx, c)
		}
	})
}

// keyPressed is a human on the phone. It comes here straight when the round that placed the call is over already.
func (w *incident) keyPressed(ctx workflow.Context, k models.KeyPress) {
	if k.Digit == "1" {
		w.reached(ctx, k)
	}
}
