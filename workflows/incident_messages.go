package workflows

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// fallbacksKept bounds how many failed messages an incident remembers, so that each gets one fallback.
const fallbacksKept = 200

// sendingAtOnce bounds how many messages of one incident are handed over at a time: the engine allows a workflow two
// thousand activities under way, and other incidents need their turn.
const sendingAtOnce = 100

// messaging is the transient state of messageContacts.
type messaging struct {
	sending map[notify.Notification]bool                  // notifications that a coroutine is delivering
	handing []handedMessage                               // of these, messages that go with the events they follow from, or wait for them
	failed  map[notify.Notification]error                 // the vendor's answer to one that went with its events
	carried map[notify.Notification]bool                  // messages that the run before has left
	waited  map[notify.Notification][]notify.Notification // reminders that waited for a contact when a newer one fell due
	turns   workflow.Semaphore                            // of messages being handed over
	probing map[models.Channel]bool                       // channels that a message waits to try again, on behalf of the others
	probes  map[models.Channel]int                        // how often it did since a message of the channel was handed over
}

// messages returns all messages that are not handed over.
func (w *incidentWorkflow) messages() []notify.Notification {
	return slices.Concat(w.state.Notifications, w.messaging.notified())
}

// messageContacts starts a delivery for every notification, after it has turned a notification to everyone into one per
// contact.
func (w *incidentWorkflow) messageContacts(ctx workflow.Context) {
	w.messaging.turns = workflow.NewSemaphore(ctx, sendingAtOnce)
	for _, n := range w.state.Notifications {
		w.messaging.carried[n] = true
	}
	for workflow.Await(ctx, func() bool { return w.nextNotification() >= 0 }) == nil {
		n := w.state.Notifications[w.nextNotification()]
		if n.Contact == uuid.Nil {
			if w.expandRecipients(ctx, n) != nil {
				return
			}
			continue
		}
		w.messaging.sending[n] = true
		workflow.Go(ctx, func(ctx workflow.Context) { w.deliver(ctx, n) })
	}
}

// isMessaging reports whether messages are to be handed over, or wait for their reason to be in the store.
func (w *incidentWorkflow) isMessaging() bool {
	return len(w.waitingMessages()) > 0
}

// waitingMessages returns the messages that are to be handed over, and those that wait for their reason to be in the
// store.
func (w *incidentWorkflow) waitingMessages() []notify.Notification {
	all := w.messages()
	for _, e := range w.recording.pending {
		all = append(all, e.notifications...)
	}
	return all
}

// nextNotification returns the index of the first notification that nobody delivers, or -1.
func (w *incidentWorkflow) nextNotification() int {
	return slices.IndexFunc(w.state.Notifications, func(n notify.Notification) bool { return !w.messaging.sending[n] })
}

// expandRecipients replaces a notification to everyone, whose event the store refuses, by one per contact.
func (w *incidentWorkflow) expandRecipients(ctx workflow.Context, all notify.Notification) error {
	each, err := w.addressees(ctx, all)
	if err != nil {
		return err
	}
	at := slices.Index(w.state.Notifications, all)
	w.state.Notifications = slices.Replace(w.state.Notifications, at, at+1, each...)
	return nil
}

// addressees returns a notification to everyone as one per contact, as planned. A contact for whom an earlier reminder
// still waits gets no second one.
func (w *incidentWorkflow) addressees(ctx workflow.Context, all notify.Notification) (each []notify.Notification, err error) {
	waiting := union(w.messaging.waited[all], w.waitingReminders(all))
	delete(w.messaging.waited, all)
	to, err := w.plan(ctx, planInput{At: workflow.Now(ctx)})
	if err != nil {
		return nil, err
	}
	for _, r := range to.Without(waiting).Messages {
		each = append(each, all.AddressedTo(r))
	}
	if len(each) == 0 && len(waiting) == 0 {
		w.openTask(ctx, incident.TaskNobodyToReach, "", "no contact is to be told of severity "+string(w.state.Incident.PublishedSeverity))
	}
	return each, nil
}

// planning is a question to the planner, and its answer.
type planning struct {
	in   planInput
	done bool
	plan notify.Plan
	err  error
}

