package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// product is an EDR that remembers what it was connected with.
type product struct {
	edr.Connection
	with   models.EDRCredentials
	shared models.EDR
	check  error
}

func (p *product) Check(context.Context) error { return p.check }

func (*product) Capabilities() models.Capabilities { return models.Capabilities{Queues: true} }

// clinic is a database with clients' EDRs and what connects to them.
type clinic struct {
	*testing.T
	*activities.Connections
	made  int
	check error
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	s, _ := storetest.New(t)
	c := &clinic{T: t}
	c.Connections = &activities.Connections{
		Store: s, Box: newBox(t),
		Connect: func(with models.EDRCredentials) (edr.Connection, error) {
			c.made++
			if with.Values["client_secret"] == "rejected" {
				return nil, errors.New("field client_secret")
			}
			return &product{with: with, check: c.check}, nil
		},
		Shared: func(e models.EDR) (edr.Connection, error) {
			if e.Vendor != "crowdstrike" {
				return nil, &models.VendorError{Class: models.Config, Vendor: e.Vendor, Op: "connect"}
			}
			return &product{shared: e, check: c.check}, nil
		},
	}
	return c
}

func newBox(t *testing.T) *secrets.Box {
	t.Helper()
	keyset, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	box, err := secrets.OpenBox(keyset, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func (c *clinic) client(e models.EDR) uuid.UUID {
	c.Helper()
	made, err := c.Store.CreateClient(c.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), EDR: e}, uuid.NewString(), "")
	if err != nil {
		c.Fatal(err)
	}
	return made.ID
}

func (c *clinic) set(client uuid.UUID, vendor, secret string, at time.Time, change func(*store.EDRCredentials)) {
	c.Helper()
	with := models.EDRCredentials{Vendor: vendor, BaseURL: "https://api.example.com", Values: map[string]string{"client_secret": secret}}
	plain, err := json.Marshal(with)
	if err != nil {
		c.Fatal(err)
	}
	sealed, err := c.Box.Seal(secrets.EDRRow(client, vendor), plain)
	if err != nil {
		c.Fatal(err)
	}
	row := store.EDRCredentials{Vendor: vendor, BaseURL: with.BaseURL, Sealed: sealed.Data, DataKey: sealed.Key, UpdatedAt: at, UpdatedBy: uuid.New()}
	if change != nil {
		change(&row)
	}
	err = c.Store.ForClient(c.Context(), store.SOC, client, func(tx *store.Tx) error { return tx.SetEDRCredentials(row, models.EDR{Vendor: vendor}) })
	if err != nil {
		c.Fatal(err)
	}
}

func (c *clinic) of(client uuid.UUID) (activities.ClientEDR, *product) {
	c.Helper()
	conn, err := c.Of(c.Context(), client)
	if err != nil {
		c.Fatal(err)
	}
	p, ok := conn.Connection.(*product)
	if !ok {
		c.Fatalf("connected to %T", conn.Connection)
	}
	return conn, p
}

var entered = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestAConnectionLastsAsLongAsItsCredentials(t *testing.T) {
	c := newClinic(t)
	acme, other := c.client(models.EDR{}), c.client(models.EDR{})
	c.set(acme, "mde", "one", entered, nil)
	c.set(other, "mde", "other", entered, nil)
	conn, first := c.of(acme)
	if conn.Vendor != "mde" || !conn.SetAt.Equal(entered) || first.with.Values["client_secret"] != "one" || first.with.BaseURL != "https://api.example.com" {
		t.Errorf("connected as %s, set at %s", conn.Vendor, conn.SetAt)
	}
	if _, again := c.of(acme); again != first || c.made != 1 {
		t.Errorf("connected %d times", c.made)
	}
	if _, theirs := c.of(other); theirs.with.Values["client_secret"] != "other" {
		t.Error("connected with another client's credentials")
	}
	c.set(acme, "mde", "two", entered.Add(time.Second), nil)
	if _, next := c.of(acme); next.with.Values["client_secret"] != "two" {
		t.Error("still connected with the old credentials")
	}
	c.set(acme, "trend", "three", entered.Add(time.Second), nil)
	if conn, next := c.of(acme); conn.Vendor != "trend" || next.with.Vendor != "trend" {
		t.Error("still connected with the old vendor")
	}
}

