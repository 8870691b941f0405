package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/watchfire-mdr/watchfire/models"
)

type alarmRow struct {
	ID        uuid.UUID
	Kind      models.AlarmKind
	Subject   string
	Detail    string
	Since     time.Time
	LastSeen  time.Time
	EndedAt   *time.Time
	Announced document[[]string]
}

// TableName names the table.
func (alarmRow) TableName() string { return "operator_alarms" }

func (r alarmRow) model() models.Alarm {
	return models.Alarm{
		ID: r.ID, Kind: r.Kind, Subject: r.Subject, Detail: r.Detail, Since: r.Since.UTC(), LastSeen: r.LastSeen.UTC(),
		EndedAt: orZero(r.EndedAt).UTC(), Announced: r.Announced.V,
	}
}

type processRow struct {
	ID        uuid.UUID
	Part      string
	StartedAt time.Time
	SeenAt    time.Time
	CanaryAt  *time.Time
	StoppedAt *time.Time
}

// TableName names the table.
func (processRow) TableName() string { return "processes" }

type leaseRow struct {
	Name   string
	Holder uuid.UUID
	Until  time.Time
}

// TableName names the table.
func (leaseRow) TableName() string { return "leases" }

// operate runs fn in a transaction of the system itself, which sees the row of no client.
func (s *Store) operate(ctx context.Context, op string, fn func(*gorm.DB) error) error {
	return s.within(ctx, s.login.own().role(), uuid.Nil, false, func(db *gorm.DB, _ time.Time) error { return problem(op, fn(db)) })
}

// RaiseAlarm opens an alarm unless one of its kind about its subject is open, and otherwise says that it still stands.
func (s *Store) RaiseAlarm(ctx context.Context, a models.Alarm) error {
	return s.operate(ctx, "raise alarm", func(db *gorm.DB) error {
		return db.Exec(`insert into operator_alarms (id, kind, subject, detail, since, last_seen, announced)
			values (?, ?, ?, ?, now(), now(), '[]') on conflict (kind, subject) where ended_at is null
			do update set last_seen = excluded.last_seen, detail = excluded.detail`, uuid.New(), a.Kind, a.Subject, a.Detail).Error
	})
}

// EndAlarm ends an alarm, because its reason is gone. An alarm that ended before stays as it is.
func (s *Store) EndAlarm(ctx context.Context, id uuid.UUID) error {
	return s.operate(ctx, "end alarm", func(db *gorm.DB) error {
		return db.Exec("update operator_alarms set ended_at = now() where id = ? and ended_at is null", id).Error
	})
}

// EndAlarmAbout ends the open alarm of a kind about a subject, if there is one.
func (s *Store) EndAlarmAbout(ctx context.Context, kind models.AlarmKind, subject string) error {
	return s.operate(ctx, "end alarm", func(db *gorm.DB) error {
		return db.Exec("update operator_alarms set ended_at = now() where kind = ? and subject = ? and ended_at is null", kind, subject).Error
	})
}

// NoteAnnounced remembers that a bulletin about alarms went out.
func (s *Store) NoteAnnounced(ctx context.Context, alarms []uuid.UUID, bulletin string) error {
	return s.operate(ctx, "note a bulletin", func(db *gorm.DB) error {
		return db.Exec("update operator_alarms set announced = announced || to_jsonb(?::text) where id in ?", bulletin, alarms).Error
	})
}

// OpenAlarms lists all alarms that are open, the oldest first: at most a few for each incident.
func (s *Store) OpenAlarms(ctx context.Context) ([]models.Alarm, error) {
	return s.alarms(ctx, -1, "ended_at is null")
}

// UnannouncedAlarms lists the alarms that lack a bulletin: of those that are open or ended within a day, those without
// begun, and those that ended without ended, the oldest first. At most 1,000.
func (s *Store) UnannouncedAlarms(ctx context.Context, begun, ended string) ([]models.Alarm, error) {
	return s.alarms(ctx, maxPage, `(ended_at is null or ended_at > now() - interval '1 day')
		and not (announced @> to_jsonb(?::text) and (ended_at is null or announced @> to_jsonb(?::text)))`, begun, ended)
}

