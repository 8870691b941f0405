package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestAnAlarmIsOpenOnceUntilItEnds(t *testing.T) {
	h := newHouse(t)
	raise := func(detail string) {
		t.Helper()
		h.ok(h.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmStuck, Subject: "SI-1042-0007", Detail: detail}))
	}
	raise("first")
	raise("second")
	open, err := h.OpenAlarms(t.Context())
	h.ok(err)
	if len(open) != 1 || open[0].Detail != "second" || !open[0].LastSeen.After(open[0].Since) {
		t.Fatalf("the open alarms are %+v", open)
	}
	h.ok(h.NoteAnnounced(t.Context(), []uuid.UUID{open[0].ID}, "mail"))
	h.ok(h.EndAlarm(t.Context(), open[0].ID))
	raise("again")
	all, err := h.Alarms(t.Context(), false, store.Cursor{}, 10)
	h.ok(err)
	if len(all) != 2 || all[1].EndedAt.IsZero() || len(all[1].Announced) != 1 || all[0].Detail != "again" || len(all[0].Announced) != 0 {
		t.Errorf("all alarms are %+v", all)
	}
	rest, err := h.Alarms(t.Context(), false, store.Cursor{At: all[0].Since, ID: all[0].ID.String()}, 10)
	h.ok(err)
	equal(t, "alarms after the first", len(rest), 1)
}

// Many incidents have an alarm that stays. One that opens later is seen, too, and can be ended.
func TestManyOpenAlarmsHideNoLaterOne(t *testing.T) {
	h := newHouse(t)
	h.owner(`insert into operator_alarms (id, kind, subject, detail, since, last_seen, announced)
		select gen_random_uuid(), 'conflict', 'SI-1042-' || n, 'd', now() - interval '1 hour', now(), '[]' from generate_series(1, 1100) n`)
	h.ok(h.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmEngineDown, Subject: "temporal"}))
	open, err := h.OpenAlarms(t.Context())
	h.ok(err)
	if len(open) != 1101 || open[1100].Kind != models.AlarmEngineDown {
		t.Errorf("%d alarms are open, want 1101", len(open))
	}
}

func TestALeaseHasOneHolder(t *testing.T) {
	h := newHouse(t)
	first, second := uuid.New(), uuid.New()
	hold := func(who uuid.UUID, d time.Duration) bool {
		t.Helper()
		held, err := h.HoldLease(t.Context(), "reconciler", who, d)
		h.ok(err)
		return held
	}
	equal(t, "first", hold(first, time.Hour), true)
	equal(t, "first again", hold(first, time.Hour), true)
	equal(t, "second", hold(second, time.Hour), false)
	h.ok(h.DropLease(t.Context(), "reconciler", second)) // not its own
	equal(t, "second still", hold(second, time.Hour), false)
	h.ok(h.DropLease(t.Context(), "reconciler", first))
	equal(t, "second after the first gave it up", hold(second, time.Microsecond), true)
	equal(t, "first after it ran out", hold(first, time.Hour), true)
}

// TestAHeartbeatNeedsADatabaseThatWrites imitates a full disk: everything can be read, and nothing written.
func TestAHeartbeatNeedsADatabaseThatWrites(t *testing.T) {
	h := newHouse(t)
	id := uuid.New()
	h.ok(h.Beat(t.Context(), id, "worker"))
	workers, err := h.Workers(t.Context())
	h.ok(err)
	if len(workers) != 1 || workers[0].ID != id || !workers[0].IsAlive() {
		t.Fatalf("the workers are %+v", workers)
	}
	h.owner("alter database " + h.databaseName() + " set default_transaction_read_only = on")
	readOnly, err := store.Open(t.Context(), h.appURL, store.Options{MaxConns: 1})
	h.ok(err)
	defer closeStore(t, readOnly)
	h.ok(readOnly.Ping(t.Context()))
	h.ok(readOnly.SchemaCurrent(t.Context()))
	if err := readOnly.Beat(t.Context(), id, "worker"); err == nil {
		t.Error("a database that cannot write took a heartbeat")
	}
	h.ok(h.NoteStopped(t.Context(), id))
	workers, err = h.Workers(t.Context())
	h.ok(err)
	equal(t, "workers after the stop", len(workers), 0)
}

// databaseName returns the name of the house's database.
func (h *house) databaseName() string {
	h.Helper()
	return ownerTexts(h.T, h.ownerURL, "select quote_ident(current_database())")[0]
}
