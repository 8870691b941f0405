package desk

import (
	"cmp"
	"context"

	"github.com/google/uuid"
	"golang.org/x/text/language"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Contacts lists a client's contacts in calling order. NotFound also when the client is not the user's.
func (d *Desk) Contacts(ctx context.Context, u models.User, number int) ([]models.Contact, error) {
	return store.Run(d.inClient(ctx, u, number), (*store.Tx).Contacts)
}

// CreateContact adds a contact to the client with a number. The same key again returns the same contact, as it is now.
// Invalid: a field is wrong, or the key was used for another request.
func (d *Desk) CreateContact(ctx context.Context, u models.User, number int, c models.Contact, key string) (models.Contact, error) {
	if err := auth.Allow("create-contact", u.Role); err != nil {
		return models.Contact{}, err
	}
	c, err := d.checkContact(c)
	if err != nil {
		return models.Contact{}, err
	}
	asked, err := requestFingerprint("create-contact", c)
	if err != nil {
		return models.Contact{}, err
	}
	c.ID = uuid.New()
	var made models.Contact
	err = d.changeSettings(ctx, u, number, "create-contact", func(tx *store.Tx) (_ string, fields []string, err error) {
		made, err = tx.CreateContact(c, requestID(u, "create-contact", key), asked)
		if err != nil || made.ID != c.ID { // an earlier try of this request made it
			return "", nil, err
		}
		if fields, err = differences(models.Contact{ID: made.ID, ClientID: made.ClientID}, made); err != nil {
			return "", nil, err
		}
		return made.ID.String(), fields, tellOfContact(tx, u, "create-contact", models.Contact{}, made, fields)
	}, limitsOfTold(u, number, c)...)
	return made, err
}

// UpdateContact replaces the fields of the contact c.ID of the client with a number. A channel that the contact no
// longer has, or that now leads to another address, is no longer verified. NotFound: the client has no such contact, or
// it was removed.
func (d *Desk) UpdateContact(ctx context.Context, u models.User, number int, c models.Contact) (models.Contact, error) {
	if err := auth.Allow("update-contact", u.Role); err != nil {
		return models.Contact{}, err
	}
	c, err := d.checkContact(c)
	if err != nil {
		return models.Contact{}, err
	}
	before, err := store.Run(d.inClient(ctx, u, number), func(tx *store.Tx) (models.Contact, error) { return tx.Contact(c.ID) })
	if err != nil {
		return models.Contact{}, err
	}
	var now models.Contact
	err = d.changeContact(ctx, u, number, "update-contact", c.ID, func(tx *store.Tx) (err error) {
		now, err = tx.UpdateContact(c)
		return err
	}, limitsOfTold(u, number, before, c)...)
	return now, err
}

// RemoveContact removes a contact of the client with a number: Watchfire notifies them no more. Removing a contact
// again changes nothing. NotFound: the client has no such contact.
func (d *Desk) RemoveContact(ctx context.Context, u models.User, number int, id uuid.UUID) error {
	if err := auth.Allow("remove-contact", u.Role); err != nil {
		return err
	}
	return d.changeContact(ctx, u, number, "remove-contact", id, func(tx *store.Tx) error { return tx.RemoveContact(id, tx.Now()) })
}

// changeContact runs fn, which changes one contact of the client with a number, and adds the changed fields to the
// audit log. NotFound: the client has no such contact.
func (d *Desk) changeContact(ctx context.Context, u models.User, number int, operation string, id uuid.UUID, fn func(*store.Tx) error, more ...store.Limit) error {
	return d.changeSettings(ctx, u, number, operation, func(tx *store.Tx) (string, []string, error) {
		before, err := tx.Contact(id)
		if err == nil {
			err = fn(tx)
		}
		if err != nil {
			return "", nil, err
		}
		after, err := tx.Contact(id)
		if err != nil {
			return "", nil, err
		}
		fields, err := differences(before, after)
		if err != nil || len(fields) == 0 {
			return "", nil, err
		}
		return id.String(), fields, tellOfContact(tx, u, operation, before, after, fields)
	}, more...)
}

// tellOfContact keeps the change of a contact, so that the client's admins and the contact are told of it.
func tellOfContact(tx *store.Tx, u models.User, operation string, before, after models.Contact, fields []string) error {
	return tx.AppendContactChange(notify.ContactChange{
		Contact: after.ID, Side: u.Role.Side(), Role: u.Role, Operation: operation, Fields: fields,
		Before: notify.AddressesOf(before), After: notify.AddressesOf(after),
	})
}

// checkContact returns the contact with its mail address in its one form, or Invalid with the field at fault.
func (d *Desk) checkContact(c models.Contact) (models.Contact, error) {
	if err := cmp.Or(requireText("/name", c.Name), models.CheckTexts(c)); err != nil {
		return c, err
	}
	for _, need := range []struct {
		channel models.Channel
		pointer string
	}{{models.ChannelEmail, "/email"}, {models.ChannelVoice, "/phone"}, {models.ChannelSMS, "/phone"}} {
		if c.Has(need.channel) && c.Address(need.channel) == "" {
			return c, models.InvalidField(need.pointer, "is required for the channel %s", need.channel)
		}
	}
	if err := d.checkLanguage(c.Language); err != nil {
		return c, err
	}
	if c.Email != "" {
		email, err := address.Mail(c.Email)
		if err != nil {
			return c, models.InvalidField("/email", "%s", err)
		}
		c.Email = email
	}
	if err := d.checkPhone(c); err != nil {
		return c, err
	}
	return c, c.Hours.Check("/hours")
}

// requireText refuses a text that shows nothing.
func requireText(pointer, s string) error {
	if models.IsBlank(s) {
		return models.InvalidField(pointer, "must not be blank")
	}
	return nil
}

// checkLanguage checks that a language is a BCP 47 tag of known parts, and one in which there are words for clients:
// whoever asked for another would read English, and nobody would know why.
func (d *Desk) checkLanguage(tag string) error {
	if _, err := language.Parse(tag); err != nil {
		return models.InvalidField("/language", "is not a BCP 47 language tag")
	}
	if d.speaks != nil && !d.speaks(tag) {
		return models.InvalidField("/language", "is a language that this installation has no words in")
	}
	return nil
}
