package desk

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Incident returns an incident as the user may see it: users of the client see severity and assessment of the
// latest published revision and none of the SOC's tasks. NotFound also when they may not see it at all.
func (d *Desk) Incident(ctx context.Context, u models.User, ref models.Reference) (incident.View, error) {
	return read(d.inIncident(ctx, u, ref), func(tx *store.Tx) (v incident.View, err error) {
		if v.Incident, err = incidentAsSeenBy(tx, u, ref); err != nil {
			return v, err
		}
		v.People, err = people(tx, v.Actors())
		return v, err
	})
}

func incidentAsSeenBy(tx *store.Tx, u models.User, ref models.Reference) (incident.Incident, error) {
	i, err := tx.Incident(ref)
	if err != nil || u.Role.Side() == models.SideSOC {
		return i, err
	}
	published, err := tx.Revision(ref, i.Revision)
	if err != nil {
		return i, err
	}
	i.Severity, i.Assessment, i.Tasks = published.Severity, published.Assessment, []incident.Task{}
	return i, nil
}

// Incidents lists incidents the user may see, the last changed first, from after the cursor. Users of the client
// see title and severity of the latest published revision.
// next is the cursor after the last row looked at.
func (d *Desk) Incidents(ctx context.Context, u models.User, f store.IncidentFilter, c store.Cursor, limit int) (list []store.IncidentRow, next store.Cursor, err error) {
	f.PublishedOnly = f.PublishedOnly || u.Role.Side() != models.SideSOC
	err = d.inSight(ctx, u)(func(tx *store.Tx) error {
		rows, err := tx.Incidents(f, c, limit+1)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			next = store.Cursor{At: rows[limit-1].UpdatedAt, ID: string(rows[limit-1].Reference)}
		}
		list = rows
		return nil
	})
	return list, next, err
}

// Events lists an incident's events after a sequence number, and who is in them. Users of the client do not see what the
// SOC has not published. next is the sequence number to go on after, 0 at the end.
func (d *Desk) Events(ctx context.Context, u models.User, ref models.Reference, after, limit int,
) (list []incident.Event, who models.People, next int, err error) {
	err = d.inIncident(ctx, u, ref)(func(tx *store.Tx) error {
		if _, err := tx.Incident(ref); err != nil {
			return err
		}
		if list, err = tx.Events(ref, after, limit+1); err != nil {
			return err
		}
		if len(list) > limit {
			list = list[:limit]
			next = list[limit-1].Seq
		}
		if u.Role.Side() != models.SideSOC {
			list = slices.DeleteFunc(list, incident.Event.IsInternal)
		}
		who, err = people(tx, actorsOf(list))
		return err
	})
	return list, who, next, err
}

// Reached is who of the client was reached first, how and when.
type Reached struct {
	By      string    `json:"by"`             // id of a contact or a user
	Name    string    `json:"name,omitempty"` // "" when it is not known
	Channel string    `json:"channel"`
	How     string    `json:"how"`
	At      time.Time `json:"at"`
}

// Deliveries lists what was sent to the outside world about an incident and what became of it, in the order it was
// planned, from after the cursor, and who acknowledged the incident, the zero value for nobody.
func (d *Desk) Deliveries(ctx context.Context, u models.User, ref models.Reference, c store.Cursor, limit int,
) (list []notify.Delivery, by Reached, err error) {
	err = d.inIncident(ctx, u, ref)(func(tx *store.Tx) error {
		i, err := tx.Incident(ref)
		if err != nil {
			return err
		}
		if by, err = reached(tx, i); err != nil {
			return err
		}
		list, err = tx.Deliveries(ref, c, limit)
		return err
	})
	return list, by, err
}

func reached(tx *store.Tx, i incident.Incident) (Reached, error) {
	a := i.Acknowledged
	if a == nil {
		return Reached{}, nil
	}
	who, err := people(tx, []models.Actor{a.By})
	r := Reached{By: a.By.ID, Name: who[a.By.ID].Name, Channel: a.Channel, How: a.How, At: a.At}
	if id, ok := a.By.Contact(); ok {
		r.By = id.String()
	}
	return r, err
}

// ContactDeliveries lists what was sent to a contact of the client with a number, tests and codes too, and what became
// of it, the newest first, from after the cursor. For the SOC. NotFound: the client has no such contact; one that was
// removed it still has.
func (d *Desk) ContactDeliveries(ctx context.Context, u models.User, number int, contact uuid.UUID, c store.Cursor, limit int,
) ([]notify.Delivery, error) {
	if err := auth.Allow("list-contact-deliveries", u.Role); err != nil {
		return nil, err
	}
	return read(d.inClient(ctx, u, number), func(tx *store.Tx) ([]notify.Delivery, error) {
		if _, err := tx.Contact(contact); err != nil {
			return nil, err
		}
		return tx.ContactDeliveries(contact, c, limit)
	})
}

// Revisions lists the published revisions of an incident's report, from the first, and who is in them.
func (d *Desk) Revisions(ctx context.Context, u models.User, ref models.Reference) (list []incident.Revision, who models.People, err error) {
	err = d.inIncident(ctx, u, ref)(func(tx *store.Tx) error {
		if _, err := tx.Incident(ref); err != nil {
			return err
		}
		if list, err = tx.Revisions(ref); err != nil {
			return err
		}
		who, err = people(tx, actorsOf(list))
		return err
	})
	return list, who, err
}

// Revision returns one published revision. NotFound when there is none with that number.
func (d *Desk) Revision(ctx context.Context, u models.User, ref models.Reference, n int) (incident.RevisionView, error) {
	return read(d.inIncident(ctx, u, ref), func(tx *store.Tx) (v incident.RevisionView, err error) {
		if _, err = tx.Incident(ref); err != nil {
			return v, err
		}
		if v.Revision, err = tx.Revision(ref, n); err != nil {
			return v, err
		}
		v.People, err = people(tx, v.Actors())
		return v, err
	})
}
