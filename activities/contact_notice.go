package activities

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
)

// NoticeInput names one message of a notice about changed contacts.
type NoticeInput struct {
	About notify.ContactNotice
	To    notify.NoticeRecipient
}

// BeginContactNotice gathers the changes that a notice tells of, and returns who is told.
func (r *Records) BeginContactNotice(ctx context.Context, n notify.ContactNotice) ([]notify.NoticeRecipient, error) {
	return store.Run(r.Store.InClient(ctx, store.Worker, n.ClientID), func(tx *store.Tx) ([]notify.NoticeRecipient, error) {
		changes, err := tx.BeginContactNotice(n.ID)
		if err != nil {
			return nil, err
		}
		admins, err := tx.Admins()
		var ids []uuid.UUID
		for _, u := range admins {
			ids = append(ids, u.ID)
		}
		return notify.NoticeRecipients(changes, ids), err
	})
}

// EndContactNotice says that everybody was told, and forgets their addresses.
func (r *Records) EndContactNotice(ctx context.Context, n notify.ContactNotice) error {
	return r.Store.ForClient(ctx, store.Worker, n.ClientID, func(tx *store.Tx) error { return tx.EndContactNotice(n.ID) })
}

// SendNoticeMail tells one recipient of changed contacts by mail, once.
func (m *Mail) SendNoticeMail(ctx context.Context, in NoticeInput) error {
	var letter report.Letter
	return m.deliverTo(ctx, in.About.Effect(in.To), func(tx *store.Tx) (c models.Contact, err error) {
		c, letter, err = in.read(tx)
		return c, err
	}, func(_ *store.Tx, c models.Contact, row store.LedgerRow) (models.OutboundMail, error) {
		return m.compose(letter, c, row)
	})
}

// SendNoticeText tells a contact's old or new number that it was changed, once.
func (p *Phone) SendNoticeText(ctx context.Context, in NoticeInput) error {
	var letter report.Letter
	return p.deliverTo(ctx, in.About.Effect(in.To), func(tx *store.Tx) (c models.Contact, err error) {
		c, letter, err = in.read(tx)
		return c, err
	}, func(*store.Tx, models.Contact, store.LedgerRow) (report.Letter, error) { return letter, nil })
}

// read returns where the recipient is reached, as a contact, and what they are told. Rejected: the recipient is none any
// more.
func (in NoticeInput) read(tx *store.Tx) (models.Contact, report.Letter, error) {
	to, letter := models.Contact{}, report.Letter{Purpose: notify.PurposeContactChanged}
	changes, err := tx.ContactChanges(in.About.ID)
	if err != nil {
		return to, letter, err
	}
	if in.To.Admin != uuid.Nil {
		return in.readForAdmin(tx, changes)
	}
	n := slices.IndexFunc(changes, func(c notify.ContactChange) bool { return c.ID == in.To.Change })
	if n < 0 {
		return to, letter, in.gone()
	}
	at := changes[n].After
	if in.To.Old {
		at = changes[n].Before
	}
	now, err := tx.Contact(in.To.Contact)
	if err != nil {
		return to, letter, fmt.Errorf("read contact: %w", err)
	}
	to, letter.Language = models.Contact{Email: at.Email, Phone: at.Phone, Language: now.Language}, now.Language
	for _, c := range changes {
		if in.To.Channel == models.ChannelSMS && c.ID == in.To.Change || in.To.Channel == models.ChannelEmail && c.Names(in.To.Contact, at.Email) {
			letter.Changes = append(letter.Changes, report.ContactChange{ContactChange: c})
		}
	}
	return to, letter, nil
}

func (in NoticeInput) readForAdmin(tx *store.Tx, changes []notify.ContactChange) (models.Contact, report.Letter, error) {
	to, letter := models.Contact{}, report.Letter{Purpose: notify.PurposeContactChanged}
	admins, err := tx.Admins()
	if err != nil {
		return to, letter, err
	}
	n := slices.IndexFunc(admins, func(u models.User) bool { return u.ID == in.To.Admin })
	if n < 0 || len(changes) == 0 {
		return to, letter, in.gone()
	}
	client, err := tx.Client()
	if err != nil {
		return to, letter, fmt.Errorf("read client: %w", err)
	}
	var ids []uuid.UUID
	for _, c := range changes {
		ids = append(ids, c.Contact)
	}
	names, err := tx.ContactNames(ids)
	for _, c := range changes {
		letter.Changes = append(letter.Changes, report.ContactChange{ContactChange: c, Name: names[c.Contact]})
	}
	to, letter.Language = models.Contact{Name: admins[n].Name, Email: admins[n].Email, Language: client.Language}, client.Language
	return to, letter, err
}

func (in NoticeInput) gone() error {
	return &models.VendorError{Class: models.Rejected, Vendor: "watchfire", Op: string(in.About.Effect(in.To).Kind), Code: "recipient_gone"}
}
