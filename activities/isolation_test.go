package activities_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// may lets the client sign a response authority that permits everything.
func (b *bench) may() {
	b.Helper()
	var user models.User
	s := b.ledger.Store
	user, err := s.CreateUser(b.Context(), models.User{ID: uuid.New(), ClientID: b.effect.ClientID, Name: "A", Email: "a@acme.example", Role: models.RoleAdmin})
	if err != nil {
		b.Fatal(err)
	}
	rules := []authority.Rule{{Name: "isolate", Action: models.DesiredIsolated, Decision: authority.DecideAuto}, {Name: "release", Action: models.DesiredReleased, Decision: authority.DecideAuto}}
	b.in(store.SOC, func(tx *store.Tx) error {
		_, err := tx.DraftAuthority(authority.Authority{Rules: rules, DraftedAt: b.now}, "draft")
		return err
	})
	b.in(store.Portal, func(tx *store.Tx) error {
		_, err := tx.SignAuthority(1, user.ID, b.now)
		return err
	})
}

func (b *bench) in(who store.Audience, fn func(*store.Tx) error) {
	b.Helper()
	if err := b.ledger.Store.ForClient(b.Context(), who, b.effect.ClientID, fn); err != nil {
		b.Fatal(err)
	}
}

// rule asks about the nth endpoint.
func (b *bench) rule(n int, d models.Desired) authority.Ruling {
	b.Helper()
	r := activities.Records{Store: b.ledger.Store}
	ruling, err := r.EvaluateAuthority(context.Background(), activities.EvaluateAuthorityInput{
		ClientID: b.effect.ClientID, Reference: b.effect.Incident, Endpoint: fmt.Sprintf("e%d", n), Generation: 1,
		Request: authority.Request{Action: d, Asset: authority.Asset{Hostname: "h"}, Severity: models.SeverityHigh, At: b.now},
	})
	if err != nil {
		b.Fatal(err)
	}
	return ruling
}

func (b *bench) pause(paused bool) {
	b.Helper()
	b.in(store.SOC, func(tx *store.Tx) error {
		_, err := tx.SwitchIsolation(models.IsolationSwitch{Paused: paused, Side: models.SideSOC, By: uuid.New(), At: b.now, Reason: "a stolen session"})
		return err
	})
}

func TestMoreIsolationsThanTheLimitAreAsked(t *testing.T) {
	b := newBench(t)
	b.may()
	for n := range 5 {
		if r := b.rule(n, models.DesiredIsolated); r.Decision != authority.DecideAuto {
			t.Fatalf("isolation %d: %+v", n, r)
		}
	}
	if r := b.rule(5, models.DesiredIsolated); r.Decision != authority.DecideAsk || !strings.Contains(r.Rule, "isolate (asked: 5 isolations within 10m") {
		t.Errorf("the sixth: %+v", r)
	}
	if r := b.rule(0, models.DesiredIsolated); r.Decision != authority.DecideAuto {
		t.Errorf("the first, asked again by a retry: %+v", r)
	}
	if r := b.rule(5, models.DesiredReleased); r.Decision != authority.DecideAuto {
		t.Errorf("a release: %+v", r)
	}
	b.later(models.IsolationWindow)
	if r := b.rule(5, models.DesiredIsolated); r.Decision != authority.DecideAuto {
		t.Errorf("ten minutes later: %+v", r)
	}
}

func TestNothingIsIsolatedWhileIsolationIsPaused(t *testing.T) {
	b := newBench(t)
	b.may()
	edr := &hiding{state: models.HostNormal, can: models.Capabilities{Underway: true}}
	env, work := b.containment(edr)
	change := func(n int, p notify.Purpose, d models.Desired) error {
		_, err := env.ExecuteActivity(work.SendAction, activities.EndpointInput{AgentID: "aid-1", Desired: d,
			Effect: notify.EndpointEffect(b.effect.Incident, b.effect.ClientID, p, "e1", n, 1)})
		return err
	}
	b.pause(true)
	if r := b.rule(1, models.DesiredIsolated); r.Decision != authority.DecideNever || r.Rule != "isolation is paused: a stolen session" {
		t.Errorf("an isolation: %+v", r)
	}
	if r := b.rule(1, models.DesiredReleased); r.Decision != authority.DecideAuto {
		t.Errorf("a release: %+v", r)
	}
	if err := change(1, notify.PurposeIsolate, models.DesiredIsolated); err == nil || len(edr.actions) != 0 {
		t.Errorf("an isolation that was ruled on before: sent %v, %v", edr.actions, err)
	}
	edr.state = models.HostIsolated
	if err := change(2, notify.PurposeRelease, models.DesiredReleased); err != nil || !slices.Equal(edr.actions, []string{"release"}) {
		t.Errorf("a release: sent %v, %v", edr.actions, err)
	}
	edr.state = models.HostNormal
	b.later(time.Minute)
	b.pause(false)
	if r := b.rule(1, models.DesiredIsolated); r.Decision != authority.DecideAuto {
		t.Errorf("resumed: %+v", r)
	}
	if err := change(3, notify.PurposeIsolate, models.DesiredIsolated); err != nil || !slices.Equal(edr.actions, []string{"release", "isolate"}) {
		t.Errorf("resumed: sent %v, %v", edr.actions, err)
	}
}
