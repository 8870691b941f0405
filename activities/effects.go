package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Effects is the ledger of external effects: everything that reaches a vendor goes through it.
//
// The intent is committed before the attempt under a key the workflow chose. An attempt without an answer is
// ambiguous: the next one waits until the settle window is over, asks the vendor, and only if the vendor knows
// nothing claims the effect by compare-and-set and acts again. All times are the database's: workers' clocks differ.
type Effects struct {
	Store *store.Store
	// Settle is how long after an attempt its outcome may still be unknown: longer than the vendor's request
	// timeout plus its worst processing time.
	Settle time.Duration
	// GiveUpLookup is how long after the first failed look-up of an attempt further ones may hold an effect back: from
	// then on mails and calls are sent again, because a duplicate is better than silence. Zero means for ever.
	GiveUpLookup time.Duration
}

// minFailedLookups is how often a look-up must have failed before it is given up: however long an outage was, the
// first look-ups after it count.
const minFailedLookups = 3

// Acceptance is a vendor's word that it took an effect. It does not say that the effect happened.
type Acceptance struct {
	Vendor string
	ID     string // the vendor's id of it
}

// EffectSteps are the steps of one kind of effect.
type EffectSteps struct {
	// Prepare reads what the effect needs, in the transaction that records the intent. It runs before every attempt.
	// Rejected means that the effect can never be done, an application error that its time has not come: both leave the
	// intent on record, and no attempt.
	Prepare func(tx *store.Tx, row store.LedgerRow) error
	// Lookup asks the vendor whether an earlier attempt came through.
	Lookup func(ctx context.Context, row store.LedgerRow) (a Acceptance, found bool, err error)
	// Send asks the vendor for the effect. Its error's class says whether it may have happened.
	Send func(ctx context.Context, row store.LedgerRow) (Acceptance, error)
}

// Once has the effect e at most once and returns its row in the ledger, accepted. It is called again until it succeeds
// or its error is not retryable. Errors are application errors whose type is a models.VendorClass, ErrSettling or what
// Prepare returned.
func (l *Effects) Once(ctx context.Context, e notify.Effect, a EffectSteps) (store.LedgerRow, error) {
	row, fresh, err := l.intend(ctx, e, a)
	var never *models.VendorError
	switch {
	case errors.As(err, &never) && never.Class == models.Rejected:
		return row, l.reject(ctx, e, never)
	case err != nil:
		return row, err
	case row.State == notify.EffectAccepted:
		return row, nil
	case row.State == notify.EffectRejected, row.State == notify.EffectCanceled:
		return row, applicationError(&models.VendorError{Class: models.Rejected, Vendor: row.Vendor, Op: string(e.Kind), Code: row.Reason}, 0)
	case fresh:
		return l.attempt(ctx, e, a, row)
	}
	return l.resume(ctx, e, a, row)
}

// intend commits the intent and, when no attempt was made yet, claims the first one in the same transaction.
func (l *Effects) intend(ctx context.Context, e notify.Effect, a EffectSteps) (row store.LedgerRow, fresh bool, err error) {
	var held error
	err = l.Store.ForClient(ctx, store.Worker, e.ClientID, func(tx *store.Tx) error {
		if row, err = tx.Intend(e, tx.Now()); err != nil {
			return err
		}
		row.ReadAt = tx.Now()
		if row.State != notify.EffectIntended {
			return nil
		}
		var never *models.VendorError
		var early *temporal.ApplicationError
		if err := a.Prepare(tx, row); errors.As(err, &never) && never.Class == models.Rejected || errors.As(err, &early) {
			held = err
			return nil
		} else if err != nil {
			return err
		}
		if row.AttemptAt.IsZero() {
			fresh, err = tx.Attempt(e.Key, time.Time{}, tx.Now())
			row.AttemptAt = tx.Now()
		}
		return err
	})
	if err != nil {
		return row, false, fmt.Errorf("record intent: %w", err)
	}
	return row, fresh, held
}

// resume settles an earlier attempt whose answer is not known, and makes another one if the vendor does not know it.
func (l *Effects) resume(ctx context.Context, e notify.Effect, a EffectSteps, row store.LedgerRow) (store.LedgerRow, error) {
	if wait := l.Settle - row.SinceAttempt(); wait > 0 {
		return row, retryAfter(ErrSettling, "an earlier attempt is not settled yet", wait)
	}
	if row.VendorID != "" { // a callback brought it
		return l.accept(ctx, e, row, Acceptance{Vendor: row.Vendor, ID: row.VendorID})
	}
	accepted, found, err := a.Lookup(ctx, row)
	if found {
		return l.accept(ctx, e, row, accepted)
	}
	if err != nil {
		if hopeless, cerr := l.countFailedLookup(ctx, e, row); cerr != nil || !hopeless {
			return row, cmp.Or(cerr, applicationError(err, l.Settle))
		}
	}
	claimed := false
	err = l.Store.ForClient(ctx, store.Worker, e.ClientID, func(tx *store.Tx) error {
		claimed, err = tx.Attempt(e.Key, row.AttemptAt, tx.Now())
		row.AttemptAt = tx.Now()
		return err
	})
	if err != nil {
		return row, err
	}
	if !claimed {
		return row, retryAfter(ErrSettling, "another attempt was first", l.Settle)
	}
	return l.attempt(ctx, e, a, row)
}

