package notify

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Notification is a message that is due: to one contact over one channel, or, while Contact is the zero UUID, to
// everyone whose rule matches.
type Notification struct {
	Purpose    Purpose         `json:"purpose"`
	Revision   int             `json:"revision"`
	Occurrence int             `json:"occurrence"`
	Contact    uuid.UUID       `json:"contact"`
	Channel    models.Channel  `json:"channel,omitempty"`
	At         time.Time       `json:"at,omitzero"`        // not before: the contact's hours
	Question   string          `json:"question,omitempty"` // it is about; "" stands for any open one
	Severity   models.Severity `json:"severity,omitempty"` // of the incident when it fell due; "" when that is not known
}

// AddressedTo returns the notification to one contact, as planned.
func (n Notification) AddressedTo(r Recipient) Notification {
	n.Contact, n.Channel, n.At = r.Contact, r.Channel, r.At
	return n
}

// Replaces reports whether an older notification to the same contact over the same channel need not be sent any more,
// because this one says as much. One that may report a critical incident stays, unless this one does so too.
func (n Notification) Replaces(old Notification) bool {
	report := old.Purpose == PurposePublished || old.Purpose == PurposeRevised
	critical := old.Severity == models.SeverityCritical || old.Severity == ""
	switch {
	case n.Contact != old.Contact || n.Channel != old.Channel:
		return false
	case n.Purpose == PurposeRevised:
		return report && n.Revision > old.Revision && (!critical || n.Severity == models.SeverityCritical)
	case n.Purpose == PurposeReminder, n.Purpose == PurposeQuestionReminder:
		return old.Purpose == n.Purpose && old.Question == n.Question && n.Occurrence > old.Occurrence
	case n.Purpose == PurposeApproval, n.Purpose == PurposeLease, n.Purpose == PurposeStillPresent, n.Purpose == PurposeRisk: // they name no device or risk
		return old.Purpose == n.Purpose && n.Occurrence > old.Occurrence
	case n.Purpose == PurposeClosed && report:
		return !critical
	case n.Purpose == PurposeClosed:
		return slices.Contains([]Purpose{PurposeReminder, PurposeQuestion, PurposeQuestionReminder}, old.Purpose)
	}
	return false
}

// Undelivered is a vendor's word that a message it took never reached its contact.
type Undelivered struct {
	Effect       string       `json:"effect"`
	Notification Notification `json:"notification"`
	Reason       string       `json:"reason"` // "bounce", "dropped", "undelivered", "failed"
}

// TextReply is a contact's answer to a text message, proven by the code that was in it.
type TextReply struct {
	Effect  string    `json:"effect"`
	Contact uuid.UUID `json:"contact"`
}
