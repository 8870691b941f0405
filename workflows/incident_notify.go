package workflows

import (
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// handedMessage is a message that goes with an event, or waits for it to be in the store.
type handedMessage struct {
	notify.Notification
	seq int // of the event
}

// notified returns the messages that go with events or wait for them.
func (m *messaging) notified() (all []notify.Notification) {
	for _, h := range m.handing {
		all = append(all, h.Notification)
	}
	return all
}

// dueMessages are the messages that follow from a batch of events.
type dueMessages struct {
	mails  []notify.Notification // that go with the batch
	later  []notify.Notification // that wait for a contact's hours
	others []notify.Notification
}

func (d dueMessages) all() []notify.Notification { return slices.Concat(d.mails, d.later, d.others) }

// mailsWithEvents bounds the mails that go with a batch of events.
const mailsWithEvents = 50

// planMessages returns the messages that follow from the first so many pending events, and takes back older ones that
// they replace. They count as being delivered from now on.
func (w *incidentWorkflow) planMessages(ctx workflow.Context, events int) (due dueMessages, err error) {
	var all []handedMessage
	rebases := w.recording.rebases
	for n := range events {
		if p := &w.recording.pending[n]; !p.planned {
			for _, one := range p.notifications {
				all = append(all, handedMessage{one, p.Seq})
			}
			p.planned = true
		}
	}
	troubled := w.state.Incident.OpenTask(incident.TaskVendorDown, string(models.ChannelEmail)) != nil ||
		w.state.Incident.OpenTask(incident.TaskConfig, string(models.ChannelEmail)) != nil
	for _, n := range all {
		if w.state.Incident.HasOutdated(n.Notification) {
			continue
		}
		each, err := w.addressees(ctx, n.Notification)
		if err != nil || w.recording.rebases != rebases {
			return due, err
		}
		for _, one := range each {
			if slices.Contains(w.messages(), one) {
				continue
			}
			switch {
			case one.At.After(workflow.Now(ctx)):
				due.later = append(due.later, one)
			case one.Channel == models.ChannelEmail && !troubled && len(due.mails) < mailsWithEvents:
				due.mails = append(due.mails, one)
			default:
				due.others = append(due.others, one)
			}
			w.messaging.sending[one] = true
			w.messaging.handing = append(w.messaging.handing, handedMessage{one, n.seq})
			w.dropSuperseded(ctx, one)
		}
	}
	return due, nil
}

// forgetMessages lets messages go that went with events or waited for them.
func (w *incidentWorkflow) forgetMessages(all []notify.Notification) {
	for _, n := range all {
		delete(w.messaging.sending, n)
	}
	w.messaging.handing = slices.DeleteFunc(w.messaging.handing, func(h handedMessage) bool { return slices.Contains(all, h.Notification) })
}

// queueDue has messages delivered one by one that went with events or waited for them, unless they were taken back
// meanwhile.
func (w *incidentWorkflow) queueDue(all []notify.Notification) {
	wanted := slices.DeleteFunc(slices.Clone(all), func(n notify.Notification) bool { return !w.messaging.sending[n] })
	w.forgetMessages(all)
	for _, n := range wanted {
		w.queueNotification(n)
	}
}

// notify writes a batch together with the mails that follow from it. What no mailer took is delivered one by one. A batch
// that could not be written goes by itself, and its messages follow it.
func (w *incidentWorkflow) notify(ctx workflow.Context, in recordInput, due dueMessages, rebases int) {
	out, err := notifyContacts(ctx, notifyInput{RecordInput: in, Exercise: w.state.Incident.Exercise, Mails: due.mails, Later: due.later})
	if w.recording.handed == in.Events[len(in.Events)-1].Seq {
		w.recording.handed = 0
	}
	if w.recording.rebases != rebases { // what is left of the messages is delivered by now
		return
	}
	if err != nil {
		w.holdMessages(in, slices.Concat(due.mails, due.later))
		if t := typeOf(err); t == errDiverged || t == errRefused {
			_, _ = w.noteWritten(ctx, in, rebases, err)
		}
		return
	}
	for n, mail := range due.mails {
		switch {
		case n < len(out.Accepted) && out.Accepted[n]:
			w.forgetMessages([]notify.Notification{mail})
			w.recordHandedOver(ctx, w.delivery(mail))
			w.showRefusal(ctx, models.ChannelEmail, out.Refused)
		case !w.messaging.sending[mail]: // replaced while it was tried
			w.forgetMessages([]notify.Notification{mail})
			w.takeBack(ctx, mail, notify.ReasonSuperseded)
		default:
			if f, is := out.Failures[n]; is {
				w.messaging.failed[mail] = failureOf(f)
			}
			w.queueDue([]notify.Notification{mail})
		}
	}
	w.queueDue(due.later)
	_, _ = w.noteWritten(ctx, in, rebases, nil)
}

// afterFirstFailure waits until another attempt makes sense at a mail that was refused with its events: for as long as the
// mailer asked, if that is not long.
func (w *incidentWorkflow) afterFirstFailure(ctx workflow.Context, d delivery, failure error) (tryAgain bool) {
	var app *temporal.ApplicationError
	if errors.As(failure, &app) && models.VendorClass(app.Type()) == models.Throttled && app.NextRetryDelay() <= time.Duration(w.state.Policy.TellAfter) {
		_, err := awaitFor(ctx, app.NextRetryDelay(), "the mailer asked for a pause", func() bool { return w.isUnwanted(d) })
		return err == nil
	}
	return w.afterFailure(ctx, d, failure)
}
