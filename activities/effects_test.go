package activities_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// vendor is somebody outside: it counts what really happened, whatever it answers.
type vendor struct {
	effects atomic.Int32
	answer  func(n int32) error // to the n-th effect
	lookups atomic.Int32
	down    atomic.Bool
}

func (v *vendor) act() activities.EffectSteps {
	return activities.EffectSteps{
		Prepare: func(*store.Tx, store.LedgerRow) error { return nil },
		Send: func(context.Context, store.LedgerRow) (activities.Acceptance, error) {
			n := v.effects.Add(1)
			if v.answer != nil {
				if err := v.answer(n); err != nil {
					return activities.Acceptance{}, err
				}
			}
			return accepted, nil
		},
		Lookup: func(context.Context, store.LedgerRow) (activities.Acceptance, bool, error) {
			v.lookups.Add(1)
			if v.down.Load() {
				return activities.Acceptance{}, false, failed(models.Transient)
			}
			return accepted, v.effects.Load() > 0, nil
		},
	}
}

var accepted = activities.Acceptance{Vendor: "test", ID: "id-1"}

func failed(c models.VendorClass) error {
	return &models.VendorError{Class: c, Vendor: "test", Op: "act"}
}

// bench is a ledger on a real database, whose clock it takes for every time.
type bench struct {
	*testing.T
	ledger   activities.Effects
	effect   notify.Effect
	ownerURL string
	now      time.Time // of what was before the test
}

const (
	settle = 30 * time.Second
	giveUp = 10 * time.Minute
)

func newBench(t *testing.T) *bench {
	s, ownerURL := storetest.New(t)
	b := &bench{T: t, ownerURL: ownerURL, now: time.Date(2026, 3, 2, 3, 0, 0, 123456789, time.UTC)}
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	var contact models.Contact
	var ref models.Reference
	err = s.ForClient(t.Context(), store.SOC, c.ID, func(tx *store.Tx) error {
		contact, err = tx.CreateContact(models.Contact{Name: "C", Email: "c@acme.example", Phone: "+12025550100", Order: 1, Language: "en",
			Severities: models.Severities(), Channels: []models.Channel{models.ChannelEmail}}, "contact", "")
		if err != nil {
			return err
		}
		by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
		i, err := tx.OpenIncident(incident.Opened{ClientID: c.ID, Title: "t", Severity: models.SeverityLow}, by, b.now, "open", "f")
		ref = i.Reference
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.effect = notify.MessageEffect(ref, c.ID, notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact.ID, Channel: models.ChannelEmail})
	b.ledger = activities.Effects{Store: s, Settle: settle, GiveUpLookup: giveUp}
	return b
}

// later lets time pass: everything that is on record has happened earlier by it.
func (b *bench) later(d time.Duration) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), b.ownerURL)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.Context()))
	for _, move := range []string{
		`update effects set planned_at = planned_at - $1::interval, attempt_at = attempt_at - $1::interval,
			accepted_at = accepted_at - $1::interval, lookup_failed_at = lookup_failed_at - $1::interval`,
		"alter table isolation_passes disable trigger user", "update isolation_passes set at = at - $1::interval",
	} {
		var by []any
		if strings.Contains(move, "$1") {
			by = append(by, d)
		}
		if _, err := conn.Exec(b.Context(), move, by...); err != nil {
			b.Fatal(err)
		}
	}
}

// attempt runs the effect once more and wants it to end with an error of a type, "" for success.
func (b *bench) attempt(v *vendor, want string) {
	b.Helper()
	_, err := b.ledger.Once(b.Context(), b.effect, v.act())
	var app *temporal.ApplicationError
	switch {
	case want == "" && err != nil:
		b.Fatalf("rejected: %v", err)
	case want != "" && (!errors.As(err, &app) || app.Type() != want):
		b.Fatalf("got %v, want an error of type %s", err, want)
	}
}

func (b *bench) happened(v *vendor, n int32) {
	b.Helper()
	if got := v.effects.Load(); got != n {
		b.Fatalf("the effect happened %d times, want %d", got, n)
	}
}

func TestARepeatFindsItDone(t *testing.T) {
	b, v := newBench(t), &vendor{}
	b.attempt(v, "")
	b.attempt(v, "")
	b.happened(v, 1)
}

func TestALostAnswerIsSettledThenLookedUp(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(int32) error { return failed(models.Ambiguous) }}
	b.attempt(v, string(models.Ambiguous))
	b.attempt(v, activities.ErrSettling)
	if v.lookups.Load() != 0 {
		t.Error("looked up before the settle window was over")
	}
	b.later(settle)
	b.attempt(v, "")
	b.happened(v, 1)
}

