package incident

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// DrillReport holds the measurements of a fire drill.
type DrillReport struct {
	Reference models.Reference `json:"reference"`
	Exercise  models.Exercise  `json:"exercise"`
	StartedAt time.Time        `json:"started_at"`
	EndedAt   time.Time        `json:"ended_at,omitzero"` // zero while it goes on
	Answered  int              `json:"answered"`          // contacts who acknowledged
	Fastest   models.Duration  `json:"fastest,omitzero"`  // until the first of them did
	Contacts  []DrillContact   `json:"contacts"`          // in the order they were reached
}

// DrillContact says how one contact was reached in a fire drill. Spans count from the start of the drill.
type DrillContact struct {
	Contact  uuid.UUID       `json:"contact"`
	Name     string          `json:"name"`
	Answered bool            `json:"answered"`
	How      string          `json:"how,omitempty"`
	After    models.Duration `json:"after,omitzero"`
	Channels []DrillChannel  `json:"channels"`
}

// DrillChannel is the result of one attempt over one channel.
type DrillChannel struct {
	Channel models.Channel  `json:"channel"`
	Result  string          `json:"result"` // the outcome of a call, else the vendor's last word or our state
	After   models.Duration `json:"after"`  // until that result
	Dead    bool            `json:"dead"`   // this number or address does not work
}

// MeasureDrill makes the report of a fire drill from its deliveries.
func MeasureDrill(i Incident, deliveries []notify.Delivery) DrillReport {
	r := DrillReport{Reference: i.Reference, Exercise: i.Exercise, StartedAt: i.PublishedAt, Contacts: []DrillContact{}}
	if i.IsOver() {
		r.EndedAt = i.ClosedAt
	}
	since := func(at time.Time) models.Duration {
		return models.Duration(max(at.Sub(i.PublishedAt), 0).Truncate(time.Millisecond))
	}
	sorted := slices.SortedStableFunc(slices.Values(deliveries), func(a, b notify.Delivery) int { return a.PlannedAt.Compare(b.PlannedAt) })
	for _, d := range sorted {
		if d.Contact == uuid.Nil {
			continue
		}
		n := slices.IndexFunc(r.Contacts, func(c DrillContact) bool { return c.Contact == d.Contact })
		if n < 0 {
			n = len(r.Contacts)
			r.Contacts = append(r.Contacts, DrillContact{Contact: d.Contact, Name: d.ContactName, Channels: []DrillChannel{}})
		}
		c := &r.Contacts[n]
		at := d.UpdatedAt
		if !d.AcknowledgedAt.IsZero() { // later reports of the vendor do not matter
			at = d.AcknowledgedAt
		}
		ch := DrillChannel{Channel: d.Channel(), Result: d.Result(), After: since(at), Dead: d.IsDead()}
		c.Channels = append(c.Channels, ch)
		if d.Outcome == string(notify.OutcomeAcknowledged) && (!c.Answered || ch.After < c.After) {
			c.Answered, c.How, c.After = true, d.How, ch.After
		}
	}
	for _, c := range r.Contacts {
		if c.Answered {
			if r.Answered == 0 || c.After < r.Fastest {
				r.Fastest = c.After
			}
			r.Answered++
		}
	}
	return r
}