// plan asks who is reached now about the incident. Who is being told of it stays told, as who was told before does. Who
// asks the same at the same moment gets the same answer.
func (w *incidentWorkflow) plan(ctx workflow.Context, in planInput) (notify.Plan, error) {
	i := w.state.Incident
	in.ClientID, in.Reference, in.Severity = i.ClientID, i.Reference, i.PublishedSeverity
	for _, n := range w.messages() {
		if n.Contact != uuid.Nil && !slices.Contains(in.AlsoTold, n.Contact) {
			in.AlsoTold = append(in.AlsoTold, n.Contact)
		}
	}
	p := w.planning
	if p != nil && reflect.DeepEqual(p.in, in) {
		err := workflow.Await(ctx, func() bool { return p.done })
		return p.plan, cmp.Or(err, p.err)
	}
	p = &planning{in: in}
	w.planning = p
	p.plan, p.err = planRecipients(ctx, in)
	p.done = true
	return p.plan, p.err
}

// waitingReminders returns the reminders of the same thing that still wait for a contact.
func (w *incidentWorkflow) waitingReminders(n notify.Notification) (waiting []notify.Notification) {
	if n.Purpose != notify.PurposeReminder && n.Purpose != notify.PurposeQuestionReminder {
		return nil
	}
	for _, x := range w.messages() {
		if x.Contact != uuid.Nil && x.Purpose == n.Purpose && x.Question == n.Question {
			waiting = append(waiting, x)
		}
	}
	return waiting
}

// delivery is one message on its way to one contact.
type delivery struct {
	notification notify.Notification
	input        messageInput
	key          string // in the ledger
}

func (w *incidentWorkflow) delivery(n notify.Notification) delivery {
	i := w.state.Incident
	d := delivery{notification: n, input: messageInput{ClientID: i.ClientID, Reference: i.Reference, Notification: n, Exercise: i.Exercise}}
	d.key = d.input.Effect().Key
	return d
}

// deliver hands one message over when its time has come, however long the vendor is down, unless a newer message
// replaces it. A task shows every obstacle.
func (w *incidentWorkflow) deliver(ctx workflow.Context, n notify.Notification) {
	d := w.delivery(n)
	if w.waitUntilDue(ctx, d) != nil {
		return
	}
	if w.awaitCarriedChannel(ctx, d) != nil {
		return
	}
	failed := w.messaging.failed[n]
	if delete(w.messaging.failed, n); failed != nil && !w.afterFirstFailure(ctx, d, failed) {
		return
	}
	for !w.isUnwanted(d) {
		refused, err := w.attempt(ctx, d)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			w.recordHandedOver(ctx, d)
			w.showRefusal(ctx, n.Channel, refused)
			return
		case !w.messaging.sending[n]: // replaced while it was tried
			w.takeBack(ctx, n, notify.ReasonSuperseded)
			return
		}
		if !w.afterFailure(ctx, d, err) {
			return
		}
	}
	if w.messaging.sending[n] {
		w.takeBack(ctx, n, "")
	}
}

// isUnwanted reports whether a message was taken back, or its reason is gone.
func (w *incidentWorkflow) isUnwanted(d delivery) bool {
	return !w.messaging.sending[d.notification] || w.state.Incident.HasOutdated(d.notification)
}

// waitUntilDue waits for the hours of the contact, and takes back older messages to them that newer ones replace.
func (w *incidentWorkflow) waitUntilDue(ctx workflow.Context, d delivery) error {
	w.dropSuperseded(ctx, d.notification)
	unwanted := func() bool { return w.isUnwanted(d) }
	if _, err := awaitUntil(ctx, d.notification.At, "wait for the contact's hours", unwanted); err != nil {
		return err
	}
	w.dropSuperseded(ctx, d.notification)
	return nil
}

// attempt waits for a turn and hands the message to the vendor of its channel. refused is another mailer that refuses our
// settings, or "".
func (w *incidentWorkflow) attempt(ctx workflow.Context, d delivery) (refused string, err error) {
	n := d.notification
	if err := w.messaging.turns.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer w.messaging.turns.Release(1)
	summary := string(n.Channel) + " to contact " + n.Contact.String() + ": " + string(n.Purpose)
	patience := time.Duration(w.state.Policy.TellAfter)
	if n.Channel == models.ChannelSMS {
		return "", sendText(ctx, summary, patience, d.input)
	}
	return sendMail(ctx, summary, patience, d.input)
}

// aboutMailer is what a task is about that shows a mailer which refuses our settings.
const aboutMailer = "mailer"

