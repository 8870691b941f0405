package edr

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

func newTestFleet(t *testing.T) *fleet {
	t.Helper()
	s := stage.New(t.Context(), 0.005, nil)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return newFleet(s, newFleetPersonas())
}

func (f *fleet) setPersona(t *testing.T, hostname, persona string) {
	t.Helper()
	if err := f.personas.Set(stage.PersonaSteering{Personas: map[string]string{hostname: persona}}); err != nil {
		t.Fatal(err)
	}
	f.personasChanged([]string{hostname})
}

func (f *fleet) awaitState(t *testing.T, id, state string) {
	t.Helper()
	eventually(t, "it is "+state, func() bool { return f.hostByID("t", id).state == state })
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

func (f *fleet) wantAction(t *testing.T, id, what, refusal string) *fleetAction {
	t.Helper()
	a, got := f.act("t", id, what, false)
	if got != refusal {
		t.Fatalf("%s: refusal %q, want %q", what, got, refusal)
	}
	return a
}

func TestFleetNamesItsDevices(t *testing.T) {
	f := newTestFleet(t)
	f.setPersona(t, "TWIN", "duplicate")
	f.setPersona(t, "GONE", "missing")
	one := f.hostsNamed("t", "PC-1")
	if len(one) != 1 || one[0].class != "workstation" || one[0].state != hostNormal || !one[0].isOnline() {
		t.Fatalf("%+v", one)
	}
	if again := f.hostsNamed("t", "pc-1"); len(again) != 1 || again[0].id != one[0].id || again[0].hostname != "PC-1" {
		t.Errorf("%+v", again)
	}
	if len(f.hostsNamed("t", "TWIN")) != 2 || len(f.hostsNamed("t", "GONE")) != 0 || len(f.hostsNamed("t", "")) != 0 {
		t.Error("duplicate, missing or no name")
	}
	if f.hostsNamed("other", "PC-1")[0].id == one[0].id || f.hostByID("other", one[0].id) != nil || len(f.hostsOf("t")) != 3 {
		t.Error("tenants share devices")
	}
}

// hostsNamed brings the devices of a name into being and returns them.
func (f *fleet) hostsNamed(tenant, hostname string) (named []*fleetHost) {
	f.bringUp(tenant, hostname)
	for _, h := range f.hostsOf(tenant) {
		if strings.EqualFold(h.hostname, hostname) {
			named = append(named, h)
		}
	}
	return named
}

func TestFleetOfOneName(t *testing.T) {
	f := newTestFleet(t)
	for persona, want := range map[string][]string{
		"fqdn": {"fqdn.corp.example"}, "domains": {"domains.corp.example", "domains.lab.example"}, "online": {"online"},
	} {
		f.setPersona(t, persona, persona)
		for _, asked := range []string{persona, persona + ".corp.example", strings.ToUpper(persona)} {
			f.bringUp("t", asked)
		}
		var got []string
		for _, h := range f.hostsNamed("t", persona) {
			got = append(got, h.name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", persona, got)
		}
	}
	f.setPersona(t, "CROWD", "crowd")
	f.bringUp("t", "crowd.corp.example")
	crowd := f.hostsNamed("t", "crowd")
	if len(crowd) != crowdSize+1 || !crowd[0].gone || crowd[0].isOnline() || crowd[crowdSize].gone || crowd[crowdSize].name() != "crowd" {
		t.Errorf("%d devices of a crowd", len(crowd))
	}
	f = newTestFleet(t)
	f.forgets = true
	f.setPersona(t, "CROWD", "crowd")
	crowd = f.hostsNamed("t", "CROWD")
	if len(crowd) != crowdSize+1 || crowd[0].gone || crowd[0].name() != "CROWD-0" || crowd[crowdSize].name() != "CROWD" {
		t.Errorf("%d devices of a crowd with longer names", len(crowd))
	}
	if shown, _ := f.listEffects(); len(shown) != 1 || shown[0].DeviceID != crowd[crowdSize].id {
		t.Errorf("a crowd that nobody touched is shown as %d devices, want the last one", len(shown))
	}
	f.wantAction(t, crowd[0].id, kindIsolate, "")
	if shown, _ := f.listEffects(); len(shown) != 2 || shown[0].DeviceID != crowd[0].id {
		t.Errorf("a crowd of which one was isolated is shown as %d devices, want that one and the last", len(shown))
	}
}

func TestFleetCarriesOutActions(t *testing.T) {
	f := newTestFleet(t)
	id := f.hostsNamed("t", "PC-1")[0].id
	a := f.wantAction(t, id, kindIsolate, "")
	if again := f.wantAction(t, id, kindIsolate, refusedAlready); again == nil || again.id != a.id {
		t.Errorf("%+v", again)
	}
	f.awaitState(t, id, hostIsolated)
	f.wantAction(t, id, kindIsolate, refusedAlready)
	if got := f.actionByID("t", a.id); got == nil || got.state != stateSucceeded || f.actionByID("other", a.id) != nil {
		t.Errorf("%+v", got)
	}
	f.wantAction(t, id, kindRelease, "")
	f.awaitState(t, id, hostNormal)
	f.wantAction(t, "nobody", kindIsolate, refusedUnknown)
	f.setPersona(t, "PC-1", "protected")
	f.wantAction(t, id, kindIsolate, refusedProtected)

	hosts, commands := f.listEffects()
	host := hosts[0]
	var states []string
	for _, c := range host.Changes {
		states = append(states, c.State)
	}
	if !slices.Equal(states, []string{"normal", "isolating", "isolated", "releasing", "normal"}) {
		t.Errorf("changes %v", states)
	}
	var effective []bool
	for _, o := range host.Actions {
		effective = append(effective, o.Effective)
	}
	if !slices.Equal(effective, []bool{true, false, false, true, false}) || len(commands) != 2 || commands[0].Action != "isolate" || commands[1].Action != "release" {
		t.Errorf("actions %v, commands %+v", host.Actions, commands)
	}
}

func TestFleetPersonas(t *testing.T) {
	f := newTestFleet(t)
	f.setPersona(t, "AWAY", "offline")
	away := f.hostsNamed("t", "AWAY")[0]
	f.wantAction(t, away.id, kindIsolate, "")
	other := f.hostsNamed("t", "HERE")[0].id
	f.wantAction(t, other, kindIsolate, "")
	f.awaitState(t, other, hostIsolated)
	if h := f.hostByID("t", away.id); h.state != hostIsolating || h.isOnline() || !h.lastSeen.Equal(h.first) {
		t.Errorf("%+v", h)
	}
	f.setPersona(t, "AWAY", "online")
	f.awaitState(t, away.id, hostIsolated)

	f.setPersona(t, "OLD", "already_isolated")
	if old := f.hostsNamed("t", "OLD")[0]; old.state != hostIsolated {
		t.Errorf("%+v", old)
	}
	f.setPersona(t, "ODD", "fails")
	odd := f.hostsNamed("t", "ODD")[0].id
	a := f.wantAction(t, odd, kindIsolate, "")
	f.awaitState(t, odd, hostNormal)
	if got := f.actionByID("t", a.id); got.state != stateFailed || got.cancelled {
		t.Errorf("%+v", got)
	}
	for persona, class := range map[string]string{"server": "server", "domain_controller": "domain_controller", "tagged": "workstation"} {
		f.setPersona(t, persona, persona)
		if h := f.hostsNamed("t", persona)[0]; h.class != class || (len(h.tags) > 0) != (persona == "tagged") {
			t.Errorf("%s: %+v", persona, h)
		}
	}
}

func TestFleetTurnsBack(t *testing.T) {
	f := newTestFleet(t)
	f.setPersona(t, "PC-1", "offline")
	id := f.hostsNamed("t", "PC-1")[0].id
	first := f.wantAction(t, id, kindIsolate, "")
	if !f.cancelAction("t", first.id) || f.cancelAction("t", first.id) || f.cancelAction("t", "nothing") || f.hostByID("t", id).state != hostNormal {
		t.Errorf("%+v", f.hostByID("t", id))
	}
	second := f.wantAction(t, id, kindIsolate, "")
	f.wantAction(t, id, kindRelease, "") // overtakes
	if got := f.actionByID("t", second.id); got.state != stateFailed || !got.cancelled {
		t.Errorf("%+v", got)
	}
	f.setPersona(t, "PC-1", "online")
	f.awaitState(t, id, hostNormal)
}

// A duplicate that was taken with force waits until the device has come out of the state.
func TestFleetRunsForcedDuplicatesLater(t *testing.T) {
	f := newTestFleet(t)
	id := f.hostsNamed("t", "PC-1")[0].id
	f.wantAction(t, id, kindIsolate, "")
	duplicate, refusal := f.act("t", id, kindIsolate, true)
	cancelled, _ := f.act("t", id, kindIsolate, true)
	if refusal != "" || duplicate == nil || !f.cancelAction("t", cancelled.id) {
		t.Fatalf("%+v, %q", duplicate, refusal)
	}
	f.awaitState(t, id, hostIsolated)
	if got := f.actionByID("t", duplicate.id); got.state != statePending {
		t.Errorf("%+v", got)
	}
	f.wantAction(t, id, kindRelease, "")
	eventually(t, "the duplicate runs", func() bool { return f.actionByID("t", duplicate.id).state == stateSucceeded })
	if _, commands := f.listEffects(); len(commands) != 3 || f.hostByID("t", id).state != hostIsolated {
		t.Errorf("%+v", commands)
	}
}