func (s *Store) alarms(ctx context.Context, limit int, which string, args ...any) ([]models.Alarm, error) {
	var rows []alarmRow
	err := s.operate(ctx, "list alarms", func(db *gorm.DB) error {
		return db.Where(which, args...).Order("since, id").Limit(limit).Find(&rows).Error
	})
	return each(rows, alarmRow.model), err
}

// Alarms lists alarms, the newest first, from after the cursor {Since, ID}; openOnly leaves out those that ended. At
// most 1,000.
func (s *Store) Alarms(ctx context.Context, openOnly bool, c Cursor, limit int) ([]models.Alarm, error) {
	if _, err := uuid.Parse(c.ID); err != nil && c != (Cursor{}) {
		return nil, models.InvalidField("/cursor", "is not a cursor of this list")
	}
	var rows []alarmRow
	err := s.operate(ctx, "list alarms", func(db *gorm.DB) error {
		q := db.Table("operator_alarms")
		if openOnly {
			q = q.Where("ended_at is null")
		}
		return page(q, "since", "id", c, limit).Find(&rows).Error
	})
	return each(rows, alarmRow.model), err
}

// Beat says that a process runs, by writing its row: a database that cannot write does not take it. part is api or
// worker.
func (s *Store) Beat(ctx context.Context, process uuid.UUID, part string) error {
	return s.operate(ctx, "write heartbeat", func(db *gorm.DB) error {
		return db.Exec(`insert into processes (id, part, started_at, seen_at) values (?, ?, now(), now())
			on conflict (id) do update set seen_at = excluded.seen_at, stopped_at = null`, process, part).Error
	})
}

// NoteCanary says that a worker's canary workflow came to its end.
func (s *Store) NoteCanary(ctx context.Context, process uuid.UUID) error {
	return s.operate(ctx, "note the canary", func(db *gorm.DB) error {
		return db.Exec("update processes set canary_at = now() where id = ?", process).Error
	})
}

// NoteStopped says that a process stopped, or is given up.
func (s *Store) NoteStopped(ctx context.Context, process uuid.UUID) error {
	return s.operate(ctx, "note a stop", func(db *gorm.DB) error {
		return db.Exec("update processes set stopped_at = now() where id = ?", process).Error
	})
}

// Workers lists the worker processes that have not stopped, the oldest first.
func (s *Store) Workers(ctx context.Context) ([]models.Process, error) {
	var rows []struct {
		ID                   uuid.UUID
		Age, Silence, Canary float64 // seconds
	}
	err := s.operate(ctx, "list workers", func(db *gorm.DB) error {
		return db.Raw(`select id, extract(epoch from now() - started_at)::float8 as age, extract(epoch from now() - seen_at)::float8 as silence,
				extract(epoch from now() - coalesce(canary_at, started_at))::float8 as canary
			from processes where part = 'worker' and stopped_at is null order by started_at, id`).Scan(&rows).Error
	})
	list := make([]models.Process, 0, len(rows))
	for _, r := range rows {
		list = append(list, models.Process{
			ID: r.ID, Age: seconds(r.Age), Silence: seconds(r.Silence), CanaryAge: seconds(r.Canary),
		})
	}
	return list, err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// HoldLease takes a lease, or keeps it, for a while by the database's clock, and reports whether the holder has it. A
// lease that ran out belongs to whoever asks first.
func (s *Store) HoldLease(ctx context.Context, name string, holder uuid.UUID, d time.Duration) (held bool, err error) {
	err = s.operate(ctx, "hold lease", func(db *gorm.DB) error {
		q := db.Exec(`insert into leases as l values (?, ?, now() + ? * interval '1 microsecond')
			on conflict (name) do update set holder = excluded.holder, until = excluded.until
			where l.holder = excluded.holder or l.until < now()`, name, holder, d.Microseconds())
		held = q.RowsAffected == 1
		return q.Error
	})
	return held, err
}

// DropLease gives up a lease, so that another holder need not wait.
func (s *Store) DropLease(ctx context.Context, name string, holder uuid.UUID) error {
	return s.operate(ctx, "drop lease", func(db *gorm.DB) error {
		return db.Exec("update leases set until = now() - interval '1 second' where name = ? and holder = ?", name, holder).Error
	})
}
