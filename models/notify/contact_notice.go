package notify

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// ContactChange is one change of a contact, of which the client's admins and the contact are told.
type ContactChange struct {
	ID        uuid.UUID
	At        time.Time
	Contact   uuid.UUID
	Side      models.Side // of who changed it
	Role      models.Role
	Operation string    // as the API names it
	Fields    []string  // the names of the changed fields
	Before    Addresses // empty: the contact was made
	After     Addresses // empty: the contact was removed
}

// Addresses is where a contact is told of a change.
type Addresses struct {
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
	Texts bool   `json:"texts,omitzero"` // the phone takes texts
}

// AddressesOf returns where a contact is told of a change; nowhere when the contact was removed.
func AddressesOf(c models.Contact) Addresses {
	if !c.RemovedAt.IsZero() {
		return Addresses{}
	}
	return Addresses{Email: c.Email, Phone: c.Phone, Texts: c.Has(models.ChannelSMS)}
}

// ContactNotice names a notice: some changes of one client's contacts, told together. Its id is that of the first.
type ContactNotice struct {
	ClientID uuid.UUID `json:"client_id"`
	Number   int       `json:"number"` // of the client
	ID       uuid.UUID `json:"id"`
}

// WorkflowID returns the id of the workflow that tells the notice.
func (n ContactNotice) WorkflowID() string {
	return fmt.Sprintf("contact-notice/%d/%s", n.Number, n.ID)
}

// NoticeRecipient is somebody who is told: the user Admin, or the old or new address of a contact in a change.
type NoticeRecipient struct {
	Channel models.Channel `json:"channel"`
	Contact uuid.UUID      `json:"contact"`
	Admin   uuid.UUID      `json:"admin,omitzero"`
	Change  uuid.UUID      `json:"change,omitzero"` // the first one that names the address
	Old     bool           `json:"old,omitzero"`    // the address of before that change
}

// Effect is the ledger's name for what a recipient of the notice is sent.
func (n ContactNotice) Effect(to NoticeRecipient) Effect {
	kind := EffectMail
	if to.Channel == models.ChannelSMS {
		kind = EffectText
	}
	who := "admin." + to.Admin.String()
	switch {
	case to.Admin == uuid.Nil && to.Old:
		who = to.Change.String() + ".old"
	case to.Admin == uuid.Nil:
		who = to.Change.String() + ".new"
	}
	return Effect{
		Key:  fmt.Sprintf("contact/%s/%s/%s/%s.%s", to.Contact, PurposeContactChanged, to.Channel, n.ID, who),
		Kind: kind, ClientID: n.ClientID, Purpose: PurposeContactChanged, Occurrence: 1, Contact: to.Contact, Workflow: n.WorkflowID(),
	}
}

// NoticeRecipients lists who is told of some changes: every admin of all of them by mail, every old and new mail
// address once of those that name it, and by text the number that a contact had and the one they got.
func NoticeRecipients(changes []ContactChange, admins []uuid.UUID) (all []NoticeRecipient) {
	if len(changes) == 0 {
		return nil
	}
	for _, id := range admins {
		all = append(all, NoticeRecipient{Channel: models.ChannelEmail, Contact: changes[0].Contact, Admin: id})
	}
	told := map[string]bool{}
	for _, c := range changes {
		for _, side := range []struct {
			old bool
			Addresses
		}{{true, c.Before}, {false, c.After}} {
			add := func(ch models.Channel, address string) {
				at := c.Contact.String() + " " + address
				if ch == models.ChannelSMS {
					at = address // a text names no contact, and costs money
				}
				if address != "" && !told[at] {
					told[at] = true
					all = append(all, NoticeRecipient{Channel: ch, Contact: c.Contact, Change: c.ID, Old: side.old})
				}
			}
			add(models.ChannelEmail, side.Email)
			if c.movesPhone() && side.Texts {
				add(models.ChannelSMS, side.Phone)
			}
		}
	}
	return all
}

// movesPhone reports whether a contact who was there before is there under another number now.
func (c ContactChange) movesPhone() bool {
	return c.Before != (Addresses{}) && c.After != (Addresses{}) && c.Before.Phone != c.After.Phone
}

// Names reports whether the change names an address of the contact, as the old or the new one.
func (c ContactChange) Names(contact uuid.UUID, email string) bool {
	return c.Contact == contact && (c.Before.Email == email || c.After.Email == email)
}
