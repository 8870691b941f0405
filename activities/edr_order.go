package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Opposite actions on one device never overlap, whichever incidents they belong to, and a device is released when the
// last incident lets go of it. The ledger is the one place that knows the actions of every incident, so the order is
// settled there, in the transaction that plans an action, with the device locked.

// ActionSent is what became of an action that was to be sent.
type ActionSent struct {
	// Held: nothing was sent, because the endpoints of Others want the device isolated. For a release only.
	Held bool `json:"held,omitempty"`
	// Others are the endpoints of other incidents that want the device isolated.
	Others []incident.EndpointID `json:"others,omitempty"`
}

// errHeld is the type of the error that leaves a release unsent.
const errHeld = "held"

// orderAction decides whether an action may be sent now, in the transaction that records its intent. Rejected: a later
// desired state of the endpoint has been acted on. ErrSettling: an opposite action on the device is not settled.
func (c *Containment) orderAction(tx *store.Tx, in EndpointInput) error {
	if err := tx.LockDevice(in.AgentID); err != nil {
		return err
	}
	later, err := tx.HasLaterAction(in.Effect)
	if err != nil {
		return err
	}
	if later {
		return ClientEDR{Vendor: "edr"}.reject(string(in.Effect.Purpose), "a later desired state was acted on")
	}
	if err := tx.CancelEarlierActions(in.Effect); err != nil {
		return err
	}
	if in.Desired == models.DesiredReleased && !in.ForAll {
		others, err := tx.IsolatedBy(in.Effect)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			if err := tx.Cancel(in.Effect.Key, notify.ReasonHeld, tx.Now()); err != nil {
				return err
			}
			return temporal.NewNonRetryableApplicationError("another incident wants the device isolated", errHeld, nil)
		}
	}
	unsettled, err := tx.UnsettledOpposites(in.Effect)
	if err != nil {
		return err
	}
	if len(unsettled) > 0 {
		return retryAfter(ErrSettling, "an opposite action on the device is not settled yet", time.Second)
	}
	return nil
}

// isHeld reports whether a release was not sent because another incident wants the device isolated: now, or when its
// answer was lost.
func isHeld(err error) bool {
	var app *temporal.ApplicationError
	var code string
	switch {
	case !errors.As(err, &app):
		return false
	case app.Type() == errHeld:
		return true
	}
	return app.Type() == string(models.Rejected) && app.HasDetails() && app.Details(&code) == nil && code == notify.ReasonHeld
}

// nameOthers returns what became of a release that concerns other incidents: it is held by them, or was for all. It
// reads them anew, because this may be a repeat whose first answer was lost.
func (c *Containment) nameOthers(ctx context.Context, in EndpointInput, held bool) (ActionSent, error) {
	others, err := c.isolatedBy(ctx, in)
	return ActionSent{Held: held && len(others) > 0, Others: others}, err
}

// isolatedBy returns the endpoints of other incidents that want the device isolated.
func (c *Containment) isolatedBy(ctx context.Context, in EndpointInput) ([]incident.EndpointID, error) {
	in.Effect.Device = in.AgentID
	return store.Run(c.Effects.Store.InClient(ctx, store.Worker, in.Effect.ClientID), func(tx *store.Tx) ([]incident.EndpointID, error) {
		return tx.IsolatedBy(in.Effect)
	})
}

// settleOpposites settles the opposite actions on the device whose answers were lost. Such an action may still come
// through: only when that cannot be any more, the state of the device tells what became of it. ErrSettling: it is too
// early.
func (c *Containment) settleOpposites(ctx context.Context, conn ClientEDR, in EndpointInput) error {
	scope := c.Effects.Store.InClient(ctx, store.Worker, in.Effect.ClientID)
	unsettled, err := store.Run(scope, func(tx *store.Tx) ([]store.LedgerRow, error) { return tx.UnsettledOpposites(in.Effect) })
	if err != nil || len(unsettled) == 0 {
		return err
	}
	last := unsettled[len(unsettled)-1]
	if wait := c.Effects.Settle + c.WorstDelay - last.SinceAttempt(); wait > 0 {
		return retryAfter(ErrSettling, "an opposite action on the device may still come through", wait)
	}
	host, err := conn.State(ctx, in.AgentID)
	if err != nil {
		return applicationError(asNothingSent(err), c.Effects.Settle)
	}
	cameThrough := host.State != confirmedState(in.Desired)
	return scope(func(tx *store.Tx) error {
		for _, row := range unsettled {
			if err := c.settleOpposite(tx, conn, row, in.AgentID, cameThrough); err != nil {
				return fmt.Errorf("settle %s: %w", row.Key, err)
			}
		}
		return nil
	})
}

// settleOpposite records what became of an action whose answer was lost.
func (c *Containment) settleOpposite(tx *store.Tx, conn ClientEDR, row store.LedgerRow, device string, cameThrough bool) error {
	if !cameThrough {
		return tx.GiveUpAction(row.Key, row.AttemptAt)
	}
	err := tx.Accept(row.Key, conn.Vendor, device, tx.Now())
	if models.KindOf(err) == models.Conflict {
		return nil // it was settled meanwhile
	}
	return err
}
