package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// maxWatched bounds the incidents that one WatchedIncidents returns.
const maxWatched = 500

// lostPage is how many events or effects Lost reads at a time.
const lostPage = 1000

// MarkRunning remembers that the incident's workflow runs. Record does so too. Idempotent.
func (tx *Tx) MarkRunning(r models.Reference) error {
	q := tx.about("incidents", "reference", r).UpdateColumn("running", true)
	if q.Error == nil && q.RowsAffected == 0 {
		return models.Errorf(models.NotFound, "incident not found")
	}
	return problem("mark incident running", q.Error)
}

// MarkEnded remembers that an incident that is over needs no workflow any more. Idempotent.
func (tx *Tx) MarkEnded(r models.Reference) error {
	q := tx.about("incidents", "reference", r).Where("phase in ?", []incident.Phase{incident.PhaseClosed, incident.PhaseDismissed}).UpdateColumn("ended", true)
	return problem("mark incident ended", q.Error)
}

// MarkWatched takes the mark away that MarkEnded has set. Idempotent.
func (tx *Tx) MarkWatched(r models.Reference) error {
	return problem("mark incident watched", tx.about("incidents", "reference", r).UpdateColumn("ended", false).Error)
}

// Expired names an incident that is marked as ended, with an accepted risk whose time is over.
type Expired struct {
	ClientID  uuid.UUID
	Reference models.Reference
}

// ExpiredRisks lists the incidents that are marked as ended and have an accepted risk whose time is over, the oldest
// expiry first. At most 500.
func (s *Store) ExpiredRisks(ctx context.Context) (list []Expired, err error) {
	err = s.within(ctx, SOC.role(), uuid.Nil, true, func(db *gorm.DB, now time.Time) error {
		return problem("list expired risks", db.Table("incidents").Select("client_id", "reference").
			Where("ended and risk_due is not null and risk_due <= ?", now).
			Order("risk_due, reference").Limit(maxWatched).Scan(&list).Error)
	})
	return list, err
}

// Lost reads all that is kept of an incident, for a workflow that goes on from it.
func (tx *Tx) Lost(r models.Reference) (l incident.Lost, err error) {
	l.ReadAt = tx.Now()
	if l.Incident, err = tx.Incident(r); err != nil {
		return l, err
	}
	c, err := tx.Client()
	if err != nil {
		return l, err
	}
	l.Policy = c.Policy
	if l.Directory, err = tx.Directory(); err != nil {
		return l, err
	}
	for {
		events, err := tx.Events(r, len(l.Events), lostPage)
		if err != nil {
			return l, err
		}
		if l.Events = append(l.Events, events...); len(events) < lostPage {
			break
		}
	}
	said, err := tx.Statements(r)
	if err != nil {
		return l, err
	}
	l.Said = each(said, func(s Statement) notify.Statement {
		return notify.Statement{Effect: s.Effect, Key: s.Key, Contact: s.Contact, Seq: s.Seq}
	})
	for at := (Cursor{}); ; {
		effects, err := tx.Deliveries(r, at, lostPage)
		if err != nil {
			return l, err
		}
		if l.Ledger = append(l.Ledger, effects...); len(effects) < lostPage {
			return l, nil
		}
		last := effects[len(effects)-1]
		at = Cursor{At: last.PlannedAt, ID: last.ID.String()}
	}
}

// Watched is what the reconciler needs to know of an incident that may need its workflow.
type Watched struct {
	Incident incident.Incident // with reference, client, phase, times and endpoints, and nothing else
	Running  bool              // its workflow has recorded something, or was found running
}

// WatchedIncidents lists the incidents that may need their workflow, which are all but those marked as ended: the oldest
// first, from after an incident (the zero value: the beginning). At most 500. at is the moment of the list by the
// database's clock.
func (s *Store) WatchedIncidents(ctx context.Context, after incident.Incident) (list []Watched, at time.Time, err error) {
	var rows []struct {
		ClientID            uuid.UUID
		Reference           models.Reference
		Phase               incident.Phase
		Running             bool
		OpenedAt, UpdatedAt time.Time
		Endpoints           document[[]incident.Endpoint]
	}
	err = s.within(ctx, SOC.role(), uuid.Nil, true, func(db *gorm.DB, now time.Time) error {
		at = now
		return problem("list watched incidents", db.Table("incidents").
			Select(`client_id, reference, phase, running, opened_at, updated_at, coalesce(nullif(state->'endpoints', 'null'), '[]') as endpoints`).
			Where("not ended").
			Where("(opened_at, reference) > (?, ?)", after.OpenedAt, after.Reference).
			Order("opened_at, reference").Limit(maxWatched).Scan(&rows).Error)
	})
	list = make([]Watched, 0, len(rows))
	for _, r := range rows {
		list = append(list, Watched{Running: r.Running, Incident: incident.Incident{
			ClientID: r.ClientID, Reference: r.Reference, Phase: r.Phase, OpenedAt: r.OpenedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
			Endpoints: r.Endpoints.V,
		}})
	}
	return list, at, err
}
