package edr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// containment does with a product what an endpoint's workflow does, with a ledger of its own.
type containment struct {
	*bench
	env  *testsuite.TestActivityEnvironment
	work *activities.Containment
	ref  models.Reference
	id   uuid.UUID
}

func newContainment(b *bench) *containment {
	b.Helper()
	s, _ := storetest.New(b)
	client, err := s.CreateClient(b.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client", "")
	if err != nil {
		b.Fatal(err)
	}
	c := &containment{bench: b, id: client.ID}
	err = s.ForClient(b.Context(), store.SOC, client.ID, func(tx *store.Tx) error {
		by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
		i, err := tx.OpenIncident(incident.Opened{ClientID: client.ID, Title: "t", Severity: models.SeverityLow}, by, time.Now(), "open", "f")
		c.ref = i.Reference
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	c.work = &activities.Containment{
		Effects: activities.Effects{Store: s, Settle: time.Second}, PollEvery: time.Millisecond,
		EDR: func(context.Context, uuid.UUID) (activities.ClientEDR, error) {
			return activities.ClientEDR{Connection: b.conn, Vendor: b.product.Vendor}, nil
		},
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	c.env = suite.NewTestActivityEnvironment()
	c.env.RegisterActivity(c.work)
	return c
}

// input is the input of the activities for the nth change of the desired state of the device.
func (c *containment) input(n int, host models.Host, d models.Desired) activities.EndpointInput {
	p := map[models.Desired]notify.Purpose{models.DesiredIsolated: notify.PurposeIsolate, models.DesiredReleased: notify.PurposeRelease}[d]
	return activities.EndpointInput{Hostname: host.Hostname, AgentID: host.ID, Desired: d, Effect: notify.EndpointEffect(c.ref, c.id, p, host.Hostname, n, 1)}
}

func (c *containment) change(in activities.EndpointInput) error {
	_, err := c.env.ExecuteActivity(c.work.SendAction, in)
	return err
}

// confirm looks once whether the device is as wanted, and how it stands when it is not.
func (c *containment) confirm(in activities.EndpointInput) (models.HostState, error) {
	value, err := c.env.ExecuteActivity(c.work.ConfirmState, in)
	if err != nil {
		seen, _ := activities.ReportIn(err)
		return seen.State, err
	}
	var seen activities.EndpointReport
	return seen.State, value.Get(&seen)
}

// ends waits for the sensor to have done all it was told, and returns how the device then stands, whatever the vendor
// shows.
func (c *containment) ends(hostname string) (state models.HostState) {
	c.Helper()
	c.eventually("the sensor is done", func() bool {
		var e struct {
			Hosts []struct{ Hostname, State, Status string } // Status: CrowdStrike's word for it
		}
		c.read("effects", &e)
		for _, h := range e.Hosts {
			if strings.EqualFold(h.Hostname, hostname) {
				state = map[string]models.HostState{"normal": models.HostNormal, "isolated": models.HostIsolated, "contained": models.HostIsolated}[h.State+h.Status]
			}
		}
		return state != ""
	})
	return state
}

// A device that was offline when it was isolated, and is released before it came back, must not be called released as
// long as the isolation may still reach it; and the same the other way round.
func TestNothingIsConfirmedThatIsStillToChange(t *testing.T) {
	overProducts(t, func(b *bench) {
		if !b.conn.Capabilities().Queues {
			return
		}
		c := newContainment(b)
		for _, first := range []models.Desired{models.DesiredIsolated, models.DesiredReleased} {
			persona, second, wanted, on := "online", models.DesiredReleased, models.HostNormal, models.HostReleasing
			if first == models.DesiredReleased {
				persona, second, wanted, on = "already_isolated", models.DesiredIsolated, models.HostIsolated, models.HostIsolating
			}
			host := b.newDevice(persona)
			b.persona(host.Hostname, "offline")
			if err := c.change(c.input(1, host, first)); err != nil {
				b.Fatalf("%s: %v", first, err)
			}
			in := c.input(2, host, second)
			if err := c.change(in); err != nil { // the vendor does not take it back: that is not hidden
				b.persona(host.Hostname, "online")
				continue
			}
			state, err := c.confirm(in)
			if b.hidesPending && (err == nil || state != on) {
				b.Errorf("%s while the device is away: %q, %v", second, state, err)
			}
			b.persona(host.Hostname, "online")
			if err != nil {
				b.eventually("confirmed", func() bool { _, err := c.confirm(in); return err == nil })
			}
			if got := c.ends(host.Hostname); got != wanted {
				b.Errorf("%s was confirmed, and the device is %s", second, got)
			}
		}
	})
}

// An action whose opposite is under way is no failure: it stays the same effect, with no attempt on record, until the
// opposite is there.
func TestAReleaseWhileTheIsolationIsUnderWayIsNotRejected(t *testing.T) {
	overProducts(t, func(b *bench) {
		c := newContainment(b)
		for _, persona := range []string{"slow", "offline"} {
			if persona == "offline" && !b.conn.Capabilities().Queues {
				continue
			}
			host := b.newDevice(persona)
			for n, d := range []models.Desired{models.DesiredIsolated, models.DesiredReleased, models.DesiredIsolated} {
				in := c.input(n+1, host, d)
				if err := c.change(in); err != nil {
					c.wantWaiting(in, err)
					b.persona(host.Hostname, "online")
					b.eventually("the EDR takes it", func() bool { return c.change(in) == nil })
				}
			}
			b.persona(host.Hostname, "online")
			in := c.input(3, host, models.DesiredIsolated)
			b.eventually("confirmed", func() bool { _, err := c.confirm(in); return err == nil })
			if got := c.ends(host.Hostname); got != models.HostIsolated {
				b.Errorf("%s: it ends %s", persona, got)
			}
		}
	})
}

// wantWaiting checks that the effect of an action that was not taken is as it was planned, to be tried again soon.
func (c *containment) wantWaiting(in activities.EndpointInput, err error) {
	c.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != string(models.Throttled) || app.NextRetryDelay() <= 0 || app.NextRetryDelay() > time.Minute {
		c.Errorf("%s: %v, want it tried again within a minute", in.Effect.Key, err)
	}
	err = c.work.Effects.Store.ForClient(c.Context(), store.Worker, c.id, func(tx *store.Tx) error {
		row, err := tx.Effect(in.Effect.Key)
		if err == nil && (row.State != notify.EffectIntended || !row.AttemptAt.IsZero()) {
			c.Errorf("%s: it is %s, attempted %v, want it as planned", in.Effect.Key, row.State, row.AttemptAt)
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
}

// forgetful hides from the adapter the machine actions that were known when it was told to forget, as Defender does
// with old ones.
type forgetful struct {
	seen, forgotten map[string]bool
}

func (f *forgetful) forget() { f.forgotten = maps.Clone(f.seen) }

// RoundTrip leaves forgotten actions out of lists.
func (f *forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.URL.Path != "/api/machineactions" {
		return resp, err
	}
	var list struct {
		Value []map[string]any `json:"value"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	for _, a := range list.Value {
		f.seen[a["id"].(string)] = true
	}
	list.Value = slices.DeleteFunc(list.Value, func(a map[string]any) bool { return f.forgotten[a["id"].(string)] })
	raw, err := json.Marshal(list)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return resp, err
}

func TestAnIsolationThatTheVendorForgotIsReleased(t *testing.T) {
	product, _ := edr.ProductOf("mde")
	b := &bench{T: t, traits: traitsOf("mde"), product: product, hosts: &atomic.Int32{}, base: startSimulators(t).EDR["mde"]}
	memory := &forgetful{seen: map[string]bool{}}
	var err error
	if b.conn, err = product.New(b.credentials(), memory, 0); err != nil {
		t.Fatal(err)
	}
	c := newContainment(b)
	host := b.newDevice("online")
	for n, d := range []models.Desired{models.DesiredIsolated, models.DesiredReleased} {
		in := c.input(n+1, host, d)
		if err := c.change(in); err != nil {
			t.Fatal(err)
		}
		b.eventually("confirmed", func() bool { _, err := c.confirm(in); return err == nil })
		b.state(host.ID)
		memory.forget()
	}
	b.wantActions(host.Hostname, "isolate", "release")
	if got := c.ends(host.Hostname); got != models.HostNormal {
		t.Errorf("it was confirmed as released, and is %s", got)
	}
}