func TestClientsOfTheProvidersAccount(t *testing.T) {
	c := newClinic(t)
	acme := c.client(models.EDR{Vendor: "crowdstrike", Tenant: "cid-1"})
	if conn, p := c.of(acme); p.shared.Tenant != "cid-1" || !conn.SetAt.IsZero() || c.made != 0 {
		t.Errorf("connected to %+v", p.shared)
	}
	c.set(acme, "crowdstrike", "own", entered, nil)
	if _, p := c.of(acme); p.with.Values["client_secret"] != "own" {
		t.Error("the client's own credentials are not used")
	}
	_, err := c.Of(t.Context(), c.client(models.EDR{}))
	if models.KindOf(err) != models.NotFound {
		t.Errorf("a client without an EDR: %v", err)
	}
	_, err = c.Of(t.Context(), c.client(models.EDR{Vendor: "mde"}))
	if models.ClassOf(err) != models.Config {
		t.Errorf("a client without credentials: %v", err)
	}
}

func TestCredentialsThatCannotBeUsed(t *testing.T) {
	c := newClinic(t)
	donor := c.client(models.EDR{})
	c.set(donor, "mde", "donor's", entered, nil)
	var stolen store.EDRCredentials
	err := c.Store.ForClient(t.Context(), store.Worker, donor, func(tx *store.Tx) (err error) {
		stolen, err = tx.EDRCredentials("mde")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*store.EDRCredentials){
		"address changed":  func(r *store.EDRCredentials) { r.BaseURL = "https://evil.example" },
		"of another row":   func(r *store.EDRCredentials) { r.Sealed, r.DataKey = stolen.Sealed, stolen.DataKey },
		"data key changed": func(r *store.EDRCredentials) { r.DataKey = stolen.DataKey },
		"bits changed":     func(r *store.EDRCredentials) { r.Sealed[20] ^= 1 },
	} {
		client := c.client(models.EDR{})
		c.set(client, "mde", "secret-value", entered, change)
		before := c.made
		_, err := c.Of(t.Context(), client)
		if models.ClassOf(err) != models.Config || c.made != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	rejected := c.client(models.EDR{})
	c.set(rejected, "mde", "rejected", entered, nil)
	if _, err := c.Of(t.Context(), rejected); models.ClassOf(err) != models.Config {
		t.Errorf("rejected by the product: %v", err)
	}
	client := c.client(models.EDR{})
	c.set(client, "mde", "x", entered, nil)
	c.Box = nil
	if _, err := c.Of(t.Context(), client); models.ClassOf(err) != models.Config {
		t.Errorf("without a keyset: %v", err)
	}
}

func TestCheckConnectionAnswersWhateverTheVendorSays(t *testing.T) {
	for name, c := range map[string]struct {
		check error
		want  models.EDRCheck
	}{
		"fine":      {nil, models.EDRCheck{Vendor: "mde", OK: true, SetAt: entered, Capabilities: models.Capabilities{Queues: true}}},
		"rejected":  {failed(models.Config), models.EDRCheck{Vendor: "mde", Problem: "config", SetAt: entered, Capabilities: models.Capabilities{Queues: true}}},
		"throttled": {failed(models.Throttled), models.EDRCheck{Vendor: "mde", Problem: "throttled", SetAt: entered, Capabilities: models.Capabilities{Queues: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			clinic := newClinic(t)
			clinic.check = c.check
			acme := clinic.client(models.EDR{})
			clinic.set(acme, "mde", "one", entered, nil)
			got, err := (&activities.Containment{EDR: clinic.Of}).CheckConnection(t.Context(), acme)
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	c := newClinic(t)
	a := &activities.Containment{EDR: c.Of}
	unset := c.client(models.EDR{Vendor: "mde"})
	for name, client := range map[string]uuid.UUID{"no credentials": unset, "no EDR": c.client(models.EDR{})} {
		if got, err := a.CheckConnection(t.Context(), client); err != nil || got.OK || got.Problem != "config" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := a.CheckConnection(ctx, unset); err == nil {
		t.Errorf("the database did not answer, and the check did: %s", fmt.Sprint(got))
	}
}
