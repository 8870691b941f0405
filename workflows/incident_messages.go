package workflows

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// fallbacksKept bounds how many failed messages an incident remembers, so that each is made up for once.
const fallbacksKept = 200

// sendingAtOnce bounds how many messages of one incident are handed over at a time: the engine allows a workflow two
// thousand activities under way, and other incidents want their turn.
const sendingAtOnce = 100

// messageContacts starts a message for every notice, and turns a notice to everyone into one per contact.
func (w *incidentWorkflow) messageContacts(ctx workflow.Context) {
	w.turns = workflow.NewSemaphore(ctx, sendingAtOnce)
	for workflow.Await(ctx, func() bool { return w.nextNotification() >= 0 }) == nil {
		n := w.state.Notifications[w.nextNotification()]
		if n.Contact == uuid.Nil {
			if w.expandRecipients(ctx, n) != nil {
				return
			}
			continue
		}
		w.sending[n] = true
		workflow.Go(ctx, func(ctx workflow.Context) { w.deliver(ctx, n) })
	}
}

func (w *incidentWorkflow) nextNotification() int {
	return slices.IndexFunc(w.state.Notifications, func(n notify.Notification) bool { return !w.sending[n] })
}

// expandRecipients replaces a notice to everyone by one per contact, as planned. Who still waits for an earlier reminder gets no
// other one.
func (w *incidentWorkflow) expandRecipients(ctx workflow.Context, all notify.Notification) error {
	i := w.state.Incident
	waiting := w.waitingReminders(all)
	to, err := planRecipients(ctx, planInput{ClientID: i.ClientID, Reference: i.Reference, Severity: i.PublishedSeverity, At: workflow.Now(ctx), Notification: all, Waiting: waiting})
	if err != nil {
		return err
	}
	at := slices.Index(w.state.Notifications, all)
	var each []notify.Notification
	for _, r := range to.Messages {
		each = append(each, all.AddressedTo(r))
	}
	w.state.Notifications = slices.Replace(w.state.Notifications, at, at+1, each...)
	if len(each) == 0 && len(waiting) == 0 {
		w.openTask(ctx, incident.TaskNobodyToReach, "", "no contact is to be told of severity "+string(i.PublishedSeverity))
	}
	return nil
}

// waitingReminders returns the reminders of the same that wait for a contact.
func (w *incidentWorkflow) waitingReminders(n notify.Notification) (waiting []notify.Notification) {
	if n.Purpose != notify.PurposeReminder && n.Purpose != notify.PurposeQuestionReminder {
		return nil
	}
	for _, x := range w.state.Notifications {
		if x.Contact != uuid.Nil && x.Purpose == n.Purpose && x.Question == n.Question {
			waiting = append(waiting, x)
		}
	}
	return waiting
}

// deliver hands one message over when its time has come, however long the vendor is down, unless a newer one replaces
// it. What stands in the way is shown as a task.
func (w *incidentWorkflow) deliver(ctx workflow.Context, n notify.Notification) {
	i := w.state.Incident
	in := messageInput{ClientID: i.ClientID, Reference: i.Reference, Notification: n, After: i.Seq, Exercise: i.Exercise}
	key := in.Effect().Key
	over := func() bool { return !w.sending[n] || w.state.Incident.HasOutdated(n) }
	if _, err := awaitUntil(ctx, n.At, "wait for the contact's hours", over); err != nil {
		return
	}
	w.dropSuperseded(ctx, n)
	for {
		if over() {
			if w.sending[n] {
				w.takeBack(ctx, n, "")
			}
			return
		}
		summary := string(n.Channel) + " to contact " + n.Contact.String() + ": " + string(n.Purpose)
		if w.turns.Acquire(ctx, 1) != nil {
			return
		}
		err := sendMessage(ctx, summary, time.Duration(w.state.Policy.TellAfter), in)
		w.turns.Release(1)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			w.recordHandedOver(ctx, n, key)
			return
		}
		if !w.sending[n] { // replaced while it was tried
			w.takeBack(ctx, n, notify.ReasonSuperseded)
			return
		}
		if waitedInQueue(err) {
			if _, err := awaitFor(ctx, time.Second, "it had no turn; wait for one again", over); err != nil {
				return
			}
			continue
		}
		switch classOf(err) {
		case models.Rejected:
			w.openTask(ctx, incident.TaskRejected, key, string(n.Channel)+" to a contact: "+failureText(err))
			w.sendFallback(ctx, n, key, "rejected")
			w.dropNotification(n)
			return
		case models.Config:
			w.openTask(ctx, incident.TaskConfig, key, string(n.Channel)+": "+failureText(err))
			err = workflow.Await(ctx, func() bool { return over() || w.state.Incident.OpenTask(incident.TaskConfig, key) == nil })
		default:
			w.openTask(ctx, incident.TaskVendorDown, key, string(n.Channel)+": "+failureText(err))
			_, err = awaitFor(ctx, time.Duration(w.state.Policy.TryAgainEvery), "the vendor is down; try again", over)
		}
		if err != nil {
			return
		}
	}
}