// showRefusal shows as a task that a mailer refuses our settings though another one took the mail, and ends the task with
// the first mail while none does.
func (w *incidentWorkflow) showRefusal(ctx workflow.Context, by models.Channel, refused string) {
	switch {
	case by != models.ChannelEmail:
	case refused == "":
		w.endTask(ctx, incident.TaskConfig, aboutMailer)
	default:
		w.openTask(ctx, incident.TaskConfig, aboutMailer, "email: "+refused+" refuses our credentials or settings; another mailer takes the mails")
	}
}

// afterFailure shows a failure as a task and waits until another attempt makes sense. It reports false when there is
// none.
func (w *incidentWorkflow) afterFailure(ctx workflow.Context, d delivery, failure error) (tryAgain bool) {
	channel := string(d.notification.Channel)
	unwanted := func() bool { return w.isUnwanted(d) }
	var err error
	switch class := classOf(failure); {
	case waitedInQueue(failure):
		_, err = awaitFor(ctx, time.Second, "it had no turn; wait for one again", unwanted)
	case class == models.Rejected:
		w.openTask(ctx, incident.TaskRejected, d.key, channel+" to a contact: "+failureText(failure))
		w.sendFallback(ctx, d.notification, d.key, "rejected")
		w.dropNotification(ctx, d.notification)
		return false
	case class == models.Config:
		w.openTask(ctx, incident.TaskConfig, channel, channel+": "+failureText(failure))
		err = w.awaitChannel(ctx, d, incident.TaskConfig, againAfter(w.state.Policy, failure))
	default:
		w.openTask(ctx, incident.TaskVendorDown, channel, channel+": "+failureText(failure))
		err = w.awaitChannel(ctx, d, incident.TaskVendorDown, againAfter(w.state.Policy, failure))
	}
	return err == nil
}

// maxProbeEvery bounds the pause between attempts while our settings are refused, in pauses of the policy.
const maxProbeEvery = 10

// awaitCarriedChannel lets a message that the run before has left wait with the others of its channel, if that run left
// its channel in trouble.
func (w *incidentWorkflow) awaitCarriedChannel(ctx workflow.Context, d delivery) error {
	for _, kind := range []incident.TaskKind{incident.TaskConfig, incident.TaskVendorDown} {
		if w.messaging.carried[d.notification] && w.state.Incident.OpenTask(kind, string(d.notification.Channel)) != nil {
			return w.awaitChannel(ctx, d, kind, againAfter(w.state.Policy, nil))
		}
	}
	return nil
}

// awaitChannel waits while a task is open about what is wrong with a message's whole channel: the vendor is down, or
// refuses our credentials or settings. Of all messages that wait, one at a time is tried again after a pause, in turn;
// while our settings are refused, the pauses grow. As soon as one gets through, the task ends and the others follow.
func (w *incidentWorkflow) awaitChannel(ctx workflow.Context, d delivery, kind incident.TaskKind, pause time.Duration) error {
	m, channel := &w.messaging, d.notification.Channel
	freed := func() bool { return w.isUnwanted(d) || w.state.Incident.OpenTask(kind, string(channel)) == nil }
	err := workflow.Await(ctx, func() bool { return freed() || !m.probing[channel] }) // the next coroutine in turn comes first
	if err != nil || freed() {
		return err
	}
	m.probing[channel] = true
	defer func() { m.probing[channel] = false }()
	why := "the vendor is down; try one message again"
	if kind == incident.TaskConfig {
		pause, why = pause*time.Duration(min(1<<m.probes[channel], maxProbeEvery)), "our settings are refused; try one message again"
		m.probes[channel] = min(m.probes[channel]+1, maxProbeEvery)
	}
	_, err = awaitFor(ctx, pause, why, freed)
	return err
}

// dropSuperseded takes back those messages to the contact of a notification which a newer message replaces that goes out
// no later.
func (w *incidentWorkflow) dropSuperseded(ctx workflow.Context, to notify.Notification) {
	all := []notify.Notification{to}
	for _, n := range w.messages() {
		if n.Contact == to.Contact {
			all = append(all, n)
		}
	}
	for _, old := range all {
		if w.messaging.sending[old] && slices.ContainsFunc(all, func(n notify.Notification) bool { return w.replaces(ctx, n, old) }) {
			w.takeBack(ctx, old, notify.ReasonSuperseded)
		}
	}
}

// replaces reports whether a newer message replaces an older one that does not go out before it.
func (w *incidentWorkflow) replaces(ctx workflow.Context, n, old notify.Notification) bool {
	isLater := n.At.After(workflow.Now(ctx)) && n.At.After(old.At)
	return n.Replaces(old) && !isLater
}

