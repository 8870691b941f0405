package activities

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
	"github.com/watchfire-mdr/watchfire/store"
)

// Phone calls contacts and sends them short messages. It belongs to the queue "phone".
type Phone struct {
	Effects   Effects
	Carrier   Carrier
	Vendor    string
	Simulated Carrier // takes the calls and texts of fire drills with simulated phones
	Letter    report.Letterhead
	PublicURL *url.URL // where the carrier reaches our hooks
	Turns     Turns    // of PlaceFirstCall
}

// callbackRetryFragment asks Twilio, in the part of an address that is not sent, to repeat a report that we did not
// take, up to three times. By default it repeats once, and only when nobody answered at all.
const callbackRetryFragment = "#rc=3&rp=all"

// engagedFor is the pause before a call to an engaged number is tried again.
const engagedFor = 15 * time.Second

// CallInput is a call to one contact.
type CallInput struct {
	Effect  notify.Effect
	RingFor time.Duration
}

// PlacedCall says how a call stands that was asked for. Status and Outcome are what the ledger knows of it already, ""
// for a new one.
type PlacedCall struct {
	ID      string             `json:"id"` // the carrier's
	Status  models.CallStatus  `json:"status,omitempty"`
	Outcome notify.CallOutcome `json:"outcome,omitempty"`
}

