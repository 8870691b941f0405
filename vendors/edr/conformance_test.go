package edr_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// The suite that every product passes: a client may rely on this with any EDR.

func TestADeviceIsIsolatedAndReleased(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("online")
		if host.State != models.HostNormal {
			b.Errorf("found %+v", host)
		}
		for _, d := range b.directions() {
			action, err := d.act(b.Context(), host.ID, "SI-1042-0007")
			if err != nil {
				b.Fatalf("%s: %v", d.name, err)
			}
			b.wantAction(host.ID, action, models.ActionPending, models.ActionSucceeded)
			b.until(host.ID, d.done)
			b.wantAction(host.ID, action, models.ActionSucceeded)
			if now := b.state(host.ID); !now.Online || now.Hostname != host.Hostname {
				b.Errorf("%+v", now)
			}
		}
		b.wantActions(host.Hostname, "isolate", "release")
	})
}

// wantAction checks what is said of an action, or that a vendor without ids says so.
func (b *bench) wantAction(id, action string, want ...models.ActionState) {
	b.Helper()
	if !b.conn.Capabilities().Actions {
		if action != "" {
			b.Errorf("an action %q without the capability", action)
		}
		_, err := b.conn.Action(b.Context(), id, "1")
		b.wantClass(err, models.Rejected)
		return
	}
	got, err := b.conn.Action(b.Context(), id, action)
	if err != nil || !slices.Contains(want, got) {
		b.Errorf("action %q is %q, %v, want %v", action, got, err, want)
	}
}

func TestASlowSensorIsWaitedFor(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("slow")
		for _, d := range b.directions() {
			action, err := d.act(b.Context(), host.ID, "")
			if err != nil {
				b.Fatalf("%s: %v", d.name, err)
			}
			b.wantPending(host.ID, d.during)
			b.wantAction(host.ID, action, models.ActionPending)
			b.until(host.ID, d.done)
		}
		b.wantActions(host.Hostname, "isolate", "release")
	})
}

func TestAnOfflineDeviceIsIsolatedWhenItComesBack(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("offline")
		action, err := b.conn.Isolate(b.Context(), host.ID, "SI-1042-0007")
		if !b.conn.Capabilities().Queues {
			b.wantClass(err, models.Rejected)
			b.wantActions(host.Hostname)
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		b.wantPending(host.ID, models.HostIsolating)
		b.wantAction(host.ID, action, models.ActionPending)
		if b.state(host.ID).Online {
			b.Error("it is offline")
		}
		// Asked again, it is the same action, or one the vendor does not name again.
		if again, err := b.conn.Isolate(b.Context(), host.ID, "SI-1042-0007"); err != nil || again != action && again != "" {
			b.Errorf("again: %q, %v, want %q", again, err, action)
		}
		b.persona(host.Hostname, "online")
		b.until(host.ID, models.HostIsolated)
		b.wantActions(host.Hostname, "isolate")
	})
}

func TestWhatIsDoneAlreadyIsNotDoneAgain(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("already_isolated")
		if host.State != models.HostIsolated {
			b.Errorf("found %+v", host)
		}
		if _, err := b.conn.Isolate(b.Context(), host.ID, ""); err != nil {
			b.Errorf("isolate: %v", err)
		}
		b.wantState(host.ID, models.HostIsolated)
		b.wantActions(host.Hostname)
		if _, err := b.conn.Release(b.Context(), host.ID, ""); err != nil {
			b.Fatalf("release: %v", err)
		}
		b.until(host.ID, models.HostNormal)
		if _, err := b.conn.Release(b.Context(), host.ID, ""); err != nil {
			b.Errorf("release again: %v", err)
		}
		b.wantState(host.ID, models.HostNormal)
		b.wantActions(host.Hostname, "release")
	})
}

// The opposite of what is under way is taken later, or it wins: it is never mixed with it.
func TestOppositeActionsDoNotMix(t *testing.T) {
	overProducts(t, func(b *bench) {
		for _, persona := range []string{"offline", "slow"} {
			host := b.newDevice(persona)
			if _, err := b.conn.Isolate(b.Context(), host.ID, ""); err != nil {
				if !b.conn.Capabilities().Queues {
					continue
				}
				b.Fatal(err)
			}
			want := models.HostNormal
			if _, err := b.conn.Release(b.Context(), host.ID, ""); err != nil {
				b.wantClass(err, models.Throttled)
				want = models.HostIsolated
			}
			b.persona(host.Hostname, "online")
			b.until(host.ID, want)
		}
	})
}

