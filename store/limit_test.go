package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// ten is a limit of ten at once and then one an hour, which nothing gives back during a test.
func ten(scope, key string) store.Limit {
	return store.Limit{Scope: scope, Key: key, AtOnce: 10, Every: time.Hour, Words: "too many of " + key}
}

func refusal(t *testing.T, err error) *models.Error {
	t.Helper()
	var e *models.Error
	if !errors.As(err, &e) || e.Kind != models.TooMany {
		t.Fatalf("got %v, want too many", err)
	}
	return e
}

// Two processes that take one limit's share at the same moment get no more than it holds, and no less.
func TestALimitHoldsOverSeveralProcesses(t *testing.T) {
	ownerURL, appURL := storetest.URLs(t)
	var taken, refused atomic.Int64
	var asking sync.WaitGroup
	for range 2 {
		s, err := store.Open(t.Context(), appURL, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for n := range 16 {
			asking.Go(func() {
				for range 4 {
					// in two orders, so that processes that lock rows as they are handed over would wait for each other
					limits := []store.Limit{ten("user", "u"), {Scope: "client", Key: "c", AtOnce: 1000, Every: time.Second}}
					if n%2 == 0 {
						limits[0], limits[1] = limits[1], limits[0]
					}
					switch err := s.Use(t.Context(), limits...); {
					case err == nil:
						taken.Add(1)
					case models.KindOf(err) == models.TooMany:
						refused.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
	}
	asking.Wait()
	if taken.Load() != 10 || refused.Load() != 118 {
		t.Errorf("%d taken, %d refused", taken.Load(), refused.Load())
	}
	if rows := ownerTexts(t, ownerURL, "select scope || ' ' || key from limits order by 1"); fmt.Sprint(rows) != "[client c user u]" {
		t.Errorf("rows: %v", rows)
	}
}

// What a refusal says is when the same request is taken: not before, and then.
func TestALimitSaysWhenTheNextIsTaken(t *testing.T) {
	s, ownerURL := storetest.New(t)
	use := func() error { return s.Use(t.Context(), ten("user", "u"), ten("user", "v")) }
	for range 10 {
		if err := use(); err != nil {
			t.Fatal(err)
		}
	}
	e := refusal(t, use())
	if e.RetryAfter <= 59*time.Minute || e.RetryAfter > time.Hour || e.Message != "too many of u" && e.Message != "too many of v" {
		t.Errorf("after %s: %s", e.RetryAfter, e.Message)
	}
	// time passes for both rows
	pass := func(d time.Duration) {
		err := ownerExec(t.Context(), ownerURL, "update limits set used_to = used_to - $1::interval", d)
		if err != nil {
			t.Fatal(err)
		}
	}
	pass(e.RetryAfter - time.Minute)
	refusal(t, use())
	pass(time.Minute)
	if err := use(); err != nil {
		t.Error(err)
	}
	refusal(t, use())
	pass(100 * time.Hour) // what was not used is there again, up to ten
	for n := range 11 {
		if err := use(); (err == nil) != (n < 10) {
			t.Errorf("use %d: %v", n, err)
		}
	}
}

// A refused request uses up nothing, and leaves no row behind.
func TestARefusalUsesNothing(t *testing.T) {
	s, ownerURL := storetest.New(t)
	one := store.Limit{Scope: "a drill", Key: "c", AtOnce: 1, Every: time.Hour}
	if err := s.Use(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		refusal(t, s.Use(t.Context(), ten("user", "u"), one, ten("z", fmt.Sprint(n))))
	}
	if rows := ownerTexts(t, ownerURL, "select scope || ' ' || key from limits order by 1"); fmt.Sprint(rows) != "[a drill c]" {
		t.Errorf("rows: %v", rows)
	}
	for range 10 {
		if err := s.Use(t.Context(), ten("user", "u")); err != nil {
			t.Error(err)
		}
	}
}

// Who used nothing lately has no row, and as much as before.
func TestSharesThatAreWholeLeaveNoRow(t *testing.T) {
	s, ownerURL := storetest.New(t)
	for range 10 {
		if err := s.Use(t.Context(), ten("user", "spent"), ten("user", "whole")); err != nil {
			t.Fatal(err)
		}
	}
	if err := ownerExec(t.Context(), ownerURL, "update limits set used_to = now() - interval '1 second' where key = 'whole'"); err != nil {
		t.Fatal(err)
	}
	if err := s.DropFullLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows := ownerTexts(t, ownerURL, "select key from limits"); fmt.Sprint(rows) != "[spent]" {
		t.Errorf("rows: %v", rows)
	}
	refusal(t, s.Use(t.Context(), ten("user", "spent")))
	for n := range 11 {
		if err := s.Use(t.Context(), ten("user", "whole")); (err == nil) != (n < 10) {
			t.Errorf("use %d: %v", n, err)
		}
	}
}

func BenchmarkUseLimits(b *testing.B) {
	s, _ := storetest.New(b)
	limits := []store.Limit{
		{Scope: "user", Key: "u", AtOnce: 1 << 30, Every: time.Microsecond}, {Scope: "user and incident", Key: "u SI", AtOnce: 1 << 30, Every: time.Microsecond},
		{Scope: "incident", Key: "SI", AtOnce: 1 << 30, Every: time.Microsecond}, {Scope: "client", Key: "c", AtOnce: 1 << 30, Every: time.Microsecond},
	}
	for b.Loop() {
		if err := s.Use(b.Context(), limits...); err != nil {
			b.Fatal(err)
		}
	}
}

// A command is counted when it is to be sent, and not when it was carried out before, is refused, or is nobody's to see.
func TestACommandIsCountedWhenItIsToBeSent(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	h.recordCommand(h.acme, &i, "request-1", h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "t"})
	admit := func(as store.Audience, client uuid.UUID, request string, refused error) (found store.Recording, err error) {
		return found, h.AdmitCommand(t.Context(), as, client, i.Reference, request, func(r store.Recording) (bool, error) {
			found = r
			return r.Known == nil, refused
		}, ten("user", "u"), ten("client", "c"))
	}
	refused := models.Errorf(models.Forbidden, "not you")
	for range 20 {
		found, err := admit(store.SOC, uuid.Nil, "request-1", nil)
		h.ok(err)
		equal(t, "known", found.Known != nil && found.Seq == i.Seq, true)
		_, err = admit(store.SOC, uuid.Nil, "request-2", refused)
		h.fails(err, models.Forbidden)
		_, err = admit(store.Portal, h.acme.ID, "request-2", nil)
		h.fails(err, models.NotFound) // not published
	}
	for range 10 {
		_, err := admit(store.SOC, uuid.Nil, "request-2", nil)
		h.ok(err)
	}
	_, err := admit(store.SOC, uuid.Nil, "request-2", nil)
	refusal(t, err)
	found, err := admit(store.SOC, uuid.Nil, "request-1", nil)
	h.ok(err)
	equal(t, "known though nothing is left", found.Known != nil, true)
}
