package models

import (
	"cmp"
	"slices"

	"github.com/google/uuid"
)

// Channel is a way to reach a contact.
type Channel string

// The channels a contact may have.
const (
	ChannelEmail Channel = "email"
	ChannelVoice Channel = "voice"
)

// Contact is a person of the client to notify.
type Contact struct {
	ID         uuid.UUID  `json:"id"`
	ClientID   uuid.UUID  `json:"client_id"`
	Name       string     `json:"name"`
	Role       string     `json:"role"` // their function at the client, such as "CISO"
	Email      string     `json:"email"`
	Phone      string     `json:"phone"` // E.164
	Language   string     `json:"language"`
	Order      int        `json:"order"` // calls go from low to high
	Severities []Severity `json:"severities"`
	Channels   []Channel  `json:"channels"`
}

// Recipient is a contact as a workflow knows it: an id and a place in the order, no personal data.
type Recipient struct {
	Contact uuid.UUID `json:"contact"`
	Order   int       `json:"order"`
}

// Wants reports whether the contact is to be reached over channel for incidents of this severity.
func (c Contact) Wants(s Severity, ch Channel) bool {
	return slices.Contains(c.Severities, s) && slices.Contains(c.Channels, ch)
}

// Recipients returns who is reached over a channel for a severity, in calling order.
func Recipients(contacts []Contact, s Severity, ch Channel) []Recipient {
	out := []Recipient{}
	for _, c := range contacts {
		if c.Wants(s, ch) {
			out = append(out, Recipient{Contact: c.ID, Order: c.Order})
		}
	}
	slices.SortFunc(out, func(a, b Recipient) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Contact.String(), b.Contact.String()))
	})
	return out
}