// PlaceFirstCall does what PlaceCall does, from the incidents' own task queue. ErrNoTurn: this process asks the carrier for
// too much already.
func (p *Phone) PlaceFirstCall(ctx context.Context, in CallInput) (PlacedCall, error) {
	done, ok := p.Turns.takeTurns(1)
	if !ok {
		return PlacedCall{}, temporal.NewApplicationErrorWithOptions("it has no turn here", ErrNoTurn, temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
	}
	defer done()
	return p.PlaceCall(ctx, in)
}

// PlaceCall asks the carrier for the call, once.
func (p *Phone) PlaceCall(ctx context.Context, in CallInput) (PlacedCall, error) {
	var contact models.Contact
	wasPlaced := true
	carrier, vendor := p.carrier(in.Effect.Simulated)
	row, err := p.Effects.Once(ctx, in.Effect, EffectSteps{
		Prepare: func(tx *store.Tx, row store.LedgerRow) (err error) {
			wasPlaced = false
			if contact, err = contactOf(tx, in.Effect); err != nil || in.Effect.Simulated || !row.AttemptAt.IsZero() {
				return err
			}
			engaged, err := tx.IsEngaged(contact.Phone, row.ID, tx.Now().Add(-in.RingFor-notify.TalkFor))
			if engaged {
				return retryAfter(ErrEngaged, "another call of ours to the number is under way", engagedFor)
			}
			return err
		},
		Lookup: func(ctx context.Context, row store.LedgerRow) (Acceptance, bool, error) {
			return p.findCall(ctx, carrier, vendor, contact.Phone, row)
		},
		Send: func(ctx context.Context, row store.LedgerRow) (Acceptance, error) {
			call, err := carrier.Place(ctx, models.OutboundCall{
				To: contact.Phone, RingFor: in.RingFor, VoiceURL: p.hook("voice", row),
				StatusURL: p.hook("status", row) + callbackRetryFragment, MachineURL: p.hook("machine", row),
			})
			return Acceptance{Vendor: vendor, ID: call.ID}, err
		},
	})
	placed := PlacedCall{ID: row.VendorID, Status: models.CallStatus(row.VendorState)}
	if wasPlaced { // or it was said of an attempt that there was no call
		placed.Outcome = notify.CallOutcome(row.Outcome)
	}
	return placed, err
}

// SendText sends a short message about an incident, once.
func (p *Phone) SendText(ctx context.Context, in MessageInput) error {
	return p.deliver(ctx, in.Effect(), func(tx *store.Tx, c models.Contact, row store.LedgerRow) (report.Letter, error) {
		says, err := in.read(tx)
		return in.letter(says, c, row), err
	})
}

// SendCheckText sends a test or a code to a contact's phone, once, apart from any incident.
func (p *Phone) SendCheckText(ctx context.Context, e notify.Effect) error {
	return p.deliver(ctx, e, func(_ *store.Tx, c models.Contact, row store.LedgerRow) (report.Letter, error) {
		return report.Letter{Purpose: e.Purpose, Language: c.Language, Code: row.Code()}, nil
	})
}

func (p *Phone) deliver(ctx context.Context, e notify.Effect, letter func(*store.Tx, models.Contact, store.LedgerRow) (report.Letter, error)) error {
	return p.deliverTo(ctx, e, func(tx *store.Tx) (models.Contact, error) { return contactOf(tx, e) }, letter)
}

func (p *Phone) deliverTo(ctx context.Context, e notify.Effect, read func(*store.Tx) (models.Contact, error),
	letter func(*store.Tx, models.Contact, store.LedgerRow) (report.Letter, error),
) error {
	var out models.OutboundText
	carrier, vendor := p.carrier(e.Simulated)
	_, err := p.Effects.Once(ctx, e, EffectSteps{
		Prepare: func(tx *store.Tx, row store.LedgerRow) error {
			c, err := read(tx)
			if err != nil {
				return err
			}
			l, err := letter(tx, c, row)
			if err != nil {
				return err
			}
			out = models.OutboundText{To: c.Phone, StatusURL: p.hook("text", row) + callbackRetryFragment}
			out.Body, err = p.Letter.Text(l)
			return err
		},
		Lookup: func(ctx context.Context, row store.LedgerRow) (Acceptance, bool, error) {
			return p.findText(ctx, carrier, vendor, out, row)
		},
		Send: func(ctx context.Context, _ store.LedgerRow) (Acceptance, error) {
			sent, err := carrier.Text(ctx, out)
			return Acceptance{Vendor: vendor, ID: sent.ID}, err
		},
	})
	return err
}

// carrier returns the carrier and its name: the real one or, in a fire drill with simulated phones, one that reaches
// nobody.
func (p *Phone) carrier(simulated bool) (Carrier, string) {
	if simulated {
		return p.Simulated, notify.VendorSimulated
	}
	return p.Carrier, p.Vendor
}

const (
	// lookAround is how far from an attempt, by the carrier's own clock, its call is looked for: clocks run apart, too.
	lookAround = 2 * time.Minute
	// maxOpened bounds the calls whose requests are read in one look-up.
	maxOpened = 300
)

// findCall finds the call whose answer was lost, among all calls to the number: the one because of which the carrier
// requested the effect's own addresses. What cannot be told apart from it, because the carrier does not tell its
// requests yet or there are too many, is not known: neither found nor absent.
func (p *Phone) findCall(ctx context.Context, carrier Carrier, vendor, to string, row store.LedgerRow) (Acceptance, bool, error) {
	calls, now, err := carrier.Recent(ctx, to)
	if err != nil {
		return Acceptance{}, false, err
	}
	attempt := now.Add(-row.SinceAttempt()) // by the carrier's clock
	var ids []string
	for _, c := range calls {
		other := c.At.Before(attempt.Add(-lookAround)) || c.At.After(attempt.Add(p.Effects.Settle+lookAround))
		if now.IsZero() || c.At.IsZero() || !other {
			ids = append(ids, c.ID)
		}
	}
	if ids, err = p.unclaimed(ctx, row, vendor, ids); err != nil {
		return Acceptance{}, false, err
	}
	known := len(ids) <= maxOpened
	for _, id := range ids[:min(len(ids), maxOpened)] {
		addresses, err := carrier.Requests(ctx, id)
		switch {
		case err != nil:
			return Acceptance{}, false, err
		case slices.ContainsFunc(addresses, func(a string) bool { return strings.Contains(a, row.Token) }):
			return Acceptance{Vendor: vendor, ID: id}, true, nil
		}
		known = known && len(addresses) > 0
	}
	if !known {
		return Acceptance{}, false, notProven(vendor, "look up call")
	}
	return Acceptance{}, false, nil
}

// findText finds the text whose answer was lost, among all texts to the number: the one with its words, which hold a
// code that no other text has.
func (p *Phone) findText(ctx context.Context, carrier Carrier, vendor string, out models.OutboundText, row store.LedgerRow) (Acceptance, bool, error) {
	texts, err := carrier.RecentTexts(ctx, out.To)
	if err != nil {
		return Acceptance{}, false, err
	}
	var ids []string
	for _, t := range texts {
		if t.Body == out.Body {
			ids = append(ids, t.ID)
		}
	}
	ids, err = p.unclaimed(ctx, row, vendor, ids)
	switch {
	case err != nil || len(ids) == 0:
		return Acceptance{}, false, err
	case len(ids) > 1 || !strings.Contains(out.Body, row.Code()):
		return Acceptance{}, false, notProven(vendor, "look up text")
	}
	return Acceptance{Vendor: vendor, ID: ids[0]}, true, nil
}

// notProven is the answer of a look-up that finds what may be the effect, and may be another one.
func notProven(vendor, op string) error {
	return &models.VendorError{Class: models.Ambiguous, Vendor: vendor, Op: op, Code: "not_proven"}
}

// unclaimed returns those of the carrier's ids that are no other effect's: two clients may have the number.
func (p *Phone) unclaimed(ctx context.Context, row store.LedgerRow, vendor string, ids []string) ([]string, error) {
	return store.Run(p.Effects.Store.InClient(ctx, store.Worker, row.ClientID), func(tx *store.Tx) ([]string, error) {
		return tx.UnclaimedVendorIDs(vendor, ids)
	})
}

// hook returns the address at which the carrier reports on an effect. Nobody else knows the token in it.
func (p *Phone) hook(what string, row store.LedgerRow) string {
	return p.PublicURL.JoinPath("hooks", "twilio", what, row.ClientID.String(), row.Token).String()
}

// CallRef names a call that was placed.
type CallRef struct {
	ClientID  uuid.UUID
	CallID    string
	Simulated bool
}

// ReadCallStatus asks the carrier for the status of a call, in place of a report that stays away.
func (p *Phone) ReadCallStatus(ctx context.Context, in CallRef) (models.CallStatus, error) {
	carrier, _ := p.carrier(in.Simulated)
	call, err := carrier.Status(ctx, in.CallID)
	if err != nil {
		return "", applicationError(err, time.Second)
	}
	return call.Status, nil
}

// HangUp ends a call that is not wanted any more. A call that is over already is success.
func (p *Phone) HangUp(ctx context.Context, in CallRef) error {
	carrier, _ := p.carrier(in.Simulated)
	if err := carrier.Hangup(ctx, in.CallID); err != nil {
		return applicationError(fmt.Errorf("hang up: %w", err), time.Second)
	}
	return nil
}
