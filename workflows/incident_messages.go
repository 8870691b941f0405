package workflows

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// insteadKept bounds how many failed messages an incident remembers, so that each is made up for once.
const insteadKept = 200

// sendingAtOnce bounds how many messages of one incident are handed over at a time: the engine allows a workflow two
// thousand activities under way, and other incidents want their turn.
const sendingAtOnce = 100

// messageContacts starts a message for every notice, and turns a notice to everyone into one per contact.
func (w *incident) messageContacts(ctx workflow.Context) {
	w.turns = workflow.NewSemaphore(ctx, sendingAtOnce)
	for workflow.Await(ctx, func() bool { return w.nextNotice() >= 0 }) == nil {
		n := w.run.Notices[w.nextNotice()]
		if n.Contact == uuid.Nil {
			if w.address(ctx, n) != nil {
				return
			}
			continue
		}
		w.sending[n] = true
		workflow.Go(ctx, func(ctx workflow.Context) { w.deliver(ctx, n) })
	}
}

func (w *incident) nextNotice() int {
	return slices.IndexFunc(w.run.Notices, func(n models.Notice) bool { return !w.sending[n] })
}

// address replaces a notice to everyone by one per contact, as planned. Who still waits for an earlier reminder gets no
// other one.
func (w *incident) address(ctx workflow.Context, all models.Notice) error {
	i := w.run.Incident
	waiting := w.reminding(all)
	to, err := plan(ctx, planInput{ClientID: i.ClientID, Reference: i.Reference, Severity: i.PublishedSeverity, At: workflow.Now(ctx), Notice: all, Waiting: waiting})
	if err != nil {
		return err
	}
	at := slices.Index(w.run.Notices, all)
	var each []models.Notice
	for _, r := range to.Messages {
		each = append(each, all.To(r))
	}
	w.run.Notices = slices.Replace(w.run.Notices, at, at+1, each...)
	if len(each) == 0 && len(waiting) == 0 {
		w.openTask(ctx, models.TaskNobodyToReach, "", "no contact is to be told of severity "+string(i.PublishedSeverity))
	}
	return nil
}

// reminding returns the reminders of the same that wait for a contact.
func (w *incident) reminding(n models.Notice) (waiting []models.Notice) {
	if n.Purpose != models.PurposeReminder && n.Purpose != models.PurposeQuestionReminder {
		return nil
	}
	for _, x := range w.run.Notices {
		if x.Contact != uuid.Nil && x.Purpose == n.Purpose && x.Question == n.Question {
			waiting = append(waiting, x)
		}
	}
	return waiting
}

// deliver hands one message over when its time has come, however long the vendor is down, unless a newer one replaces
// it. What stands in the way is shown as a task.
func (w *incident) deliver(ctx workflow.Context, n models.Notice) {
	i := w.run.Incident
	in := messageInput{ClientID: i.ClientID, Reference: i.Reference, Notice: n, After: i.Seq, Drill: i.Drill, Rehearsal: w.rehearsal()}
	key := in.Effect().Key
	over := func() bool { return !w.sending[n] || n.Over(w.run.Incident) }
	if _, err := awaitUntil(ctx, n.At, "wait for the contact's hours", over); err != nil {
		return
	}
	w.collapse(ctx, n)
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
		err := send(ctx, summary, time.Duration(w.run.Policy.TellAfter), in)
		w.turns.Release(1)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			w.handedOver(ctx, n, key)
			return
		}
		if !w.sending[n] { // replaced while it was tried
			w.takeBack(ctx, n, models.ReasonSuperseded)
			return
		}
		if queued(err) {
			if _, err := awaitFor(ctx, time.Second, "it had no turn; wait for one again", over); err != nil {
				return
			}
			continue
		}
		switch classOf(err) {
		case models.Rejected:
			w.openTask(ctx, models.TaskRejected, key, string(n.Channel)+" to a contact: "+words(err))
			w.insteadOf(ctx, n, key, "rejected")
			w.dropNotice(n)
			return
		case models.Config:
			w.openTask(ctx, models.TaskConfig, key, string(n.Channel)+": "+words(err))
			err = workflow.Await(ctx, func() bool { return over() || w.run.Incident.OpenTask(models.TaskConfig, key) == nil })
		default:
			w.openTask(ctx, models.TaskVendorDown, key, string(n.Channel)+": "+words(err))
			_, err = awaitFor(ctx, time.Duration(w.run.Policy.TryAgainEvery), "the vendor is down; try again", over)
		}
		if err != nil {
			return
		}
	}
}

