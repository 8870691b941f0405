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
	// Lookup asks the vendor for a message whose answer was lost, sent since a moment.
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
	// Recent lists our calls to a number, all of them, queued ones too, and tells the carrier's time; zero when unknown.
	Recent(ctx context.Context, to string) (calls []models.PlacedCall, now time.Time, err error)
	// Requests lists the addresses that the carrier requested because of a call. It may know them only later: none prove
	// nothing.
	Requests(ctx context.Context, id string) ([]string, error)
}

// Texter sends short messages through a carrier. Errors are *models.VendorError.
type Texter interface {
	// Text asks for a message and returns as soon as the carrier has taken it.
	Text(ctx context.Context, t models.OutboundText) (models.SentText, error)
	// RecentTexts lists our messages to a number, all of them, queued ones too.
	RecentTexts(ctx context.Context, to string) ([]models.SentText, error)
}

// Carrier is a vendor of calls and short messages.
type Carrier interface {
	Caller
	Texter
}
