package workflows

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// mailContacts starts a mail for every notice, and turns a notice to everyone into one per contact.
func (w *incident) mailContacts(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return w.nextNotice() >= 0 }) == nil {
		n := w.run.Notices[w.nextNotice()]
		if n.Contact == uuid.Nil {
			if w.address(ctx, n) != nil {
				return
			}
			continue
		}
		w.mailing[n] = true
		workflow.Go(ctx, func(ctx workflow.Context) { w.deliver(ctx, n) })
	}
}

func (w *incident) nextNotice() int {
	return slices.IndexFunc(w.run.Notices, func(n models.Notice) bool { return !w.mailing[n] })
}

// address replaces a notice to everyone by one per contact whose rule matches.
func (w *incident) address(ctx workflow.Context, all models.Notice) error {
	i := w.run.Incident
	to, err := recipients(ctx, recipientsInput{ClientID: i.ClientID, Severity: i.Severity, Channel: models.ChannelEmail})
	if err != nil {
		return err
	}
	at := slices.Index(w.run.Notices, all)
	var each []models.Notice
	for _, r := range to {
		n := all
		n.Contact = r.Contact
		each = append(each, n)
	}
	w.run.Notices = slices.Replace(w.run.Notices, at, at+1, each...)
	if len(to) == 0 {
		w.openTask(ctx, models.TaskNobodyToReach, "", "no contact is to be mailed for severity "+string(i.Severity))
	}
	return nil
}

// deliver hands one mail over, however long the vendor is down. What stands in the way is shown as a task.
func (w *incident) deliver(ctx workflow.Context, n models.Notice) {
	in := mailInput{ClientID: w.run.Incident.ClientID, Reference: w.run.Incident.Reference, Notice: n, After: w.run.Incident.Seq}
	key := in.Effect().Key
	for {
		err := sendMail(ctx, "mail contact "+n.Contact.String()+": "+string(n.Purpose), time.Duration(w.run.Policy.TellAfter), in)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			w.delivered(ctx, n, key)
			return
		}
		switch classOf(err) {
		case models.Rejected:
			w.openTask(ctx, models.TaskRejected, key, "mail to a contact: "+words(err))
			w.dropNotice(n)
			return
		case models.Config:
			w.openTask(ctx, models.TaskConfig, key, "mail: "+words(err))
			err = workflow.Await(ctx, func() bool { return w.run.Incident.OpenTask(models.TaskConfig, key) == nil })
		default:
			w.openTask(ctx, models.TaskVendorDown, key, "mail: "+words(err))
			err = pause(ctx, time.Duration(w.run.Policy.TryAgainEvery), "mail vendor is down; try again")
		}
		if err != nil {
			return
		}
	}
}

func (w *incident) delivered(ctx workflow.Context, n models.Notice, key string) {
	w.must(ctx, w.note(ctx, models.System(), &models.ContactMailed{Contact: n.Contact, Purpose: n.Purpose, Revision: n.Revision, Effect: key}))
	w.endTask(ctx, models.TaskVendorDown, key)
	w.dropNotice(n)
}

func (w *incident) dropNotice(n models.Notice) {
	w.run.Notices = slices.DeleteFunc(w.run.Notices, func(x models.Notice) bool { return x == n })
	delete(w.mailing, n)
}

// mailFailed is the vendor's word that a mail it took never reached its reader.
func (w *incident) mailFailed(ctx workflow.Context, f models.MailFact) {
	w.openTask(ctx, models.TaskRejected, f.Effect, "mail did not arrive: "+f.Type)
}