func TestWhatTheVendorNeverGotIsDoneAgainOnce(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(n int32) error {
		if n == 1 {
			return failed(models.Ambiguous)
		}
		return nil
	}}
	act := v.act()
	act.Lookup = func(context.Context, store.LedgerRow) (activities.Acceptance, bool, error) {
		return activities.Acceptance{}, false, nil
	}
	if _, err := b.ledger.Once(t.Context(), b.effect, act); err == nil {
		t.Fatal("an ambiguous answer counted as success")
	}
	b.later(settle)
	if _, err := b.ledger.Once(t.Context(), b.effect, act); err != nil {
		t.Fatal(err)
	}
	b.attempt(v, "")
	b.happened(v, 2)
}

func TestAVendorThatWasNotReachedIsAskedAgainAtOnce(t *testing.T) {
	for _, class := range []models.VendorClass{models.Transient, models.Throttled, models.Config} {
		b := newBench(t)
		v := &vendor{answer: func(n int32) error {
			if n == 1 {
				return failed(class)
			}
			return nil
		}}
		b.attempt(v, string(class))
		b.attempt(v, "")
		b.happened(v, 2)
	}
}

func TestARejectionStands(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(int32) error { return failed(models.Rejected) }}
	b.attempt(v, string(models.Rejected))
	b.later(time.Hour)
	b.attempt(v, string(models.Rejected))
	b.happened(v, 1)
}

func TestWhenNothingCanBeLookedUpADuplicateIsBetterThanSilence(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(n int32) error {
		if n == 1 {
			return failed(models.Ambiguous)
		}
		return nil
	}}
	v.down.Store(true)
	b.attempt(v, string(models.Ambiguous))
	b.later(settle)
	b.attempt(v, string(models.Transient))
	b.later(giveUp)
	b.attempt(v, string(models.Transient)) // the second
	b.happened(v, 1)
	b.attempt(v, "")
	b.happened(v, 2)
}

// An outage says nothing about what was looked up after it: however long the effect has waited, the look-ups of its
// last attempt count, and the time since the first of them.
func TestAnOutageDoesNotUseUpTheLookUps(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(n int32) error {
		switch n {
		case 1:
			return failed(models.Transient)
		case 2:
			return failed(models.Ambiguous)
		}
		return nil
	}}
	lookUp := func(times int) {
		t.Helper()
		for range times {
			b.attempt(v, string(models.Transient))
		}
	}
	b.attempt(v, string(models.Transient))
	b.later(5 * time.Hour) // down for long
	v.down.Store(true)
	b.attempt(v, string(models.Ambiguous))
	b.later(time.Hour) // and again
	lookUp(6)          // often, but not for long
	b.happened(v, 2)
	b.later(giveUp - time.Minute)
	lookUp(1)
	v.down.Store(false)
	b.attempt(v, "") // it was there
	b.happened(v, 2)
}

func TestTheLookUpsOfAnEarlierAttemptDoNotCount(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(int32) error { return failed(models.Ambiguous) }}
	v.down.Store(true)
	b.attempt(v, string(models.Ambiguous))
	for n := range int32(3) {
		b.later(settle)
		b.attempt(v, string(models.Transient))
		b.later(giveUp)
		b.attempt(v, string(models.Transient))
		b.happened(v, n+1)
		b.attempt(v, string(models.Ambiguous)) // hopeless: once more
		b.happened(v, n+2)
	}
}

func TestTwoWorkersAtOnceActOnce(t *testing.T) {
	b, v := newBench(t), &vendor{}
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() { _, _ = b.ledger.Once(context.WithoutCancel(t.Context()), b.effect, v.act()) })
	}
	done.Wait()
	b.happened(v, 1)
}

func TestACallbackThatCameFirstSettlesTheMatter(t *testing.T) {
	b := newBench(t)
	v := &vendor{answer: func(int32) error { return failed(models.Ambiguous) }}
	b.attempt(v, string(models.Ambiguous))
	err := b.ledger.Store.ForClient(t.Context(), store.Worker, b.effect.ClientID, func(tx *store.Tx) error {
		row, err := tx.Effect(b.effect.Key)
		if err != nil {
			return err
		}
		_, mine, err := tx.Adopt(row.Token, "test", "id-from-callback", b.now)
		if !mine {
			t.Error("the first call that speaks for the effect was not adopted")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	row, err := b.ledger.Once(t.Context(), b.effect, v.act())
	if err != nil || row.VendorID != "id-from-callback" {
		t.Fatalf("row %+v, %v", row.VendorID, err)
	}
	b.happened(v, 1)
}
