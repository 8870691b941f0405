package edr

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

func newTestFleet(t *testing.T) *fleet {
	t.Helper()
	s := stage.New(t.Context(), 0.005, nil)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return newFleet(s, fleetPersonas())
}

func (f *fleet) is(t *testing.T, hostname, persona string) {
	t.Helper()
	if err := f.personas.Set(stage.PersonaSteering{Personas: map[string]string{hostname: persona}}); err != nil {
		t.Fatal(err)
	}
	f.personasChanged([]string{hostname})
}

func (f *fleet) await(t *testing.T, id, state string) {
	t.Helper()
	eventually(t, "it is "+state, func() bool { return f.byID("t", id).state == state })
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func (f *fleet) wantOrder(t *testing.T, id, what, refusal string) *fleetAction {
	t.Helper()
	a, got := f.order("t", id, what, false)
	if got != refusal {
		t.Fatalf("%s: refusal %q, want %q", what, got, refusal)
	}
	return a
}

func TestFleetNamesItsDevices(t *testing.T) {
	f := newTestFleet(t)
	f.is(t, "TWIN", "duplicate")
	f.is(t, "GONE", "missing")
	one := f.named("t", "PC-1")
	if len(one) != 1 || one[0].class != "workstation" || one[0].state != hostNormal || !one[0].online() {
		t.Fatalf("%+v", one)
	}
	if again := f.named("t", "pc-1"); len(again) != 1 || again[0].id != one[0].id || again[0].hostname != "PC-1" {
		t.Errorf("%+v", again)
	}
	if len(f.named("t", "TWIN")) != 2 || len(f.named("t", "GONE")) != 0 || len(f.named("t", "")) != 0 {
		t.Error("duplicate, missing or no name")
	}
	if f.named("other", "PC-1")[0].id == one[0].id || f.byID("other", one[0].id) != nil || len(f.all("t")) != 3 {
		t.Error("tenants share devices")
	}
	f.exactNames = true
	if len(f.named("t", "Pc-1")) != 0 {
		t.Error("the name is written otherwise")
	}
}

func TestFleetCarriesOutOrders(t *testing.T) {
	f := newTestFleet(t)
	id := f.named("t", "PC-1")[0].id
	a := f.wantOrder(t, id, orderIsolate, "")
	if again := f.wantOrder(t, id, orderIsolate, refusedAlready); again == nil || again.id != a.id {
		t.Errorf("%+v", again)
	}
	f.await(t, id, hostIsolated)
	f.wantOrder(t, id, orderIsolate, refusedAlready)
	if got := f.action("t", a.id); got == nil || got.state != actionSucceeded || f.action("other", a.id) != nil {
		t.Errorf("%+v", got)
	}
	f.wantOrder(t, id, orderRelease, "")
	f.await(t, id, hostNormal)
	f.wantOrder(t, "nobody", orderIsolate, refusedUnknown)
	f.is(t, "PC-1", "protected")
	f.wantOrder(t, id, orderIsolate, refusedProtected)

	hosts, commands := f.report()
	host := hosts[0]
	var states []string
	for _, c := range host.Changes {
		states = append(states, c.State)
	}
	if !slices.Equal(states, []string{"normal", "isolating", "isolated", "releasing", "normal"}) {
		t.Errorf("changes %v", states)
	}
	var effective []bool
	for _, o := range host.Orders {
		effective = append(effective, o.Effective)
	}
	if !slices.Equal(effective, []bool{true, false, false, true, false}) || len(commands) != 2 || commands[0].Action != "isolate" || commands[1].Action != "release" {
		t.Errorf("orders %v, commands %+v", host.Orders, commands)
	}
}

func TestFleetPersonas(t *testing.T) {
	f := newTestFleet(t)
	f.is(t, "AWAY", "offline")
	away := f.named("t", "AWAY")[0]
	f.wantOrder(t, away.id, orderIsolate, "")
	other := f.named("t", "HERE")[0].id
	f.wantOrder(t, other, orderIsolate, "")
	f.await(t, other, hostIsolated)
	if h := f.byID("t", away.id); h.state != hostIsolating || h.online() || !h.lastSeen.Equal(h.first) {
		t.Errorf("%+v", h)
	}
	f.is(t, "AWAY", "online")
	f.await(t, away.id, hostIsolated)

	f.is(t, "OLD", "already_isolated")
	if old := f.named("t", "OLD")[0]; old.state != hostIsolated {
		t.Errorf("%+v", old)
	}
	f.is(t, "ODD", "fails")
	odd := f.named("t", "ODD")[0].id
	a := f.wantOrder(t, odd, orderIsolate, "")
	f.await(t, odd, hostNormal)
	if got := f.action("t", a.id); got.state != actionFailed || got.cancelled {
		t.Errorf("%+v", got)
	}
	for persona, class := range map[string]string{"server": "server", "domain_controller": "domain_controller", "tagged": "workstation"} {
		f.is(t, persona, persona)
		if h := f.named("t", persona)[0]; h.class != class || (len(h.tags) > 0) != (persona == "tagged") {
			t.Errorf("%s: %+v", persona, h)
		}
	}
}

func TestFleetTurnsBack(t *testing.T) {
	f := newTestFleet(t)
	f.is(t, "PC-1", "offline")
	id := f.named("t", "PC-1")[0].id
	first := f.wantOrder(t, id, orderIsolate, "")
	if !f.cancel("t", first.id) || f.cancel("t", first.id) || f.cancel("t", "nothing") || f.byID("t", id).state != hostNormal {
		t.Errorf("%+v", f.byID("t", id))
	}
	second := f.wantOrder(t, id, orderIsolate, "")
	f.wantOrder(t, id, orderRelease, "") // overtakes
	if got := f.action("t", second.id); got.state != actionFailed || !got.cancelled {
		t.Errorf("%+v", got)
	}
	f.is(t, "PC-1", "online")
	f.await(t, id, hostNormal)
}

// A duplicate that was taken with force waits until the device has come out of the state.
func TestFleetRunsForcedDuplicatesLater(t *testing.T) {
	f := newTestFleet(t)
	id := f.named("t", "PC-1")[0].id
	f.wantOrder(t, id, orderIsolate, "")
	duplicate, refusal := f.order("t", id, orderIsolate, true)
	cancelled, _ := f.order("t", id, orderIsolate, true)
	if refusal != "" || duplicate == nil || !f.cancel("t", cancelled.id) {
		t.Fatalf("%+v, %q", duplicate, refusal)
	}
	f.await(t, id, hostIsolated)
	if got := f.action("t", duplicate.id); got.state != actionPending {
		t.Errorf("%+v", got)
	}
	f.wantOrder(t, id, orderRelease, "")
	eventually(t, "the duplicate runs", func() bool { return f.action("t", duplicate.id).state == actionSucceeded })
	if _, commands := f.report(); len(commands) != 3 || f.byID("t", id).state != hostIsolated {
		t.Errorf("%+v", commands)
	}
}
