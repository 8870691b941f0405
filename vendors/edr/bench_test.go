package edr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators"
	simedr "github.com/watchfire-mdr/watchfire/simulators/edr"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// traits tell the suite what it has to know of a product beside its capabilities.
type traits struct {
	isolate, release string // the simulator's operations that set a device in motion
	hidesPending     bool   // an action under way cannot be seen in the state of the device
	silent           bool   // any answer in the 200s is acceptance, also one that says nothing
	wholeFleet       bool   // it lists all devices in one answer, those that are gone with a mark
}

func traitsOf(vendor string) traits {
	return map[string]traits{
		"carbonblack": {isolate: "device_action", release: "device_action", hidesPending: true, silent: true},
		"cortex":      {isolate: "isolate", release: "release", wholeFleet: true},
		"crowdstrike": {isolate: "device_action", release: "device_action"},
		"elastic":     {isolate: "isolate", release: "release"},
		"mde":         {isolate: "isolate", release: "unisolate"},
		"sentinelone": {isolate: "disconnect", release: "connect"},
		"sophos":      {isolate: "change_isolation", release: "change_isolation"},
		"trend":       {isolate: "isolate_endpoint", release: "restore_endpoint"},
	}[vendor]
}

// bench is one product before its simulator, which is both the stage and the oracle.
type bench struct {
	*testing.T
	traits
	product edr.Product
	base    string
	conn    edr.Connection
	hosts   *atomic.Int32
}

// overProducts runs a scenario with every product, each with simulators of its own.
func overProducts(t *testing.T, scenario func(*bench)) {
	t.Helper()
	for _, p := range edr.Products() {
		t.Run(p.Vendor, func(t *testing.T) {
			t.Parallel()
			b := &bench{T: t, traits: traitsOf(p.Vendor), product: p, hosts: &atomic.Int32{}}
			b.base = startSimulators(t).EDR[p.Vendor]
			b.conn = b.connect(b.credentials(), 0)
			scenario(b)
			b.wantCleanHands()
		})
	}
}

