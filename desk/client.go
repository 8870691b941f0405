package desk

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// CreateClient takes on a client; Number 0 takes the next free one, zero policy values take their defaults. The
// same key again returns the same client. Conflict: the number is taken.
func (d *Desk) CreateClient(ctx context.Context, u models.User, c models.Client, key string) (models.Client, error) {
	if err := auth.Allow("create-client", u.Role); err != nil {
		return models.Client{}, err
	}
	c.Policy = withDefaults(c.Policy)
	c.Contract.Start, c.Contract.End = c.Contract.Start.UTC(), c.Contract.End.UTC()
	if err := checkClient(c); err != nil {
		return models.Client{}, err
	}
	made, err := d.store.CreateClient(ctx, c, requestID(u, "create-client", key))
	if err != nil {
		return models.Client{}, err
	}
	if made.LegalName != c.LegalName || c.Number != 0 && made.Number != c.Number {
		return models.Client{}, reused()
	}
	return made, nil
}

func checkClient(c models.Client) error {
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "Local" {
		return models.InvalidField("/time_zone", "is not an IANA time zone")
	}
	if c.Contract.End.Before(c.Contract.Start) {
		return models.InvalidField("/contract/end", "is before the start")
	}
	for pointer, t := range map[string]time.Time{"/contract/start": c.Contract.Start, "/contract/end": c.Contract.End} {
		if !t.Equal(t.Truncate(24 * time.Hour)) {
			return models.InvalidField(pointer, "is not a day at midnight UTC")
		}
	}
	if r := time.Duration(c.Policy.RingFor); r < 5*time.Second || r > 10*time.Minute {
		return models.InvalidField("/policy/ring_for", "must be 5s to 10m")
	}
	if c.EDR.Vendor != "" && c.EDR.Tenant == "" {
		return models.InvalidField("/edr/tenant", "is required with a vendor")
	}
	return nil
}

// withDefaults fills what a policy leaves open.
func withDefaults(p models.Policy) models.Policy {
	def := models.DefaultPolicy()
	reminders := def.Reminders
	for s, every := range p.Reminders {
		reminders[s] = cmp.Or(every, reminders[s])
	}
	return models.Policy{
		RingFor: cmp.Or(p.RingFor, def.RingFor), BusyAgainAfter: cmp.Or(p.BusyAgainAfter, def.BusyAgainAfter),
		BusyTries: cmp.Or(p.BusyTries, def.BusyTries), Rounds: cmp.Or(p.Rounds, def.Rounds),
		RoundEvery: cmp.Or(p.RoundEvery, def.RoundEvery), SlowRoundEvery: cmp.Or(p.SlowRoundEvery, def.SlowRoundEvery),
		Reminders: reminders, HighAgainAfter: cmp.Or(p.HighAgainAfter, def.HighAgainAfter),
		FeedbackWindow: cmp.Or(p.FeedbackWindow, def.FeedbackWindow), TellAfter: cmp.Or(p.TellAfter, def.TellAfter),
		TryAgainEvery: cmp.Or(p.TryAgainEvery, def.TryAgainEvery),
	}
}

// CreateContact adds a contact to the client with a number. The same key again returns the same contact.
func (d *Desk) CreateContact(ctx context.Context, u models.User, number int, c models.Contact, key string) (models.Contact, error) {
	if err := auth.Allow("create-contact", u.Role); err != nil {
		return models.Contact{}, err
	}
	if err := checkContact(c); err != nil {
		return models.Contact{}, err
	}
	id, err := d.clientID(ctx, number)
	if err != nil {
		return models.Contact{}, err
	}
	var made models.Contact
	err = d.store.ForClient(ctx, store.SOC, id, func(tx *store.Tx) (err error) {
		made, err = tx.CreateContact(c, requestID(u, "create-contact", key))
		return err
	})
	if err != nil {
		return models.Contact{}, err
	}
	c.ID, c.ClientID = made.ID, made.ClientID
	if !reflect.DeepEqual(c, made) {
		return models.Contact{}, reused()
	}
	return made, nil
}

func checkContact(c models.Contact) error {
	switch {
	case slices.Contains(c.Channels, models.ChannelEmail) && c.Email == "":
		return models.InvalidField("/email", "is required for the channel email")
	case slices.Contains(c.Channels, models.ChannelVoice) && c.Phone == "":
		return models.InvalidField("/phone", "is required for the channel voice")
	}
	return nil
}

// Clients lists clients whose number is greater than after, in the order of their numbers. For the SOC.
func (d *Desk) Clients(ctx context.Context, u models.User, after, limit int) ([]models.Client, error) {
	if err := auth.Allow("list-clients", u.Role); err != nil {
		return nil, err
	}
	var list []models.Client
	err := d.store.ForSOC(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Clients(after, limit)
		return err
	})
	return list, err
}

// Client returns the client with a number. NotFound also when it is not the user's.
func (d *Desk) Client(ctx context.Context, u models.User, number int) (models.Client, error) {
	if u.Role.Side() == models.SideSOC {
		return d.store.ClientByNumber(ctx, number)
	}
	var c models.Client
	err := d.ownClient(ctx, u, number, func(_ *store.Tx, own models.Client) error {
		c = own
		return nil
	})
	return c, err
}

// Contacts lists a client's contacts in calling order. NotFound also when the client is not the user's.
func (d *Desk) Contacts(ctx context.Context, u models.User, number int) ([]models.Contact, error) {
	var list []models.Contact
	if u.Role.Side() != models.SideSOC {
		err := d.ownClient(ctx, u, number, func(tx *store.Tx, _ models.Client) (err error) {
			list, err = tx.Contacts()
			return err
		})
		return list, err
	}
	id, err := d.clientID(ctx, number)
	if err != nil {
		return nil, err
	}
	err = d.store.ForClient(ctx, store.SOC, id, func(tx *store.Tx) (err error) {
		list, err = tx.Contacts()
		return err
	})
	return list, err
}

// ownClient runs fn for a client's user when the number is that of their own client, else NotFound.
func (d *Desk) ownClient(ctx context.Context, u models.User, number int, fn func(*store.Tx, models.Client) error) error {
	return d.store.ForClient(ctx, store.Portal, u.ClientID, func(tx *store.Tx) error {
		c, err := tx.Client()
		if err != nil {
			return err
		}
		if c.Number != number {
			return models.Errorf(models.NotFound, "there is no such client")
		}
		return fn(tx, c)
	})
}
