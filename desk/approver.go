package desk

import (
	"context"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// ConfirmApprover lets a contact of the user's own client approve on the phone, at the address and number of reached,
// which must be those that the contact has. pin is to be entered before an approval counts, "" for none. Confirming
// again replaces the PIN. NotFound: the client with the number is not the user's, or has no such contact. Conflict: the
// contact is reached elsewhere, or the user is of the SOC.
func (d *Desk) ConfirmApprover(ctx context.Context, u models.User, number int, reached models.Contact, pin string) (models.Contact, error) {
	if err := auth.Allow("confirm-approver", u.Role); err != nil {
		return models.Contact{}, err
	}
	if email, err := address.Mail(reached.Email); err == nil { // the contact's has this form
		reached.Email = email
	}
	hash := ""
	if pin != "" {
		var err error
		if hash, err = auth.HashPIN(pin); err != nil {
			return models.Contact{}, err
		}
	}
	var now models.Contact
	err := d.changeContact(ctx, u, number, "confirm-approver", reached.ID, func(tx *store.Tx) (err error) {
		if now, err = tx.Contact(reached.ID); err != nil {
			return err
		}
		switch {
		case !now.RemovedAt.IsZero():
			return models.Errorf(models.NotFound, "contact not found")
		case now.Phone != reached.Phone || now.Email != reached.Email:
			return models.Errorf(models.Conflict, "the contact has another phone number or mail address; read the contact again")
		case now.Approver != nil && !now.Approver.PIN && hash == "":
			return nil // confirmed already
		}
		now, err = tx.ConfirmApprover(reached.ID, u.ID, hash, tx.Now())
		return err
	})
	return now, err
}

// RevokeApprover lets a contact of the user's own client approve no more. Revoking again changes nothing. Errors are
// those of ConfirmApprover.
func (d *Desk) RevokeApprover(ctx context.Context, u models.User, number int, id uuid.UUID) (models.Contact, error) {
	if err := auth.Allow("revoke-approver", u.Role); err != nil {
		return models.Contact{}, err
	}
	var now models.Contact
	err := d.changeContact(ctx, u, number, "revoke-approver", id, func(tx *store.Tx) (err error) {
		if now, err = tx.Contact(id); err != nil || now.Approver == nil {
			return err
		}
		now, err = tx.RevokeApprover(id, u.ID, tx.Now())
		return err
	})
	return now, err
}

// noApprovers returns whose consent never counts at the client with a number, whoever asks. Only the role that manages users
// reads whose addresses these are.
func (d *Desk) noApprovers(ctx context.Context, u models.User, number int) (people store.NoApprovers, err error) {
	client, err := d.clientOf(ctx, u, number)
	if err != nil {
		return people, err
	}
	return store.Run(d.store.By(u).InLogins(ctx, client), (*store.Tx).NoApprovers)
}
