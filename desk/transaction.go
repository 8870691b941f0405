package desk

import (
	"context"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// transaction runs a function in one transaction of the store. The opener decides which rows the function may see.
type transaction func(func(*store.Tx) error) error

// read returns what a function reads in a transaction.
func read[T any](in transaction, fn func(*store.Tx) (T, error)) (T, error) {
	var found T
	err := in(func(tx *store.Tx) (err error) {
		found, err = fn(tx)
		return err
	})
	return found, err
}

// inEveryClient sees everything. For the SOC.
func (d *Desk) inEveryClient(ctx context.Context) transaction {
	return func(fn func(*store.Tx) error) error { return d.store.ForSOC(ctx, fn) }
}

// inSight sees everything for users of the SOC. For a client's user it sees their client as the portal shows it.
func (d *Desk) inSight(ctx context.Context, u models.User) transaction {
	if u.Role.Side() == models.SideSOC {
		return d.inEveryClient(ctx)
	}
	return func(fn func(*store.Tx) error) error { return d.store.ForClient(ctx, store.Portal, u.ClientID, fn) }
}

// inClient sees the client with a number, as inSight does. NotFound also when the client is not the user's.
func (d *Desk) inClient(ctx context.Context, u models.User, number int) transaction {
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
func (d *Desk) inIncident(ctx context.Context, u models.User, ref models.Reference) transaction {
	if u.Role.Side() == models.SideSOC {
		return d.inClient(ctx, u, ref.ClientNumber())
	}
	return d.inSight(ctx, u)
}
