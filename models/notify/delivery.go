package notify

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Delivery is a row of the ledger as people see it.
type Delivery struct {
	ID             uuid.UUID        `json:"id"`
	Key            string           `json:"key"`
	Kind           EffectKind       `json:"kind"`
	Incident       models.Reference `json:"incident,omitempty"`
	Purpose        Purpose          `json:"purpose"`
	Revision       int              `json:"revision"`
	Occurrence     int              `json:"occurrence"`
	Contact        uuid.UUID        `json:"contact"`
	ContactName    string           `json:"contact_name,omitempty"`
	Endpoint       string           `json:"endpoint,omitempty"`
	State          EffectState      `json:"state"`
	Vendor         string           `json:"vendor,omitempty"`
	VendorID       string           `json:"vendor_id,omitempty"`
	VendorState    string           `json:"vendor_state,omitempty"` // the vendor's last word: "delivered", "completed", …
	Outcome        string           `json:"outcome,omitempty"`      // ours: "acknowledged", "voicemail", …
	AcknowledgedBy uuid.UUID        `json:"acknowledged_by,omitzero"`
	AcknowledgedAt time.Time        `json:"acknowledged_at,omitzero"`
	How            string           `json:"how,omitempty"`    // of an acknowledgement: "key press 1", "reply to text message"
	Reason         string           `json:"reason,omitempty"` // the class and code of a failure, or why it was canceled
	Attempts       int              `json:"attempts"`
	PlannedAt      time.Time        `json:"planned_at"` // not before
	AcceptedAt     time.Time        `json:"accepted_at,omitzero"`
	UpdatedAt      time.Time        `json:"updated_at"`
	States         []DeliveryState  `json:"states"` // the vendor's reports, in the order they came
}

// DeliveryState is one report of a vendor on a delivery.
type DeliveryState struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`               // when it happened; when the report came, if the vendor does not say
	Detail string    `json:"detail,omitempty"` // an error code, or a mail server's words: untrusted
}

// Channel returns the channel of a message or call.
func (d Delivery) Channel() models.Channel {
	switch d.Kind {
	case EffectText:
		return models.ChannelSMS
	case EffectCall:
		return models.ChannelVoice
	default:
		return models.ChannelEmail
	}
}

// Result returns the last word on a delivery: our outcome, else the vendor's word, else the ledger's state.
func (d Delivery) Result() string {
	return cmp.Or(d.Outcome, d.VendorState, string(d.State))
}

// IsDead reports whether a delivery shows that its number or address does not work, as opposed to nobody answering.
func (d Delivery) IsDead() bool {
	if d.State == EffectRejected || d.Outcome == string(OutcomeUnreachable) || d.Outcome == string(OutcomeRejected) {
		return true
	}
	return slices.Contains([]string{"bounce", "dropped", string(models.TextUndelivered), string(models.TextFailed)}, d.VendorState)
}
