package models_test

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	never := models.Ruling{Decision: models.DecideNever, Rule: "no", Persons: 1}
	asked := models.Ruling{Decision: models.DecideAsk, Rule: "ask", Persons: 1}
	auto := models.Ruling{Decision: models.DecideAuto, Rule: "yes", Persons: 1}
	isolate, release := &models.Isolate{Hostname: "PC-1", Reason: "r"}, &models.Release{Endpoint: "e1", Reason: "r"}
	begin := func(t *testing.T) models.Incident {
		i := opened(t, models.SeverityCritical)
		mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
		mustGive(t, &i, isolate, models.RoleAnalyst)
		return i
	}
	is := func(t *testing.T, i models.Incident, desired, standing models.Desired) {
		t.Helper()
		if p := i.Endpoints[0]; p.Desired != desired || p.Permitted != standing || !p.IsPermitted() || p.NeedsRuling() {
			t.Errorf("wanted %s, permitted %q; want %s and %q: %+v", p.Desired, p.Permitted, desired, standing, p)
		}
	}
	t.Run("a release takes back an isolation nobody approved", func(t *testing.T) {
		i := begin(t)
		ruled(t, &i, asked)
		mustGive(t, &i, release, models.RoleAnalyst)
		is(t, i, models.DesiredReleased, "")
		if i.Containment() != models.ContainmentNone {
			t.Errorf("containment %s", i.Containment())
		}
	})
	t.Run("a release that the client refuses", func(t *testing.T) {
		i := begin(t)
		ruled(t, &i, auto)
		mustGive(t, &i, release, models.RoleAnalyst)
		ruled(t, &i, asked)
		mustGive(t, &i, &models.Deny{Approval: "a2", Reason: "leave it"}, models.RoleAdmin)
		is(t, i, models.DesiredIsolated, models.DesiredIsolated)
	})
	t.Run("a release that the rules forbid", func(t *testing.T) {
		i := begin(t)
		ruled(t, &i, auto)
		mustGive(t, &i, release, models.RoleAnalyst)
		ruled(t, &i, never)
		is(t, i, models.DesiredIsolated, models.DesiredIsolated)
	})
	t.Run("an isolation that the rules forbid", func(t *testing.T) {
		i := begin(t)
		ruled(t, &i, never)
		is(t, i, models.DesiredReleased, "")
		if i.Endpoints[0].IsHeld() {
			t.Error("it is held")
		}
	})
	t.Run("an isolation that is wanted twice", func(t *testing.T) {
		i := begin(t)
		ruled(t, &i, auto)
		for _, name := range []string{"PC-1", "pc-1"} {
			if err := i.Can(&models.Isolate{Hostname: name, Reason: "r"}, ask(models.RoleAnalyst), t0); models.KindOf(err) != models.Conflict {
				t.Errorf("%s again: %v", name, err)
			}
		}
	})
}

func TestTheRulesThatHoldWhenItIsGrantedDecide(t *testing.T) {
	asked := models.Ruling{Decision: models.DecideAsk, Rule: "ask", Persons: 1}
	for name, c := range map[string]struct {
		then      models.Ruling
		permitted bool
		refused   bool
	}{
		"the same":    {asked, true, false},
		"never":       {models.Ruling{Decision: models.DecideNever, Rule: "no", Persons: 1}, false, true},
		"two persons": {models.Ruling{Decision: models.DecideAsk, Rule: "ask", Persons: 2}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			i := opened(t, models.SeverityCritical)
			mustGive(t, &i, &models.Expedite{}, models.RoleAnalyst)
			mustGive(t, &i, &models.Isolate{Hostname: "PC-1", Reason: "r"}, models.RoleAnalyst)
			ruled(t, &i, asked)
			mustGive(t, &i, &models.Approve{Approval: "a1"}, models.RoleAdmin)
			if p := i.Endpoints[0]; p.Permitted != "" || !p.NeedsRuling() {
				t.Fatalf("permitted before the rules were asked again: %+v", p)
			}
			ruled(t, &i, c.then)
			p := i.Endpoints[0]
			if (p.Permitted == models.DesiredIsolated) != c.permitted || (p.Approval.Denied != nil) != c.refused {
				t.Errorf("%+v, approval %+v", p, p.Approval)
			}
			if !c.permitted && !c.refused && !p.Approval.IsAnswerable() {
				t.Errorf("the second person is not asked: %+v", p.Approval)
			}
		})
	}
}