func TestAFailureOfTheSensorIsSeen(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("fails")
		action, err := b.conn.Isolate(b.Context(), host.ID, "")
		if err != nil {
			b.Fatal(err)
		}
		if b.conn.Capabilities().Actions {
			b.eventually("the failure", func() bool {
				state, err := b.conn.Action(b.Context(), host.ID, action)
				return err == nil && state == models.ActionFailed
			})
		}
		b.until(host.ID, models.HostNormal)
	})
}

func TestDevicesAreFoundByTheirExactName(t *testing.T) {
	overProducts(t, func(b *bench) {
		twin := b.newHost("duplicate")
		hosts, err := b.conn.Find(b.Context(), twin)
		if err != nil || len(hosts) != 2 || hosts[0].ID == hosts[1].ID {
			b.Fatalf("two agents of one name: %+v, %v", hosts, err)
		}
		if _, err := b.conn.Isolate(b.Context(), hosts[0].ID, ""); err != nil {
			b.Fatal(err)
		}
		b.until(hosts[0].ID, models.HostIsolated)
		b.wantState(hosts[1].ID, models.HostNormal)

		host := b.newDevice("online")
		b.newDevice("online") // its name begins with the other's
		if again := b.find(host.Hostname); again.ID != host.ID {
			b.Errorf("%+v", again)
		}
		for _, name := range []string{host.Hostname[:len(host.Hostname)-1] + "?", "PC-' OR 1 eq 1", `PC-\"`, "PC-名前"} {
			hosts, err := b.conn.Find(b.Context(), name)
			for _, h := range hosts {
				if !strings.EqualFold(h.Hostname, name) {
					b.Errorf("%q finds %+v", name, h)
				}
			}
			if err != nil {
				b.wantClass(err, models.Rejected)
			}
		}
		if hosts, err := b.conn.Find(b.Context(), b.newHost("missing")); err != nil || len(hosts) != 0 {
			b.Errorf("missing: %+v, %v", hosts, err)
		}
		_, err = b.conn.State(b.Context(), stranger(host.ID))
		b.wantClass(err, models.Rejected)
		if v := (*models.VendorError)(nil); errors.As(err, &v) && v.Code != "no_such_host" {
			b.Errorf("code %q", v.Code)
		}
		_, err = b.conn.Isolate(b.Context(), stranger(host.ID), "")
		b.wantClass(err, models.Rejected)
	})
}

// stranger is an id of the same form that nobody has.
func stranger(id string) string {
	last := map[bool]string{true: "2", false: "1"}[strings.HasSuffix(id, "1")]
	return id[:len(id)-1] + last
}

func TestAProtectedDeviceIsRejected(t *testing.T) {
	overProducts(t, func(b *bench) {
		host := b.newDevice("protected")
		_, err := b.conn.Isolate(b.Context(), host.ID, "")
		b.wantClass(err, models.Rejected)
		b.wantState(host.ID, models.HostNormal)
		b.wantActions(host.Hostname)
	})
}

func TestWhatIsSaidOfADevice(t *testing.T) {
	overProducts(t, func(b *bench) {
		can := b.conn.Capabilities()
		for persona, want := range map[string][]models.AssetClass{
			"online":            {models.ClassWorkstation},
			"server":            {models.ClassServer},
			"domain_controller": {models.ClassDomainController, models.ClassServer},
		} {
			host := b.newDevice(persona)
			for _, h := range []models.Host{host, b.state(host.ID)} {
				if can.Classes && !slices.Contains(want, h.Class) || !can.Classes && h.Class != "" {
					b.Errorf("%s: class %q, capabilities %+v", persona, h.Class, can)
				}
				if len(h.Tags) != 0 {
					b.Errorf("%s: tags %v", persona, h.Tags)
				}
			}
		}
		tags := b.newDevice("tagged").Tags
		if can.Tags != slices.Contains(tags, "do-not-isolate") {
			b.Errorf("tags %v, capabilities %+v", tags, can)
		}
	})
}

