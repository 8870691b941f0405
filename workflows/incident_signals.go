package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// listen takes the facts that machines and child workflows report.
func (w *incident) listen(ctx workflow.Context) {
	facts(ctx, w, models.SignalKeyPress, w.keyPressed)
	facts(ctx, w, models.SignalContactCalled, w.contactCalled)
	facts(ctx, w, models.SignalRoundEnded, w.roundEnded)
	facts(ctx, w, models.SignalObserved, w.endpointObserved)
	facts(ctx, w, models.SignalUndelivered, w.undelivered)
	facts(ctx, w, models.SignalReply, w.replied)
	facts(ctx, w, models.SignalConsent, w.phoneConsent)
	workflow.Go(ctx, w.attend)
}

// facts hands every fact of a kind to take.
func facts[T any](ctx workflow.Context, w *incident, name string, take func(workflow.Context, T)) {
	w.inbox(ctx, name, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var fact T
		c.Receive(ctx, &fact)
		take(ctx, fact)
	})
}

// inbox is a signal's messages, worked on one after the other, in the order they came.
type inbox struct {
	messages workflow.ReceiveChannel
	next     func(workflow.Context, workflow.ReceiveChannel)
}

func (w *incident) inbox(ctx workflow.Context, name string, next func(workflow.Context, workflow.ReceiveChannel)) {
	w.inboxes = append(w.inboxes, inbox{workflow.GetSignalChannel(ctx, name), next})
}

// attend wakes an inbox at its first message. A coroutine costs at every step of the workflow, and most never get one.
func (w *incident) attend(ctx workflow.Context) {
	asleep := slices.Clone(w.inboxes)
	for len(asleep) > 0 && ctx.Err() == nil {
		first := workflow.NewSelector(ctx)
		woken := 0
		for n, b := range asleep {
			first.AddReceive(b.messages, func(workflow.ReceiveChannel, bool) { woken = n })
		}
		first.Select(ctx)
		b := asleep[woken]
		asleep = slices.Delete(asleep, woken, woken+1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			for ctx.Err() == nil {
				b.next(ctx, b.messages)
			}
		})
	}
}

// keyPressed is a human on the phone. It comes here straight when the round that placed the call is over already.
func (w *incident) keyPressed(ctx workflow.Context, k models.KeyPress) {
	if k.Digit != "1" {
		return
	}
	w.reached(ctx, k.Contact, "voice", keyPress1)
	w.busy++
	defer func() { w.busy-- }()
	said := outcomeInput{ClientID: w.run.Incident.ClientID, Effect: k.Effect, Outcome: string(models.OutcomeAcknowledged), By: k.Contact, How: keyPress1}
	w.must(ctx, outcome(ctx, said))
}

// replied is a human who answered a text message with the code that was in it.
func (w *incident) replied(ctx workflow.Context, r models.Reply) {
	w.reached(ctx, r.Contact, "sms", "reply to text message")
}
