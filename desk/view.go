package desk

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Incident returns an incident as the user may see it: users of the client see severity and assessment of the
// latest revision and none of the SOC's tasks. NotFound also when the user may not see the incident.
func (d *Desk) Incident(ctx context.Context, u models.User, ref models.Reference) (incident.View, error) {
	return store.Run(d.inIncident(ctx, u, ref), func(tx *store.Tx) (v incident.View, err error) {
		if v.Incident, err = tx.Incident(ref); err != nil {
			return v, err
		}
		v.People, err = readPeople(tx, v.Actors())
		return v, err
	})
}

// Incidents lists incidents the user may see, the last opened first. Users of the client see title and severity of the
// latest published revision.
func (d *Desk) Incidents(ctx context.Context, u models.User, f store.IncidentFilter, p PageRequest) (Page[store.IncidentRow], error) {
	f.PublishedOnly = f.PublishedOnly || u.Role.Side() != models.SideSOC
	return readPage(d.inSight(ctx, u), p,
		func(tx *store.Tx, after store.Cursor, limit int) ([]store.IncidentRow, error) {
			return tx.Incidents(f, after, limit)
		},
		func(i store.IncidentRow) string {
			return store.Cursor{At: i.OpenedAt, ID: string(i.Reference)}.String()
		})
}

// EventPage is a page of an incident's events and the people in it.
type EventPage struct {
	Page[incident.Event]
	People models.People
}

// Events lists an incident's events by their sequence numbers. Users of the client do not see the SOC's internal
// events.
func (d *Desk) Events(ctx context.Context, u models.User, ref models.Reference, p PageRequest) (EventPage, error) {
	after, err := parseNumberCursor(p.Cursor)
	if err != nil {
		return EventPage{}, err
	}
	return store.Run(d.inIncident(ctx, u, ref), func(tx *store.Tx) (page EventPage, err error) {
		if _, err = tx.Incident(ref); err != nil {
			return page, err
		}
		list, err := tx.Events(ref, after, p.Limit+1)
		if err != nil {
			return page, err
		}
		page.Page = cutPage(list, p.Limit, func(e incident.Event) string { return strconv.Itoa(e.Seq) })
		page.People, err = readPeople(tx, actorsOf(page.Items))
		return page, err
	})
}

// Acknowledgement says who of the client acknowledged an incident first, how and when.
type Acknowledgement struct {
	By      string    `json:"by"`             // id of a contact or a user
	Name    string    `json:"name,omitempty"` // "" when it is not known
	Channel string    `json:"channel"`
	How     string    `json:"how"`
	At      time.Time `json:"at"`
}

// DeliveryPage is a page of an incident's deliveries, and the first acknowledgement: the zero value while there is
// none.
type DeliveryPage struct {
	Page[notify.Delivery]
	Acknowledgement Acknowledgement
}

// Deliveries lists the mails, texts, calls, isolations and releases of an incident, in the order they were planned.
func (d *Desk) Deliveries(ctx context.Context, u models.User, ref models.Reference, p PageRequest) (DeliveryPage, error) {
	after, err := store.ParseCursor(p.Cursor)
	if err != nil {
		return DeliveryPage{}, err
	}
	return store.Run(d.inIncident(ctx, u, ref), func(tx *store.Tx) (page DeliveryPage, err error) {
		i, err := tx.Incident(ref)
		if err != nil {
			return page, err
		}
		if page.Acknowledgement, err = firstAcknowledgement(tx, i); err != nil {
			return page, err
		}
		list, err := tx.Deliveries(ref, after, p.Limit+1)
		page.Page = cutPage(list, p.Limit, deliveryCursor)
		return page, err
	})
}

func firstAcknowledgement(tx *store.Tx, i incident.Incident) (Acknowledgement, error) {
	a := i.Acknowledged
	if a == nil {
		return Acknowledgement{}, nil
	}
	who, err := readPeople(tx, []models.Actor{a.By})
	r := Acknowledgement{By: a.By.ID, Name: who[a.By.ID].Name, Channel: a.Channel, How: a.How, At: a.At}
	if id, ok := a.By.Contact(); ok {
		r.By = id.String()
	}
	return r, err
}

// ContactDeliveries lists the mails, texts and calls to a contact of the client with a number, tests and codes too, the
// newest first. For the SOC. NotFound: the client never had such a contact.
func (d *Desk) ContactDeliveries(ctx context.Context, u models.User, number int, contact uuid.UUID, p PageRequest) (Page[notify.Delivery], error) {
	if err := auth.Allow("list-contact-deliveries", u.Role); err != nil {
		return Page[notify.Delivery]{}, err
	}
	return readPage(d.inClient(ctx, u, number), p, func(tx *store.Tx, after store.Cursor, limit int) ([]notify.Delivery, error) {
		if _, err := tx.Contact(contact); err != nil {
			return nil, err
		}
		return tx.ContactDeliveries(contact, after, limit)
	}, deliveryCursor)
}

// Revisions lists the published revisions of an incident's report, from the first, and the people in them.
func (d *Desk) Revisions(ctx context.Context, u models.User, ref models.Reference) (list []incident.Revision, who models.People, err error) {
	err = d.inIncident(ctx, u, ref)(func(tx *store.Tx) error {
		if _, err := tx.Incident(ref); err != nil {
			return err
		}
		if list, err = tx.Revisions(ref); err != nil {
			return err
		}
		who, err = readPeople(tx, actorsOf(list))
		return err
	})
	return list, who, err
}

// Revision returns one published revision. NotFound when there is none with that number.
func (d *Desk) Revision(ctx context.Context, u models.User, ref models.Reference, n int) (incident.RevisionView, error) {
	return store.Run(d.inIncident(ctx, u, ref), func(tx *store.Tx) (v incident.RevisionView, err error) {
		if _, err = tx.Incident(ref); err != nil {
			return v, err
		}
		if v.Revision, err = tx.Revision(ref, n); err != nil {
			return v, err
		}
		v.People, err = readPeople(tx, v.Actors())
		return v, err
	})
}