// dropSuperseded takes back what is replaced by something newer, of the messages that are due to the contact of a notice.
func (w *incidentWorkflow) dropSuperseded(ctx workflow.Context, to notify.Notification) {
	var due []notify.Notification
	for _, n := range w.state.Notifications {
		if n.Contact == to.Contact && !n.At.After(workflow.Now(ctx)) {
			due = append(due, n)
		}
	}
	for _, old := range due {
		if w.sending[old] && slices.ContainsFunc(due, func(n notify.Notification) bool { return n.Replaces(old) }) {
			w.takeBack(ctx, old, notify.ReasonSuperseded)
		}
	}
}

// takeBack drops a message that is not wanted any more, and what it opened. The ledger keeps it from being tried.
func (w *incidentWorkflow) takeBack(ctx workflow.Context, n notify.Notification, reason string) {
	e := notify.MessageEffect(w.state.Incident.Reference, w.state.Incident.ClientID, n)
	w.dropNotification(n)
	w.busy++
	w.logIfRefused(ctx, cancelEffect(ctx, cancelInput{Effect: e, Reason: reason}))
	w.busy--
	w.endTask(ctx, incident.TaskVendorDown, e.Key)
	w.endTask(ctx, incident.TaskConfig, e.Key)
}

func (w *incidentWorkflow) recordHandedOver(ctx workflow.Context, n notify.Notification, key string) {
	m := incident.MessageRecord{Contact: n.Contact, Purpose: n.Purpose, Revision: n.Revision, Effect: key}
	if n.Channel == models.ChannelSMS {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ContactTexted{MessageRecord: m}))
	} else {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ContactMailed{MessageRecord: m}))
	}
	w.dropNotification(n)
	w.endTask(ctx, incident.TaskVendorDown, key)
}

func (w *incidentWorkflow) dropNotification(n notify.Notification) {
	w.state.Notifications = slices.DeleteFunc(w.state.Notifications, func(x notify.Notification) bool { return x == n })
	delete(w.sending, n)
}

// handleUndelivered is a vendor's word that a message it took never reached its reader.
func (w *incidentWorkflow) handleUndelivered(ctx workflow.Context, f notify.Undelivered) {
	w.openTask(ctx, incident.TaskNotDelivered, f.Effect, string(f.Notification.Channel)+" did not arrive: "+f.Reason)
	w.sendFallback(ctx, f.Notification, f.Effect, f.Reason)
}

// sendFallback reaches a contact over their next channel after a message or a call did not reach them, once.
func (w *incidentWorkflow) sendFallback(ctx workflow.Context, n notify.Notification, effect, reason string) {
	i := w.state.Incident
	if slices.Contains(w.state.FallbacksSent, effect) || i.IsOver() {
		return
	}
	w.state.FallbacksSent = append(w.state.FallbacksSent, effect)
	w.state.FallbacksSent = w.state.FallbacksSent[max(len(w.state.FallbacksSent)-fallbacksKept, 0):]
	to, err := planFallback(ctx, fallbackInput{ClientID: i.ClientID, Reference: i.Reference, Notification: n, Severity: i.PublishedSeverity, At: workflow.Now(ctx)})
	if err != nil {
		return
	}
	i = w.state.Incident
	other := n.AddressedTo(to)
	same := func(x notify.Notification) bool {
		return notify.MessageEffect(i.Reference, i.ClientID, x).Key == notify.MessageEffect(i.Reference, i.ClientID, other).Key
	}
	switch {
	case to.Channel == models.ChannelSMS && slices.ContainsFunc(w.state.Notifications, same), to.Channel == models.ChannelVoice && i.Acknowledged != nil:
		to.Channel = "" // the text is on its way; nobody is called any more
	case to.Channel == models.ChannelSMS:
		w.state.Notifications = append(w.state.Notifications, other)
	case to.Channel == models.ChannelVoice && !i.NeedsCalls() && !slices.ContainsFunc(w.state.PendingCalls, func(r notify.Recipient) bool { return r.Contact == to.Contact }):
		w.state.PendingCalls = append(w.state.PendingCalls, to) // a round of a critical incident calls them anyway
	}
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.NotDelivered{Contact: n.Contact, Channel: n.Channel, Effect: effect, Reason: reason, Fallback: to.Channel}))
}
