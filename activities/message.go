package activities

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
)

// MessageInput is a notification that is due to one contact, by mail or text.
type MessageInput struct {
	ClientID     uuid.UUID
	Reference    models.Reference
	Notification notify.Notification
	Exercise     models.Exercise
}

// Effect is the ledger's name for the message.
func (in MessageInput) Effect() notify.Effect {
	e := notify.MessageEffect(in.Reference, in.ClientID, in.Notification)
	e.Simulated = in.Exercise.IsSimulated()
	return e
}

// content is what all messages about one notification say, whoever gets them.
type content struct {
	revision incident.Revision
	accepted []report.Acceptance
}

// read reads what the message says from the published revision it is about.
func (in MessageInput) read(tx *store.Tx) (c content, err error) {
	if c.revision, err = tx.Revision(in.Reference, in.Notification.Revision); err != nil {
		return c, fmt.Errorf("read revision: %w", err)
	}
	c.accepted, err = in.accepted(tx)
	return c, err
}

// letter composes the message to a contact.
func (in MessageInput) letter(says content, c models.Contact, row store.LedgerRow) report.Letter {
	return report.Letter{
		Accepted: says.accepted,
		Purpose:  in.Notification.Purpose, Occurrence: in.Notification.Occurrence, Language: c.Language, Reference: in.Reference,
		Severity: says.revision.Severity, Title: says.revision.Assessment.Title, Revision: says.revision.Number, Drill: in.Exercise.IsDrill(), Code: row.Code(),
	}
}

// accepted returns who accepted the risks that the message is about: that of the closure, or those whose time is over.
func (in MessageInput) accepted(tx *store.Tx) (all []report.Acceptance, err error) {
	purpose := in.Notification.Purpose
	if purpose != notify.PurposeClosed && purpose != notify.PurposeRisk {
		return nil, nil
	}
	i, err := tx.Incident(in.Reference)
	if err != nil {
		return nil, fmt.Errorf("read incident: %w", err)
	}
	risks := slices.DeleteFunc(i.AcceptedRisks(), func(r incident.AcceptedRisk) bool {
		return purpose == notify.PurposeClosed && r.ID != incident.RiskOfClosure || purpose == notify.PurposeRisk && r.Review == nil
	})
	if len(risks) == 0 {
		return nil, nil
	}
	var ids []uuid.UUID
	for _, r := range risks {
		if id, err := uuid.Parse(r.By.ID); err == nil {
			ids = append(ids, id)
		}
	}
	names, err := tx.UserNames(ids)
	if err != nil {
		return nil, err
	}
	d, err := tx.Directory()
	if err != nil {
		return nil, err
	}
	for _, r := range risks {
		id, _ := uuid.Parse(r.By.ID) // the zero UUID has no name
		all = append(all, report.Acceptance{By: names[id], Until: r.Until.In(d.Zone)})
	}
	return all, nil
}

// contactOf reads the contact an effect is for. Rejected: the contact was removed.
func contactOf(tx *store.Tx, e notify.Effect) (models.Contact, error) {
	c, err := tx.Contact(e.Contact)
	if err != nil {
		return c, fmt.Errorf("read contact: %w", err)
	}
	if !c.RemovedAt.IsZero() {
		return c, &models.VendorError{Class: models.Rejected, Vendor: "watchfire", Op: string(e.Kind), Code: "contact_removed"}
	}
	return c, nil
}
