package desk

import (
	"context"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// inSight sees everything for users of the SOC. For a client's user it sees their client as the portal shows it.
func (d *Desk) inSight(ctx context.Context, u models.User) store.Scope {
	if u.Role.Side() == models.SideSOC {
		return d.store.InEveryClient(ctx)
	}
	return d.store.InClient(ctx, store.Portal, u.ClientID)
}

// inClient sees the client with a number, as inSight does. NotFound also when the client is not the user's.
func (d *Desk) inClient(ctx context.Context, u models.User, number int) store.Scope {
	if u.Role.Side() == models.SideSOC {
		return func(fn func(*store.Tx) error) error {
			id, err := d.clientID(ctx, number)
			if err != nil {
				return err
			}
			return d.store.ForClient(ctx, store.SOC, id, fn)
		}
	}
	return func(fn func(*store.Tx) error) error {
		return d.inSight(ctx, u)(func(tx *store.Tx) error {
			own, err := tx.Client()
			if err != nil {
				return err
			}
			if own.Number != number {
				return models.Errorf(models.NotFound, "client not found")
			}
			return fn(tx)
		})
	}
}

// inIncident sees an incident with its lists and people, as inSight does. For the SOC the transaction names the client,
// because the indexes of those begin with it.
func (d *Desk) inIncident(ctx context.Context, u models.User, ref models.Reference) store.Scope {
	if u.Role.Side() == models.SideSOC {
		return d.inClient(ctx, u, ref.ClientNumber())
	}
	return d.inSight(ctx, u)
}
