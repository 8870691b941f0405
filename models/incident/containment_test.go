package incident_test

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

func TestADeniedRequestChangesNothing(t *testing.T) {
	never := authority.Ruling{Decision: authority.DecideNever, Rule: "no", Persons: 1}
	asked := authority.Ruling{Decision: authority.DecideAsk, Rule: "ask", Persons: 1}
	auto := authority.Ruling{Decision: authority.DecideAuto, Rule: "yes", Persons: 1}
	isolate, release := &incident.Isolate{Hostname: "PC-1", Reason: "r"}, &incident.Release{Endpoint: "e1", Reason: "r"}
	begin := func(t *testing.T) incident.Incident {
		i := opened(t, models.SeverityCritical)
		mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
		mustGive(t, &i, isolate, models.RoleAnalyst)
		return i
	}
	is := func(t *testing.T, i incident.Incident, desired, standing models.Desired) {
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
		if i.Containment() != incident.ContainmentNone {
			t.Errorf("containment %s", i.Containment())
		}
	})
	t.Run("a release that the client refuses", func(t *testing.T) {
		i := begin(t)
		ruled(t, &i, auto)
		mustGive(t, &i, release, models.RoleAnalyst)
		ruled(t, &i, asked)
		mustGive(t, &i, &incident.Deny{Approval: "a2", Reason: "leave it"}, models.RoleAdmin)
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
			if err := i.Can(&incident.Isolate{Hostname: name, Reason: "r"}, ask(models.RoleAnalyst), modelstest.T0); models.KindOf(err) != models.Conflict {
				t.Errorf("%s again: %v", name, err)
			}
		}
	})
}

func TestTheRulesThatHoldWhenItIsGrantedDecide(t *testing.T) {
	asked := authority.Ruling{Decision: authority.DecideAsk, Rule: "ask", Persons: 1}
	for name, c := range map[string]struct {
		then      authority.Ruling
		permitted bool
		refused   bool
	}{
		"the same":    {asked, true, false},
		"never":       {authority.Ruling{Decision: authority.DecideNever, Rule: "no", Persons: 1}, false, true},
		"two persons": {authority.Ruling{Decision: authority.DecideAsk, Rule: "ask", Persons: 2}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			i := opened(t, models.SeverityCritical)
			mustGive(t, &i, &incident.Expedite{}, models.RoleAnalyst)
			mustGive(t, &i, &incident.Isolate{Hostname: "PC-1", Reason: "r"}, models.RoleAnalyst)
			ruled(t, &i, asked)
			mustGive(t, &i, &incident.Approve{Approval: "a1"}, models.RoleAdmin)
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