// takeBack drops a message that is no longer wanted and ends its tasks. The ledger keeps it from being tried.
func (w *incidentWorkflow) takeBack(ctx workflow.Context, n notify.Notification, reason string) {
	e := notify.MessageEffect(w.state.Incident.Reference, w.state.Incident.ClientID, n)
	w.dropNotification(ctx, n)
	w.unfinished++
	w.logIfRefused(ctx, cancelEffect(ctx, cancelInput{Effect: e, Reason: reason}))
	w.unfinished--
	w.endTask(ctx, incident.TaskVendorDown, e.Key)
	w.endTask(ctx, incident.TaskConfig, e.Key)
}

// recordHandedOver records that the vendor accepted a message.
func (w *incidentWorkflow) recordHandedOver(ctx workflow.Context, d delivery) {
	n := d.notification
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.ContactMessaged{
		Contact: n.Contact, Channel: n.Channel, Purpose: n.Purpose, Revision: n.Revision, Effect: d.key,
	}))
	w.dropNotification(ctx, n)
	delete(w.messaging.probes, n.Channel)
	w.endTask(ctx, incident.TaskVendorDown, d.key)
	w.endTask(ctx, incident.TaskVendorDown, string(n.Channel))
	w.endTask(ctx, incident.TaskConfig, string(n.Channel))
}

// dropNotification forgets a message that is not to be handed over any more. When it was the last one of its channel,
// the tasks about the channel end.
func (w *incidentWorkflow) dropNotification(ctx workflow.Context, n notify.Notification) {
	w.state.Notifications = slices.DeleteFunc(w.state.Notifications, func(x notify.Notification) bool { return x == n })
	delete(w.messaging.sending, n)
	if !slices.ContainsFunc(w.state.Notifications, func(x notify.Notification) bool { return x.Channel == n.Channel }) {
		w.endTask(ctx, incident.TaskVendorDown, string(n.Channel))
		w.endTask(ctx, incident.TaskConfig, string(n.Channel))
	}
}

// handleUndelivered takes a vendor's report that a message it had accepted never reached its contact.
func (w *incidentWorkflow) handleUndelivered(ctx workflow.Context, f notify.Undelivered) {
	w.openTask(ctx, incident.TaskNotDelivered, f.Effect, string(f.Notification.Channel)+" did not arrive: "+f.Reason)
	w.sendFallback(ctx, f.Notification, f.Effect, f.Reason)
}

// sendFallback reaches a contact over their next channel after a message or a call did not reach them, once per
// message.
func (w *incidentWorkflow) sendFallback(ctx workflow.Context, n notify.Notification, effect, reason string) {
	i := w.state.Incident
	if slices.Contains(w.state.FallbacksSent, effect) || i.IsOver() && n.Purpose != notify.PurposeRisk {
		return
	}
	w.state.FallbacksSent = append(w.state.FallbacksSent, effect)
	w.state.FallbacksSent = w.state.FallbacksSent[max(len(w.state.FallbacksSent)-fallbacksKept, 0):]
	to, err := planFallback(ctx, fallbackInput{
		ClientID: i.ClientID, Reference: i.Reference, Notification: n, Severity: i.PublishedSeverity, At: workflow.Now(ctx),
	})
	if err != nil {
		return
	}
	i = w.state.Incident
	other := n.AddressedTo(to)
	isSame := func(x notify.Notification) bool {
		return notify.MessageEffect(i.Reference, i.ClientID, x).Key == notify.MessageEffect(i.Reference, i.ClientID, other).Key
	}
	isToBeCalled := func(r notify.Recipient) bool { return r.Contact == to.Contact }
	switch {
	case to.Channel == models.ChannelSMS && slices.ContainsFunc(w.state.Notifications, isSame), to.Channel == models.ChannelVoice && (i.Acknowledged != nil || i.IsOver()):
		to.Channel = "" // the text is on its way; nobody is called any more
	case to.Channel == models.ChannelSMS:
		w.state.Notifications = append(w.state.Notifications, other)
	case to.Channel == models.ChannelVoice && !i.NeedsCalls() && !slices.ContainsFunc(w.state.PendingCalls, isToBeCalled):
		w.state.PendingCalls = append(w.state.PendingCalls, to) // a round of a critical incident calls them anyway
	}
	w.logIfRefused(ctx, w.emit(ctx, models.System(),
		&incident.NotDelivered{Contact: n.Contact, Channel: n.Channel, Effect: effect, Reason: reason, Fallback: to.Channel}))
}
