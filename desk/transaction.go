package desk

import (
	"context"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// Every transaction for a person begins here, with the store as that person may use it: see store.Store.By.

// sight returns the audience and the client, zero for every one, in whose sight a user's commands are.
func sight(u models.User) (store.Audience, uuid.UUID) {
	if u.Role.Side() == models.SideSOC {
		return store.SOC, uuid.Nil
	}
	return store.Portal, u.ClientID
}

// inSight sees everything within reach for users of the SOC. For a client's user it sees their client as the portal shows
// it.
func (d *Desk) inSight(ctx context.Context, u models.User) store.Scope {
	as, client := sight(u)
	if as == store.SOC {
		return d.store.By(u).InEveryClient(ctx)
	}
	return d.store.By(u).InClient(ctx, as, client)
}

// inClient sees the client with a number, as inSight does. NotFound also when the client is not the user's.
func (d *Desk) inClient(ctx context.Context, u models.User, number int) store.Scope {
	if u.Role.Side() == models.SideSOC {
		return func(fn func(*store.Tx) error) error {
			id, err := d.clientID(ctx, u, number)
			if err != nil {
				return err
			}
			return d.store.By(u).ForClient(ctx, store.SOC, id, fn)
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

// inQueue takes what is handed in for the client with a number: alerts, from the SOC, from machines, and from the client
// itself. NotFound also when the client is not the sender's.
func (d *Desk) inQueue(ctx context.Context, u models.User, number int) store.Scope {
	return func(fn func(*store.Tx) error) error {
		id, err := d.clientID(ctx, u, number)
		if err != nil {
			return err
		}
		return d.store.By(u).ForClient(ctx, store.SOC, id, fn)
	}
}

// theSOC stands for the number of a client where users and tokens of the SOC itself are meant.
const theSOC = 0

// inLogins sees the users and service tokens of the client with a number, or of the SOC. For a client's user it does so
// with the portal's role, which holds them to their own client.
func (d *Desk) inLogins(ctx context.Context, u models.User, number int) store.Scope {
	if number == theSOC {
		return d.store.By(u).InLogins(ctx, uuid.Nil)
	}
	if u.Role.Side() != models.SideSOC {
		return d.inClient(ctx, u, number)
	}
	return func(fn func(*store.Tx) error) error {
		id, err := d.clientID(ctx, u, number)
		if err != nil {
			return err
		}
		return d.store.By(u).ForLogins(ctx, id, fn)
	}
}
