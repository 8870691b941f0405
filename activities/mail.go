package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
)

// Mail sends messages to contacts. It belongs to the queue "mail".
type Mail struct {
	Effects Effects
	Mailer  Mailer
	Vendor  string
	Letter  report.Letterhead
}

// MailInput is a message that is due to one contact.
type MailInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Notice    models.Notice
	After     int // Seq of the event it is about: the store must have it first
}

// Effect is the ledger's name for the message.
func (in MailInput) Effect() models.Effect {
	n := in.Notice
	return models.MailEffect(in.Reference, in.ClientID, n.Purpose, n.Revision, n.Occurrence, n.Contact)
}

// recordWithin is how long a mail waits in place for the store to have what it is about, which is recorded at the same
// time; firstLook is the first pause between looks, which then doubles.
const (
	recordWithin = 2 * time.Second
	firstLook    = 5 * time.Millisecond
)

// Send composes the message from the published revision it is about and hands it to the vendor, once. The revision may
// be on its way into the store: it is waited for.
func (m *Mail) Send(ctx context.Context, in MailInput) error {
	for pause := firstLook; ; pause *= 2 {
		seq, err := m.Effects.Store.Recorded(ctx, store.Worker, in.ClientID, in.Reference)
		switch {
		case err != nil:
			return fmt.Errorf("read incident: %w", err)
		case seq >= in.After:
			return m.send(ctx, in)
		case pause > recordWithin/2:
			return later(ErrPending, "what the mail is about is not recorded yet", time.Second)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (m *Mail) send(ctx context.Context, in MailInput) error {
	var msg models.OutboundMail
	_, err := m.Effects.Once(ctx, in.Effect(), Act{
		Vendor: m.Vendor,
		Prepare: func(tx *store.Tx, row store.LedgerRow) (err error) {
			msg, err = m.compose(tx, in, row)
			return err
		},
		Lookup: func(ctx context.Context, row store.LedgerRow) (string, bool, error) {
			return m.Mailer.Lookup(ctx, msg, row.PlannedAt.Add(-time.Minute))
		},
		Do: func(ctx context.Context, _ store.LedgerRow) (string, error) { return m.Mailer.Send(ctx, msg) },
	})
	return err
}

func (m *Mail) compose(tx *store.Tx, in MailInput, row store.LedgerRow) (models.OutboundMail, error) {
	contact, err := tx.Contact(in.Notice.Contact)
	if err != nil {
		return models.OutboundMail{}, fmt.Errorf("read contact: %w", err)
	}
	revision, err := tx.Revision(in.Reference, in.Notice.Revision)
	if err != nil {
		return models.OutboundMail{}, fmt.Errorf("read revision: %w", err)
	}
	msg, err := m.Letter.Compose(report.Letter{
		Purpose: in.Notice.Purpose, Occurrence: in.Notice.Occurrence, Language: contact.Language,
		Reference: in.Reference, Severity: revision.Severity, Title: revision.Assessment.Title, Revision: revision.Number,
	})
	if err != nil {
		return msg, fmt.Errorf("compose mail: %w", err)
	}
	first := models.MailEffect(in.Reference, in.ClientID, models.PurposePublished, 1, 1, contact.ID)
	msg.To, msg.ToName = contact.Email, contact.Name
	msg.MessageID = m.Letter.MessageID(row.Key)
	if row.Key != first.Key {
		msg.References = []string{m.Letter.MessageID(first.Key)}
	}
	msg.Opaque = map[string]string{"mdr_delivery_id": row.ID.String(), "mdr_client_id": in.ClientID.String()}
	return msg, nil
}
