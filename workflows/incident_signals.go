package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// listen takes the facts that machines and child workflows report.
func (w *incident) listen(ctx workflow.Context) {
	facts(ctx, w, models.SignalKeyPress, w.keyPressed)
	facts(ctx, w, models.SignalContactCalled, w.contactCalled)
	facts(ctx, w, models.SignalRoundEnded, w.roundEnded)
	facts(ctx, w, models.SignalObserved, w.endpointObserved)
	facts(ctx, w, models.SignalMailFact, w.mailFailed)
}

// facts hands every fact of a kind to take.
func facts[T any](ctx workflow.Context, w *incident, name string, take func(workflow.Context, T)) {
	w.inbox(ctx, name, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var fact T
		c.Receive(ctx, &fact)
		take(ctx, fact)
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