func startSimulators(t *testing.T) *simulators.Running {
	t.Helper()
	r, err := simulators.Start(t.Context(), simulators.Options{
		TwilioAccountSID: "AC0123456789abcdef0123456789abcdef", TwilioAuthToken: "unused-token", TwilioFrom: "+18005550100",
		SendGridAPIKey: "unused-key", SendGridFrom: "soc@watchfire.example",
		CrowdStrikeClientID: "unused-client", CrowdStrikeClientSecret: "unused-secret", Pace: 0.02,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func (b *bench) credentials() models.EDRCredentials {
	c := models.EDRCredentials{Vendor: b.product.Vendor, BaseURL: b.base, Values: simedr.Credentials(b.product.Vendor)}
	for _, f := range b.product.Fields {
		if f.Name == "login_url" {
			c.Values[f.Name] = b.base
		}
	}
	return c
}

func (b *bench) connect(c models.EDRCredentials, timeout time.Duration) edr.Connection {
	b.Helper()
	conn, err := b.product.New(c, nil, timeout)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// steer tells the simulator how to behave and reports whether it would.
func (b *bench) steer(path string, body any) bool {
	b.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.base+"/_sim/"+path, bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

func (b *bench) persona(hostname, persona string) {
	b.Helper()
	if !b.steer("personas", map[string]any{"personas": map[string]string{hostname: persona}}) {
		b.Fatalf("the simulator has no persona %q", persona)
	}
}

func (b *bench) fault(rule stage.Rule) {
	b.Helper()
	if !b.steer("faults", map[string]any{"clear": true, "rules": []stage.Rule{rule}}) {
		b.Fatalf("the simulator rejects %+v", rule)
	}
}

func (b *bench) noFault() {
	b.Helper()
	b.steer("faults", map[string]any{"clear": true})
}

func (b *bench) read(path string, into any) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.base+"/_sim/"+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		b.Fatal(err)
	}
}

// newHost returns the name of a device nobody has heard of, which behaves like the persona.
func (b *bench) newHost(persona string) string {
	b.Helper()
	name := "PC-" + strings.Repeat("x", int(b.hosts.Add(1)))
	b.persona(name, persona)
	return name
}

// find returns the one device of a name.
func (b *bench) find(hostname string) models.Host {
	b.Helper()
	hosts, err := b.conn.Find(b.Context(), hostname)
	if err != nil || len(hosts) != 1 || !strings.EqualFold(hosts[0].Hostname, hostname) || hosts[0].ID == "" {
		b.Fatalf("found %+v, %v", hosts, err)
	}
	return hosts[0]
}

func (b *bench) newDevice(persona string) models.Host {
	b.Helper()
	return b.find(b.newHost(persona))
}

func (b *bench) state(id string) models.Host {
	b.Helper()
	host, err := b.conn.State(b.Context(), id)
	if err != nil {
		b.Fatalf("state: %v", err)
	}
	if host.ID != id {
		b.Fatalf("asked for %q, told of %q", id, host.ID)
	}
	return host
}

func (b *bench) wantState(id string, want models.HostState) {
	b.Helper()
	if got := b.state(id).State; got != want {
		b.Errorf("the state is %q, want %q", got, want)
	}
}

// wantPending checks that an action under way is seen, where the vendor shows it.
func (b *bench) wantPending(id string, want models.HostState) {
	b.Helper()
	if !b.hidesPending {
		b.wantState(id, want)
	}
}

// until waits for a state.
func (b *bench) until(id string, want models.HostState) {
	b.Helper()
	b.eventually(string(want), func() bool { return b.state(id).State == want })
}

func (b *bench) eventually(what string, done func() bool) {
	b.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); {
		if time.Now().After(deadline) {
			b.Fatalf("never came: %s", what)
		}
		select {
		case <-b.Context().Done():
			b.Fatal("cancelled")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// actions lists the actions that took effect on a device, the oldest first.
func (b *bench) actions(hostname string) (actions []string) {
	b.Helper()
	var e struct {
		Commands []struct{ Action, Hostname string }
	}
	b.read("effects", &e)
	for _, c := range e.Commands {
		if strings.EqualFold(c.Hostname, hostname) {
			actions = append(actions, map[string]string{"contain": "isolate", "lift_containment": "release"}[c.Action])
			if last := len(actions) - 1; actions[last] == "" {
				actions[last] = c.Action
			}
		}
	}
	return actions
}

func (b *bench) wantActions(hostname string, want ...string) {
	b.Helper()
	if got := b.actions(hostname); !slices.Equal(got, want) {
		b.Errorf("%s was asked to %v, want %v", hostname, got, want)
	}
}

func (b *bench) journal() (entries []stage.Entry) {
	b.Helper()
	b.read("journal", &entries)
	return entries
}

// wantCleanHands checks that nothing was asked that the vendor does not serve, and that no secret
// travelled where it is kept.
func (b *bench) wantCleanHands() {
	b.Helper()
	var e struct {
		Violations []struct{ Op, Reason string }
	}
	b.read("effects", &e)
	for _, v := range e.Violations {
		b.Errorf("violation: %s: %s", v.Op, v.Reason)
	}
	raw, err := json.Marshal(b.journal())
	if err != nil {
		b.Fatal(err)
	}
	for _, secret := range b.secrets() {
		if bytes.Contains(raw, []byte(secret)) {
			b.Error("a secret is in the journal")
		}
	}
}

func (b *bench) secrets() (values []string) {
	for _, f := range b.product.Fields {
		if f.Secret {
			values = append(values, b.credentials().Values[f.Name])
		}
	}
	return values
}

// failed returns the error as the vendor error it has to be, with nothing secret in it.
func (b *bench) failed(err error) *models.VendorError {
	b.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		b.Fatalf("not a vendor error: %v", err)
	}
	if v.Vendor != b.product.Vendor || v.Op == "" {
		b.Errorf("the error is of %q, %q", v.Vendor, v.Op)
	}
	for _, secret := range b.secrets() {
		if strings.Contains(v.Error(), secret) || strings.Contains(v.Code, secret) {
			b.Error("a secret is in an error")
		}
	}
	return v
}

func (b *bench) wantClass(err error, want ...models.VendorClass) {
	b.Helper()
	if err == nil {
		b.Errorf("it went well, want %v", want)
		return
	}
	if v := b.failed(err); !slices.Contains(want, v.Class) {
		b.Errorf("got %v, want %v", v, want)
	}
}

// direction is one of the two actions, so that every scenario is played both ways.
type direction struct {
	name, op             string
	act                  func(ctx context.Context, id, comment string) (string, error)
	before, during, done models.HostState
}

func (b *bench) directions() []direction {
	return []direction{
		{"isolate", b.isolate, b.conn.Isolate, models.HostNormal, models.HostIsolating, models.HostIsolated},
		{"release", b.release, b.conn.Release, models.HostIsolated, models.HostReleasing, models.HostNormal},
	}
}

// ready returns a device to which the direction can be applied, and the actions it has had so far.
func (b *bench) ready(d direction) (host models.Host, before []string) {
	b.Helper()
	host = b.newDevice("online")
	if d.before == models.HostIsolated {
		if _, err := b.conn.Isolate(b.Context(), host.ID, "SI-1042-0007"); err != nil {
			b.Fatal(err)
		}
		b.until(host.ID, models.HostIsolated)
	}
	return host, b.actions(host.Hostname)
}