// collapse takes back what is replaced by something newer, of the messages that are due to the contact of a notice.
func (w *incident) collapse(ctx workflow.Context, to models.Notice) {
	var due []models.Notice
	for _, n := range w.run.Notices {
		if n.Contact == to.Contact && !n.At.After(workflow.Now(ctx)) {
			due = append(due, n)
		}
	}
	for _, old := range due {
		if w.sending[old] && slices.ContainsFunc(due, func(n models.Notice) bool { return n.Replaces(old) }) {
			w.takeBack(ctx, old, models.ReasonSuperseded)
		}
	}
}

// takeBack drops a message that is not wanted any more, and what it opened. The ledger keeps it from being tried.
func (w *incident) takeBack(ctx workflow.Context, n models.Notice, reason string) {
	e := models.MessageEffect(w.run.Incident.Reference, w.run.Incident.ClientID, n)
	w.dropNotice(n)
	w.busy++
	w.must(ctx, cancelEffect(ctx, cancelInput{Effect: e, Reason: reason}))
	w.busy--
	w.endTask(ctx, models.TaskVendorDown, e.Key)
	w.endTask(ctx, models.TaskConfig, e.Key)
}

func (w *incident) rehearsal() bool { return w.run.Incident.FireDrill == models.PhonesSimulated }

func (w *incident) handedOver(ctx workflow.Context, n models.Notice, key string) {
	m := models.Message{Contact: n.Contact, Purpose: n.Purpose, Revision: n.Revision, Effect: key}
	if n.Channel == models.ChannelSMS {
		w.must(ctx, w.note(ctx, models.System(), &models.ContactTexted{Message: m}))
	} else {
		w.must(ctx, w.note(ctx, models.System(), &models.ContactMailed{Message: m}))
	}
	w.dropNotice(n)
	w.endTask(ctx, models.TaskVendorDown, key)
}

func (w *incident) dropNotice(n models.Notice) {
	w.run.Notices = slices.DeleteFunc(w.run.Notices, func(x models.Notice) bool { return x == n })
	delete(w.sending, n)
}

// undelivered is a vendor's word that a message it took never reached its reader.
func (w *incident) undelivered(ctx workflow.Context, f models.Undelivered) {
	w.openTask(ctx, models.TaskNotDelivered, f.Effect, string(f.Notice.Channel)+" did not arrive: "+f.Reason)
	w.insteadOf(ctx, f.Notice, f.Effect, f.Reason)
}

// insteadOf reaches a contact over their next channel after a message or a call did not reach them, once.
func (w *incident) insteadOf(ctx workflow.Context, n models.Notice, effect, reason string) {
	i := w.run.Incident
	if slices.Contains(w.run.Instead, effect) || i.Over() {
		return
	}
	w.run.Instead = append(w.run.Instead, effect)
	w.run.Instead = w.run.Instead[max(len(w.run.Instead)-insteadKept, 0):]
	to, err := fallback(ctx, fallbackInput{ClientID: i.ClientID, Reference: i.Reference, Notice: n, Severity: i.PublishedSeverity, At: workflow.Now(ctx)})
	if err != nil {
		return
	}
	i = w.run.Incident
	other := n.To(to)
	same := func(x models.Notice) bool {
		return models.MessageEffect(i.Reference, i.ClientID, x).Key == models.MessageEffect(i.Reference, i.ClientID, other).Key
	}
	switch {
	case to.Channel == models.ChannelSMS && slices.ContainsFunc(w.run.Notices, same), to.Channel == models.ChannelVoice && i.Acknowledged != nil:
		to.Channel = "" // the text is on its way; nobody is called any more
	case to.Channel == models.ChannelSMS:
		w.run.Notices = append(w.run.Notices, other)
	case to.Channel == models.ChannelVoice && !i.NeedsCalls() && !slices.ContainsFunc(w.run.Callees, func(r models.Reach) bool { return r.Contact == to.Contact }):
		w.run.Callees = append(w.run.Callees, to) // a round of a critical incident calls them anyway
	}
	w.must(ctx, w.note(ctx, models.System(), &models.NotDelivered{Contact: n.Contact, Channel: n.Channel, Effect: effect, Reason: reason, Instead: to.Channel}))
}