// countFailedLookup notes that the vendor could not be asked about an attempt, and reports whether it failed so often
// and for so long that nobody waits for it any more.
func (l *Effects) countFailedLookup(ctx context.Context, e notify.Effect, row store.LedgerRow) (hopeless bool, err error) {
	if l.GiveUpLookup == 0 {
		return false, nil
	}
	return store.Run(l.Store.InClient(context.WithoutCancel(ctx), store.Worker, e.ClientID), func(tx *store.Tx) (bool, error) {
		times, lasting, err := tx.CountFailedLookup(e.Key, row.AttemptAt)
		return times >= minFailedLookups && lasting >= l.GiveUpLookup, err
	})
}

// attempt sends the effect and records the vendor's answer.
func (l *Effects) attempt(ctx context.Context, e notify.Effect, a EffectSteps, row store.LedgerRow) (store.LedgerRow, error) {
	t := ask(ctx, e, row, a.Send)
	if err := l.conclude(ctx, e.ClientID, t); err != nil {
		return row, err
	}
	if t.err != nil {
		return row, applicationError(t.err, l.Settle)
	}
	row.State, row.Vendor, row.VendorID = notify.EffectAccepted, t.accepted.Vendor, t.accepted.ID
	return row, nil
}

// asked is an effect that a vendor was asked for, and the answer.
type asked struct {
	effect   notify.Effect
	row      store.LedgerRow
	accepted Acceptance
	err      error
}

// ask sends an effect whose attempt was claimed.
func ask(ctx context.Context, e notify.Effect, row store.LedgerRow, send func(context.Context, store.LedgerRow) (Acceptance, error)) asked {
	t := asked{effect: e, row: row, err: ctx.Err()}
	if until, bounded := ctx.Deadline(); t.err == nil && bounded && !time.Now().Before(until) {
		t.err = context.DeadlineExceeded // a stopped process that goes on must not act late: the context may not know yet
	}
	if t.err != nil {
		t.err = &models.VendorError{Class: models.Transient, Vendor: row.Vendor, Op: string(e.Kind), Code: "too_late", Cause: t.err}
		return t
	}
	t.accepted, t.err = send(ctx, row)
	return t
}

// conclude records the vendors' answers in one transaction, in the order in which callbacks lock effects, too.
func (l *Effects) conclude(ctx context.Context, client uuid.UUID, all ...asked) error {
	slices.SortFunc(all, func(a, b asked) int { return cmp.Compare(a.effect.Key, b.effect.Key) })
	err := l.Store.ForClient(context.WithoutCancel(ctx), store.Worker, client, func(tx *store.Tx) error {
		for _, t := range all {
			if err := t.record(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record what the vendor answered: %w", err)
	}
	return nil
}

func (t asked) record(tx *store.Tx) error {
	if t.err == nil {
		return tx.Accept(t.effect.Key, t.accepted.Vendor, t.accepted.ID, tx.Now())
	}
	switch models.ClassOf(t.err) {
	case models.Rejected:
		return tx.Reject(t.effect.Key, vendorIn(t.err), t.err.Error(), tx.Now())
	case models.Ambiguous: // the attempt stays on record
		return nil
	}
	_, err := tx.Attempt(t.effect.Key, t.row.AttemptAt, time.Time{}) // nothing was done: the next one need not settle
	return err
}

func (l *Effects) accept(ctx context.Context, e notify.Effect, row store.LedgerRow, r Acceptance) (store.LedgerRow, error) {
	row.State, row.Vendor, row.VendorID = notify.EffectAccepted, r.Vendor, r.ID
	return row, l.conclude(ctx, e.ClientID, asked{effect: e, row: row, accepted: r})
}

func (l *Effects) reject(ctx context.Context, e notify.Effect, cause error) error {
	if err := l.conclude(ctx, e.ClientID, asked{effect: e, err: cause}); err != nil {
		return err
	}
	return applicationError(cause, 0)
}

// vendorIn returns the vendor that an error is from, "" for none.
func vendorIn(err error) string {
	var v *models.VendorError
	if errors.As(err, &v) {
		return v.Vendor
	}
	return ""
}
