package activities

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// Phone calls contacts. It belongs to the queue "phone".
type Phone struct {
	Effects   Effects
	Caller    Caller
	Vendor    string
	PublicURL *url.URL // where the carrier reaches our hooks
}

// insist asks Twilio, in the part of an address that is not sent, to report up to three times more when we do not
// take a report. By default it tries once more, and only when it found nobody at all.
const insist = "#rc=3&rp=all"

// CallInput is a call to one contact.
type CallInput struct {
	Effect  models.Effect
	RingFor time.Duration
}

// Place asks the carrier for the call, once, and returns the carrier's id of it.
func (p *Phone) Place(ctx context.Context, in CallInput) (string, error) {
	var contact models.Contact
	row, err := p.Effects.Once(ctx, in.Effect, Act{
		Vendor: p.Vendor,
		Prepare: func(tx *store.Tx, _ store.LedgerRow) (err error) {
			contact, err = tx.Contact(in.Effect.Contact)
			return err
		},
		Lookup: func(ctx context.Context, row store.LedgerRow) (string, bool, error) {
			return p.find(ctx, contact.Phone, row)
		},
		Do: func(ctx context.Context, row store.LedgerRow) (string, error) {
			call, err := p.Caller.Place(ctx, models.OutboundCall{
				To: contact.Phone, RingFor: in.RingFor, VoiceURL: p.hook("voice", row), StatusURL: p.hook("status", row) + insist,
			})
			return call.ID, err
		},
	})
	return row.VendorID, err
}

// find looks among the carrier's recent calls to the number for one that no effect of ours has: that is the
// lost one. A contact is never called twice at a time, so there is at most one.
func (p *Phone) find(ctx context.Context, to string, row store.LedgerRow) (id string, found bool, err error) {
	calls, err := p.Caller.Recent(ctx, to, row.AttemptAt.Add(-5*time.Second))
	if err != nil {
		return "", false, err
	}
	err = p.Effects.Store.ForClient(ctx, store.Worker, row.ClientID, func(tx *store.Tx) error {
		for _, c := range calls {
			known, err := tx.KnownVendorID(p.Vendor, c.ID)
			if err != nil {
				return err
			}
			if !known {
				id, found = c.ID, true
			}
		}
		return nil
	})
	return id, found, err
}

// hook is the address at which the carrier reports on a call: the token in it is known to nobody else.
func (p *Phone) hook(what string, row store.LedgerRow) string {
	return p.PublicURL.JoinPath("hooks", "twilio", what, row.ClientID.String(), row.Token).String()
}

// CallRef names a call that was placed.
type CallRef struct {
	ClientID uuid.UUID
	CallID   string
}

// Status asks the carrier how a call stands, for when its own reports stay away.
func (p *Phone) Status(ctx context.Context, in CallRef) (models.CallStatus, error) {
	call, err := p.Caller.Status(ctx, in.CallID)
	if err != nil {
		return "", failure(err, time.Second)
	}
	return call.Status, nil
}

// Hangup ends a call, because somebody acknowledged meanwhile.
func (p *Phone) Hangup(ctx context.Context, in CallRef) error {
	if err := p.Caller.Hangup(ctx, in.CallID); err != nil {
		return failure(fmt.Errorf("hang up: %w", err), time.Second)
	}
	return nil
}
