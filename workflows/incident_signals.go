package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// registerSignals takes the facts that machines and child workflows report.
func (w *incidentWorkflow) registerSignals(ctx workflow.Context) {
	receiveFacts(ctx, w, models.SignalKeyPress, w.handleKeyPress)
	receiveFacts(ctx, w, models.SignalCallProgress, w.handleCallProgress)
	receiveFacts(ctx, w, models.SignalEndpointObserved, w.handleEndpointObserved)
	receiveFacts(ctx, w, models.SignalUndelivered, w.handleUndelivered)
	receiveFacts(ctx, w, models.SignalTextReply, w.handleTextReply)
	receiveFacts(ctx, w, models.SignalRefused, w.handleRefused)
	receiveFacts(ctx, w, models.SignalStoreAhead, w.handleStoreAhead)
	receiveFacts(ctx, w, models.SignalEndpointAnew, w.handleEndpointAnew)
	w.addInbox(ctx, models.SignalRenew, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		if w.receive(ctx, c, models.SignalRenew, nil) {
			w.renewing = true
			workflow.Go(ctx, func(ctx workflow.Context) { _ = pause(ctx, time.Second, "go on in a new run") }) // see mayLeave
		}
	})
	workflow.Go(ctx, w.attendInboxes)
}

// receiveFacts hands every fact of a kind to handle.
func receiveFacts[T any](ctx workflow.Context, w *incidentWorkflow, name string, handle func(workflow.Context, T)) {
	w.addInbox(ctx, name, func(ctx workflow.Context, c workflow.ReceiveChannel) {
		var fact T
		if w.receive(ctx, c, name, &fact) {
			handle(ctx, fact)
		}
	})
}

// receive takes the next message of a signal, and reports whether it is to be believed. One that is not is recorded as
// rejected: somebody else sent it.
func (w *incidentWorkflow) receive(ctx workflow.Context, c workflow.ReceiveChannel, name string, to any) bool {
	if receive(ctx, c, to) != nil {
		w.handleRefused(ctx, models.RefusedSignal{Signal: name})
		return false
	}
	return true
}

// handleStoreAhead takes the word that the store has the incident up to an event: somebody reset the workflow, and nothing
// else may come to it for a long time.
func (w *incidentWorkflow) handleStoreAhead(ctx workflow.Context, seq int) {
	w.unfinished++
	defer func() { w.unfinished-- }()
	w.logIfRefused(ctx, w.catchUp(ctx, seq))
}

// askStore lets a run that goes on from an earlier one go on from what the store has, if that is more.
func (w *incidentWorkflow) askStore(ctx workflow.Context) {
	w.unfinished++
	defer func() { w.unfinished-- }()
	i := w.state.Incident
	seq, err := lastRecorded(ctx, seqInput{ClientID: i.ClientID, Reference: i.Reference})
	if err == nil {
		err = w.catchUp(ctx, seq)
	}
	w.logIfRefused(ctx, err)
}

// handleEndpointAnew takes the word that an endpoint's workflow began anew, or was reset: somebody else than the
// incident did that, perhaps from an old state. It is told what is desired now, and reports anew.
func (w *incidentWorkflow) handleEndpointAnew(ctx workflow.Context, endpoint string) {
	if w.state.Incident.Endpoint(endpoint) == nil {
		return
	}
	w.state.EndpointVersions[endpoint] = 1
	if w.state.Looks == nil {
		w.state.Looks = map[string]incident.Look{}
	}
	w.state.Looks[endpoint] = incident.Look{Number: w.serialNumber(ctx)}
}

// handleRefused records a message that nobody believes, whoever it pretends to be from.
func (w *incidentWorkflow) handleRefused(ctx workflow.Context, r models.RefusedSignal) {
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CommandRejected{Command: r.Signal, Reason: errUnsealed.Error()}))
}

// inbox holds the messages of one signal. They are handled one after the other, in the order they came.
type inbox struct {
	messages   workflow.ReceiveChannel
	handleNext func(workflow.Context, workflow.ReceiveChannel)
}

// hasMessage reports whether a message is unread. Whoever waits in Receive, or in a selector, is handed the next message
// at once, and until they run it counts as read: the run could end meanwhile, and lose it.
func (b inbox) hasMessage() bool { return b.messages.Len() > 0 }

// addInbox opens the inbox of a signal.
func (w *incidentWorkflow) addInbox(ctx workflow.Context, name string, handleNext func(workflow.Context, workflow.ReceiveChannel)) {
	w.inboxes = append(w.inboxes, inbox{workflow.GetSignalChannel(ctx, name), handleNext})
}

// attendInboxes wakes an inbox at its first message. A coroutine costs something at every step of the workflow, and
// most inboxes never get a message.
func (w *incidentWorkflow) attendInboxes(ctx workflow.Context) {
	asleep := slices.Clone(w.inboxes)
	for len(asleep) > 0 && ctx.Err() == nil {
		woken, err := w.awaitMessage(ctx, asleep)
		if err != nil {
			return
		}
		b := asleep[woken]
		asleep = slices.Delete(asleep, woken, woken+1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			for workflow.Await(ctx, b.hasMessage) == nil {
				b.handleNext(ctx, b.messages)
				w.heard = workflow.Now(ctx)
				if yield(ctx) != nil {
					return
				}
			}
		})
	}
}

// awaitMessage waits for a message in one of some inboxes, and returns which.
func (w *incidentWorkflow) awaitMessage(ctx workflow.Context, in []inbox) (n int, err error) {
	err = workflow.Await(ctx, func() bool { return slices.ContainsFunc(in, inbox.hasMessage) })
	return slices.IndexFunc(in, inbox.hasMessage), err
}

// handleTextReply takes a human's answer to a text, proven by the code that was in it.
func (w *incidentWorkflow) handleTextReply(ctx workflow.Context, r notify.TextReply) {
	if ok, _ := w.isBacked(ctx, statement{r.Contact, notify.KeyReply, ""}); ok {
		w.recordAcknowledgement(ctx, r.Contact, "sms", "reply to text message")
	}
}
