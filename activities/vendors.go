package activities

import (
	"context"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Mailer hands messages to a mail vendor. Errors are *models.VendorError.
type Mailer interface {
	// Send hands the message over and returns the vendor's id of it.
	Send(ctx context.Context, m models.OutboundMail) (vendorID string, err error)
	// Lookup asks the vendor whether it has the message, after a Send since then whose answer was lost.
	Lookup(ctx context.Context, m models.OutboundMail, since time.Time) (vendorID string, found bool, err error)
}

// Caller places calls through a carrier. Errors are *models.VendorError.
type Caller interface {
	// Place asks for a call and returns as soon as the carrier has taken it.
	Place(ctx context.Context, c models.OutboundCall) (models.PlacedCall, error)
	// Status asks how a call stands.
	Status(ctx context.Context, id string) (models.PlacedCall, error)
	// Hangup ends a call; one that is over already is no error.
	Hangup(ctx context.Context, id string) error
	// Recent lists our calls to a number since a moment, queued ones too.
	Recent(ctx context.Context, to string, since time.Time) ([]models.PlacedCall, error)
}

// Texter sends short messages through a carrier. Errors are *models.VendorError.
type Texter interface {
	// Text asks for a message and returns as soon as the carrier has taken it.
	Text(ctx context.Context, t models.OutboundText) (models.SentText, error)
	// RecentTexts lists our messages to a number since a moment, queued ones too.
	RecentTexts(ctx context.Context, to string, since time.Time) ([]models.SentText, error)
}

// Carrier is a vendor of calls and short messages.
type Carrier interface {
	Caller
	Texter
}

// EDR isolates endpoints of one client. Errors are *models.VendorError.
type EDR interface {
	// Find returns the devices with exactly this host name.
	Find(ctx context.Context, hostname string) ([]models.Host, error)
	// State returns what the EDR itself says about a device now.
	State(ctx context.Context, id string) (models.Host, error)
	// Isolate asks for isolation and returns the order's id, "" when there is none; nil means accepted, not isolated.
	Isolate(ctx context.Context, id, comment string) (action string, err error)
	// Release asks for the isolation to be lifted; otherwise it is like Isolate.
	Release(ctx context.Context, id, comment string) (action string, err error)
	// Action says what became of an order on a device, for an EDR that gives ids.
	Action(ctx context.Context, id, action string) (models.ActionState, error)
	// Check reports whether the credentials work and may read. It changes nothing.
	Check(ctx context.Context) error
	// Capabilities returns what the EDR can do beyond that.
	Capabilities() models.Capabilities
}
