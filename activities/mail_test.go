package activities

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// postman is a mailer that does as it is told, and remembers what it was asked to send.
type postman struct {
	fails models.VendorClass // "" takes everything
	asked int
	has   bool // the message, when it is looked up
	deaf  bool // a look-up fails
}

func (p *postman) Send(context.Context, models.OutboundMail) (string, error) {
	p.asked++
	if p.fails != "" {
		return "", &models.VendorError{Class: p.fails, Vendor: "post", Op: "send mail"}
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
