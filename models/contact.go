package models

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Channel is a way to reach a contact.
type Channel string

// The channels a contact may have.
const (
	ChannelEmail Channel = "email"
	ChannelVoice Channel = "voice"
	ChannelSMS   Channel = "sms"
)

// Contact is a person of the client to notify.
type Contact struct {
	ID         uuid.UUID  `json:"id"`
	ClientID   uuid.UUID  `json:"client_id"`
	Name       string     `json:"name"`
	Role       string     `json:"role"`  // their function at the client, such as "CISO"
	Email      string     `json:"email"` // in its one form (address.Mail)
	Phone      string     `json:"phone"` // E.164
	Language   string     `json:"language"`
	Order      int        `json:"order"` // calls go from low to high
	Severities []Severity `json:"severities"`
	Channels   []Channel  `json:"channels"`
	// Hours are when the contact is reached, in the client's time zone; empty means always. A critical incident
	// ignores them unless HoursForCritical.
	Hours            Hours                 `json:"hours,omitempty"`
	HoursForCritical bool                  `json:"hours_for_critical,omitempty"`
	Verified         map[Channel]time.Time `json:"verified,omitempty"`  // channels that were proven to reach them, and when
	Approver         *Approver             `json:"approver,omitempty"`  // who let them approve on the phone; nil: nobody
	RemovedAt        time.Time             `json:"removed_at,omitzero"` // kept only for what names them
	EmailBefore      string                `json:"-"`                   // as it is stored, in a row from before addresses had one form
}

// Person names the human behind the contact, see PersonOf.
func (c Contact) Person() string { return PersonOf(c.Email, c.EmailBefore) }

// Approver is the word of an admin of the client that a contact may approve on the phone. It ends when the contact is
// reached elsewhere, or removed.
type Approver struct {
	By  uuid.UUID `json:"by"` // the admin
	At  time.Time `json:"at"`
	PIN bool      `json:"pin"` // a PIN is asked for
}

// Address returns where a channel reaches the contact: the mail address or the phone number.
func (c Contact) Address(ch Channel) string {
	if ch == ChannelEmail {
		return c.Email
	}
	return c.Phone
}

// Has reports whether the contact may be reached over a channel.
func (c Contact) Has(ch Channel) bool { return slices.Contains(c.Channels, ch) }

// IsCallable reports whether the contact can be called for an approval: their number is verified.
func (c Contact) IsCallable() bool {
	return c.Has(ChannelVoice) && !c.Verified[ChannelVoice].IsZero()
}

// After returns the channel to try when one failed, and whether there is one: text follows mail, a call follows text,
// and a text follows a call that nobody answered.
func (c Contact) After(failed Channel) (Channel, bool) {
	var rest []Channel
	switch failed {
	case ChannelEmail:
		rest = []Channel{ChannelSMS, ChannelVoice}
	case ChannelSMS:
		rest = []Channel{ChannelVoice}
	case ChannelVoice:
		rest = []Channel{ChannelSMS}
	}
	for _, ch := range rest {
		if c.Has(ch) {
			return ch, true
		}
	}
	return "", false
}

// MessageChannel returns the channel for messages, mail before text, and whether the contact has one.
func (c Contact) MessageChannel() (Channel, bool) {
	for _, ch := range []Channel{ChannelEmail, ChannelSMS} {
		if c.Has(ch) {
			return ch, true
		}
	}
	return "", false
}
