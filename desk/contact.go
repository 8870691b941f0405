package desk

import (
	"cmp"
	"context"
	"net/mail"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/language"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
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
	if err := d.checkContact(c); err != nil {
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
		fields, err = differences(models.Contact{ID: made.ID, ClientID: made.ClientID}, made)
		return made.ID.String(), fields, err
	})
	return made, err
}

// UpdateContact replaces the fields of the contact c.ID of the client with a number. A channel that the contact no
// longer has, or that now leads to another address, is no longer verified. NotFound: the client has no such contact, or
// it was removed.
func (d *Desk) UpdateContact(ctx context.Context, u models.User, number int, c models.Contact) (models.Contact, error) {
	if err := auth.Allow("update-contact", u.Role); err != nil {
		return models.Contact{}, err
	}
	if err := d.checkContact(c); err != nil {
		return models.Contact{}, err
	}
	var now models.Contact
	err := d.changeContact(ctx, u, number, "update-contact", c.ID, func(tx *store.Tx) (err error) {
		now, err = tx.UpdateContact(c)
		return err
	})
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
func (d *Desk) changeContact(ctx context.Context, u models.User, number int, operation string, id uuid.UUID, fn func(*store.Tx) error) error {
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
		return id.String(), fields, err
	})
}

func (d *Desk) checkContact(c models.Contact) error {
	if err := cmp.Or(requireText("/name", c.Name), models.CheckTexts(c)); err != nil {
		return err
	}
	for _, need := range []struct {
		channel models.Channel
		pointer string
	}{{models.ChannelEmail, "/email"}, {models.ChannelVoice, "/phone"}, {models.ChannelSMS, "/phone"}} {
		if c.Has(need.channel) && c.Address(need.channel) == "" {
			return models.InvalidField(need.pointer, "is required for the channel %s", need.channel)
		}
	}
	if err := d.checkLanguage(c.Language); err != nil {
		return err
	}
	if err := checkEmail(c.Email); err != nil {
		return err
	}
	if err := checkPhone(c); err != nil {
		return err
	}
	return c.Hours.Check("/hours")
}

// requireText refuses a text that shows nothing.
func requireText(pointer, s string) error {
	if models.IsBlank(s) {
		return models.InvalidField(pointer, "must not be blank")
	}
	return nil
}

var mailHost = regexp.MustCompile(`^[\pL\pN]([\pL\pM\pN-]*[\pL\pM\pN])?(\.[\pL\pN]([\pL\pM\pN-]*[\pL\pM\pN])?)+$`)

// checkEmail checks that a mailer would take a contact's address, if there is one: the address alone, at a host whose
// name has a dot.
func checkEmail(s string) error {
	if s == "" {
		return nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || !mailHost.MatchString(s[strings.LastIndex(s, "@")+1:]) {
		return models.InvalidField("/email", "is not one mail address such as ada@client.example")
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

// checkPhone checks a contact's number against its country's numbering plan, as far as Google's libphonenumber knows
// it. Only a verified channel proves that somebody answers there.
func checkPhone(c models.Contact) error {
	if c.Phone == "" {
		return nil
	}
	n, err := phonenumbers.Parse(c.Phone, "") // no default country: only international form is read
	if err != nil {
		return models.InvalidField("/phone", "is not a phone number in international form")
	}
	if why := explainLength(n); why != "" {
		return models.InvalidField("/phone", "%s", why)
	}
	switch {
	case !phonenumbers.IsValidNumber(n):
		return models.InvalidField("/phone", "does not fit its country's numbering plan")
	case phonenumbers.Format(n, phonenumbers.E164) != c.Phone:
		return models.InvalidField("/phone", "is not in E.164 form: a plus, the country code, then the number without a leading zero or spaces")
	case c.Has(models.ChannelSMS) && phonenumbers.GetNumberType(n) == phonenumbers.FIXED_LINE:
		return models.InvalidField("/channels", "must not hold sms: the phone number is a fixed line")
	}
	return nil
}

// explainLength returns what is wrong with the length of a number, or with its country, or "".
func explainLength(n *phonenumbers.PhoneNumber) string {
	switch phonenumbers.IsPossibleNumberWithReason(n) {
	case phonenumbers.IS_POSSIBLE:
		return ""
	case phonenumbers.TOO_SHORT:
		return "is too short for a number of its country"
	case phonenumbers.TOO_LONG:
		return "is too long for a number of its country"
	case phonenumbers.INVALID_COUNTRY_CODE:
		return "has a country code that does not exist"
	default:
		return "does not have the length of a number of its country"
	}
}
