package activities

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// postman is a mailer that does as it is told, and remembers what it was asked to send.
type postman struct {
	fails models.VendorClass // "" takes everything
	wait  time.Duration      // asked for when it is throttled
	asked int
	has   bool // the message, when it is looked up
	deaf  bool // a look-up fails
}

func (p *postman) Send(context.Context, models.OutboundMail) (string, error) {
	p.asked++
	if p.fails != "" {
		return "", &models.VendorError{Class: p.fails, Vendor: "post", Op: "send mail", RetryAfter: p.wait}
	}
	return "id", nil
}

func (p *postman) Lookup(context.Context, models.OutboundMail, time.Time) (string, bool, error) {
	if p.deaf {
		return "", false, &models.VendorError{Class: models.Transient, Vendor: "post", Op: "look up"}
	}
	return "id", p.has, nil
}

func TestTheSecondMailerStandsInOnlyWhenTheFirstSentNothing(t *testing.T) {
	for _, c := range []struct {
		first models.VendorClass
		want  string // who took it; "" when nobody
		class models.VendorClass
	}{
		{"", "first", ""},
		{models.Transient, "second", ""},
		{models.Throttled, "second", ""},
		{models.Config, "second", ""},
		{models.Ambiguous, "", models.Ambiguous}, // it may be on its way: looked up first
		{models.Rejected, "", models.Rejected},
	} {
		first, second := &postman{fails: c.first}, &postman{}
		got, err := NewRoutes(Route{"first", first}, Route{"second", second}).send(t.Context(), models.OutboundMail{})
		if c.want != "" && (err != nil || got.Vendor != c.want) || c.want == "" && models.ClassOf(err) != c.class {
			t.Errorf("first %q: %+v, %v; want %s %s", c.first, got, err, c.want, c.class)
		}
		if c.want == "" && second.asked != 0 {
			t.Errorf("first %q: the second mailer was asked", c.first)
		}
	}
}

func TestAMailerThatStaysDownIsPassedOver(t *testing.T) {
	first, second := &postman{fails: models.Transient}, &postman{}
	routes := NewRoutes(Route{"first", first}, Route{"second", second})
	for range 20 {
		if got, err := routes.send(t.Context(), models.OutboundMail{}); err != nil || got.Vendor != "second" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if first.asked != failuresToTrip {
		t.Errorf("the mailer that is down was asked %d times, want %d", first.asked, failuresToTrip)
	}
	second.fails = models.Transient // both are down: the first may be up again, so it is asked
	first.fails = ""
	if got, err := routes.send(t.Context(), models.OutboundMail{}); err != nil || got.Vendor != "first" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Both mailers are down. The first one does not even say whether it took a mail: the next attempt begins with the other one.
func TestAmongMailersThatAreDownTheOneThatFailedLongAgoIsTriedFirst(t *testing.T) {
	first, second := &postman{fails: models.Transient}, &postman{fails: models.Transient}
	routes := NewRoutes(Route{"first", first}, Route{"second", second})
	for range failuresToTrip {
		if _, err := routes.send(t.Context(), models.OutboundMail{}); err == nil {
			t.Fatal("a mailer took it")
		}
	}
	first.fails, second.fails = models.Ambiguous, ""
	if _, err := routes.send(t.Context(), models.OutboundMail{}); models.ClassOf(err) != models.Ambiguous {
		t.Fatal(err)
	}
	if got, err := routes.send(t.Context(), models.OutboundMail{}); err != nil || got.Vendor != "second" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A mailer that asks for an hour is not asked within it, and the hour reaches the caller when nobody else takes mails.
func TestAMailerThatAsksForPatienceIsLeftAlone(t *testing.T) {
	first, second := &postman{fails: models.Throttled, wait: time.Hour}, &postman{}
	routes := NewRoutes(Route{"first", first}, Route{"second", second})
	for _, c := range []struct {
		second models.VendorClass
		want   models.VendorClass // "" when the second takes it
	}{{"", ""}, {models.Transient, models.Transient}, {models.Ambiguous, models.Ambiguous}, {"", ""}} {
		second.fails = c.second
		got, err := routes.send(t.Context(), models.OutboundMail{})
		taken := err == nil && got.Vendor == "second"
		if taken != (c.want == "") || !taken && models.ClassOf(err) != c.want {
			t.Errorf("second %q: %+v, %v", c.second, got, err)
		}
	}
	if first.asked != 1 {
		t.Errorf("the mailer that asked for an hour was asked %d times", first.asked)
	}
	only := &postman{fails: models.Throttled, wait: time.Hour}
	routes = NewRoutes(Route{"only", only})
	for range 2 {
		_, err := routes.send(t.Context(), models.OutboundMail{})
		var v *models.VendorError
		if !errors.As(err, &v) || v.Class != models.Throttled || v.RetryAfter < 59*time.Minute || only.asked != 1 {
			t.Errorf("asked %d times, %v", only.asked, err)
		}
	}
}

// A mailer that answers neither whether it took a mail nor anything else is down: the next attempt goes elsewhere.
func TestAMailerThatCannotBeAskedIsPassedOver(t *testing.T) {
	first, second := &postman{fails: models.Ambiguous, deaf: true}, &postman{}
	routes := NewRoutes(Route{"first", first}, Route{"second", second})
	if _, err := routes.send(t.Context(), models.OutboundMail{}); models.ClassOf(err) != models.Ambiguous {
		t.Fatal(err)
	}
	for range failuresToTrip - 1 {
		if _, _, err := routes.lookup(t.Context(), models.OutboundMail{}, time.Time{}); err == nil {
			t.Fatal("the look-up succeeded")
		}
	}
	if got, err := routes.send(t.Context(), models.OutboundMail{}); err != nil || got.Vendor != "second" || first.asked != 1 {
		t.Errorf("%+v, %v; the first mailer was asked %d times", got, err, first.asked)
	}
}

func TestARejectedAddressSaysNothingAgainstTheMailer(t *testing.T) {
	only := &postman{fails: models.Rejected}
	second := &postman{}
	routes := NewRoutes(Route{"first", only}, Route{"second", second})
	for range 10 {
		_, _ = routes.send(t.Context(), models.OutboundMail{})
	}
	only.fails = ""
	if got, err := routes.send(t.Context(), models.OutboundMail{}); err != nil || got.Vendor != "first" {
		t.Errorf("after ten rejected addresses: %+v, %v", got, err)
	}
}

func TestALookUpAsksEveryMailer(t *testing.T) {
	down, has, hasNot := &postman{deaf: true}, &postman{has: true}, &postman{}
	for _, c := range []struct {
		mailers []*postman
		found   bool
		unsure  bool
	}{
		{[]*postman{hasNot, has}, true, false},
		{[]*postman{down, has}, true, false},
		{[]*postman{down, hasNot}, false, true},
		{[]*postman{hasNot, hasNot}, false, false},
	} {
		var routes []Route
		for _, m := range c.mailers {
			routes = append(routes, Route{"m", m})
		}
		_, found, err := NewRoutes(slices.Clip(routes)...).lookup(t.Context(), models.OutboundMail{}, time.Time{})
		if found != c.found || (err != nil) != c.unsure {
			t.Errorf("%+v: found %t, %v", c, found, err)
		}
	}
}