func TestNothingLooseIsEverSent(t *testing.T) {
	overProducts(t, func(b *bench) {
		before := len(b.journal())
		for _, loose := range []string{"", "*", "?", "PC-*", "a\nb", "\x00", " ", strings.Repeat("x", 5000)} {
			_, err := b.conn.Find(b.Context(), loose)
			b.wantClass(err, models.Rejected)
		}
		for _, loose := range []string{"", "*", "a,b", "a b", "../x", "a/b", "a?b", "a\nb", `a","b`, strings.Repeat("1", 5000)} {
			_, err := b.conn.State(b.Context(), loose)
			b.wantClass(err, models.Rejected)
			_, err = b.conn.Isolate(b.Context(), loose, "")
			b.wantClass(err, models.Rejected)
			_, err = b.conn.Release(b.Context(), loose, "")
			b.wantClass(err, models.Rejected)
			_, err = b.conn.Action(b.Context(), loose, loose)
			b.wantClass(err, models.Rejected)
		}
		if after := len(b.journal()); after != before {
			b.Errorf("%d requests were made", after-before)
		}
	})
}

func TestCheckTellsGoodCredentialsFromBadOnes(t *testing.T) {
	overProducts(t, func(b *bench) {
		if err := b.conn.Check(b.Context()); err != nil {
			b.Errorf("good credentials: %v", err)
		}
		for _, f := range b.product.Fields {
			if !f.Secret {
				continue
			}
			c := b.credentials()
			last := map[bool]string{true: "B", false: "A"}[strings.HasSuffix(strings.TrimRight(c.Values[f.Name], "="), "A")]
			c.Values[f.Name] = c.Values[f.Name][:len(c.Values[f.Name])-2] + last + last
			b.wantClass(b.connect(c, 0).Check(b.Context()), models.Config)
		}
	})
}

// An error in credentials names the field with the wrong value, and an optional value may be left out.
func TestAWrongValueIsPointedAt(t *testing.T) {
	for _, p := range edr.Products() {
		b := &bench{T: t, product: p, base: "http://127.0.0.1:1"}
		for _, f := range p.Fields {
			c := b.credentials()
			delete(c.Values, f.Name)
			_, err := p.New(c, nil, 0)
			if f.Optional {
				if err != nil {
					t.Errorf("%s without %s: %v", p.Vendor, f.Name, err)
				}
				continue
			}
			wantField(t, err, "/values/"+f.Name, p.Vendor)
		}
		for _, base := range []string{"::", "http://vendor.example", "https://user:pass@vendor.example"} {
			c := b.credentials()
			delete(c.Values, "login_url")
			c.BaseURL = base
			_, err := p.New(c, nil, 0)
			wantField(t, err, "/base_url", p.Vendor+" at "+base)
		}
	}
}

func wantField(t *testing.T, err error, field, what string) {
	t.Helper()
	var e *models.Error
	if !errors.As(err, &e) || e.Kind != models.Invalid || e.Field != field {
		t.Errorf("%s: %v, want one about %s", what, err, field)
	}
}

func TestSecretsGoNowhereElse(t *testing.T) {
	for _, p := range edr.Products() {
		b := &bench{T: t, product: p}
		for _, base := range []string{"http://vendor.example", "ftp://vendor.example", "https://user:pass@vendor.example", "https://vendor.example?a=b", "https://", "::"} {
			b.base = base
			if _, err := p.New(b.credentials(), nil, 0); err == nil {
				t.Errorf("%s: %s was accepted", p.Vendor, base)
			}
		}
		b.base = "https://vendor.example"
		if _, err := p.New(b.credentials(), nil, 0); (err == nil) != (len(p.Hosts) == 0) {
			t.Errorf("%s: another host: %v", p.Vendor, err)
		}
		if b.base = p.DefaultURL; b.base == "" {
			continue
		}
		c := b.credentials()
		delete(c.Values, "login_url")
		if _, err := p.New(c, nil, 0); err != nil {
			t.Errorf("%s: %v", p.Vendor, err)
		}
	}
}

func TestTheTable(t *testing.T) {
	products := edr.Products()
	if len(products) != 8 || !slices.IsSortedFunc(products, func(a, b edr.Product) int { return strings.Compare(a.Vendor, b.Vendor) }) {
		t.Errorf("%d products", len(products))
	}
	for _, p := range products {
		if got, ok := edr.ProductOf(p.Vendor); !ok || got.Title != p.Title || p.Title == "" || p.PerSecond <= 0 {
			t.Errorf("%+v", p)
		}
		for _, f := range p.Fields {
			if f.Help == "" {
				t.Errorf("nothing says what %s of %s is", f.Name, p.Vendor)
			}
		}
		if len(p.Fields) == 0 || !slices.ContainsFunc(p.Fields, func(f models.EDRField) bool { return f.Secret }) {
			t.Errorf("%s has no secret: %+v", p.Vendor, p.Fields)
		}
	}
	if _, ok := edr.ProductOf("acme"); ok {
		t.Error("a product nobody makes")
	}
}
