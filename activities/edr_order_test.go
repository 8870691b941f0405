package activities_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

const worstDelay = 2 * time.Minute

// device is an EDR of one device that does what it is told at once, and keeps a journal. While its answers are lost,
// what it is told waits until it lands.
type device struct {
	edr.Connection
	state   models.HostState
	lost    bool
	mute    bool // its state cannot be read
	waiting []models.HostState
	journal []string
}

func (*device) Capabilities() models.Capabilities { return models.Capabilities{Underway: true} }

func (d *device) State(_ context.Context, id string) (models.Host, error) {
	if d.mute {
		return models.Host{}, &models.VendorError{Class: models.Transient, Vendor: "crowdstrike", Op: "read host"}
	}
	return models.Host{ID: id, Hostname: "pc-1", State: d.state, Online: true}, nil
}

func (d *device) Isolate(context.Context, string, string) (string, error) {
	return d.act("isolate", models.HostIsolated)
}

func (d *device) Release(context.Context, string, string) (string, error) {
	return d.act("release", models.HostNormal)
}

func (d *device) act(name string, to models.HostState) (string, error) {
	d.journal = append(d.journal, name)
	if d.lost {
		d.waiting = append(d.waiting, to)
		return "", &models.VendorError{Class: models.Ambiguous, Vendor: "crowdstrike", Op: name}
	}
	d.state = to
	return "", nil
}

// land lets what was told while answers were lost take effect.
func (d *device) land() {
	for _, s := range d.waiting {
		d.state = s
	}
	d.waiting = nil
}

// orders sends actions to one device.
type orders struct {
	*bench
	conn *device
	env  *testsuite.TestActivityEnvironment
	work *activities.Containment
}

func newOrders(t *testing.T) *orders {
	o := &orders{bench: newBench(t), conn: &device{state: models.HostNormal}}
	o.env, o.work = o.containment(o.conn)
	o.work.WorstDelay = worstDelay
	return o
}

// openAnother opens another incident of the client.
func (o *orders) openAnother() (ref models.Reference) {
	o.Helper()
	o.in(store.SOC, func(tx *store.Tx) error {
		by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
		i, err := tx.OpenIncident(incident.Opened{ClientID: o.effect.ClientID, Title: "t", Severity: models.SeverityLow}, by, o.now, uuid.NewString(), "f")
		ref = i.Reference
		return err
	})
	return ref
}

func order(ref models.Reference, client uuid.UUID, d models.Desired, generation int) activities.EndpointInput {
	purpose := notify.PurposeIsolate
	if d == models.DesiredReleased {
		purpose = notify.PurposeRelease
	}
	return activities.EndpointInput{Hostname: "PC-1", AgentID: "aid-1", Desired: d, Effect: notify.EndpointEffect(ref, client, purpose, "e1", generation, 1)}
}

// send sends an action and returns what became of it, or the type of the error.
func (o *orders) send(in activities.EndpointInput) (sent activities.ActionSent, failure string) {
	o.Helper()
	value, err := o.env.ExecuteActivity(o.work.SendAction, in)
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &app):
		return sent, app.Type()
	case err != nil:
		o.Fatal(err)
	}
	if err := value.Get(&sent); err != nil {
		o.Fatal(err)
	}
	return sent, ""
}

func (o *orders) want(in activities.EndpointInput, failure string, journal ...string) activities.ActionSent {
	o.Helper()
	sent, got := o.send(in)
	if got != failure {
		o.Errorf("%s: failed as %q, want %q", in.Effect.Key, got, failure)
	}
	if !slices.Equal(o.conn.journal, journal) {
		o.Errorf("after %s the EDR was told %v, want %v", in.Effect.Key, o.conn.journal, journal)
	}
	return sent
}

func TestAReleaseWaitsUntilAnIsolationWhoseAnswerWasLostCanComeThroughNoMore(t *testing.T) {
	o := newOrders(t)
	isolate := order(o.effect.Incident, o.effect.ClientID, models.DesiredIsolated, 1)
	release := order(o.effect.Incident, o.effect.ClientID, models.DesiredReleased, 2)
	o.conn.lost = true
	o.want(isolate, string(models.Ambiguous), "isolate")
	o.conn.lost = false
	o.want(release, activities.ErrSettling, "isolate")
	o.later(settle + worstDelay - time.Second)
	o.want(release, activities.ErrSettling, "isolate")
	o.conn.land() // late, but within the worst delay
	o.later(time.Second)
	o.want(release, "", "isolate", "release")
	if o.conn.state != models.HostNormal {
		t.Errorf("the device ends %s", o.conn.state)
	}
	o.want(isolate, "", "isolate", "release") // a late repeat finds it done
}

func TestAReleaseThatALateIsolationOvertookIsKnownToBeUndone(t *testing.T) {
	o := newOrders(t)
	o.want(order(o.effect.Incident, o.effect.ClientID, models.DesiredIsolated, 1), "", "isolate")
	release := order(o.effect.Incident, o.effect.ClientID, models.DesiredReleased, 2)
	o.want(release, "", "isolate", "release")
	o.conn.state = models.HostIsolated // an earlier attempt at the isolation has landed
	confirm := func() string {
		_, err := o.env.ExecuteActivity(o.work.ConfirmState, release)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) {
			t.Fatalf("confirmed: %v", err)
		}
		return app.Type()
	}
	if got := confirm(); got != activities.ErrPending {
		t.Errorf("at once: %q, want that it may still be under way", got)
	}
	o.later(settle + worstDelay + time.Second)
	if got := confirm(); got != activities.ErrOvertaken {
		t.Errorf("later: %q, want that it was overtaken", got)
	}
}

func TestAnIsolationThatNeverCameThroughIsNeverTriedAgainAfterItsRelease(t *testing.T) {
	o := newOrders(t)
	isolate := order(o.effect.Incident, o.effect.ClientID, models.DesiredIsolated, 1)
	o.conn.lost = true
	o.want(isolate, string(models.Ambiguous), "isolate")
	o.conn.lost = false
	o.later(settle + worstDelay)
	o.want(order(o.effect.Incident, o.effect.ClientID, models.DesiredReleased, 2), "", "isolate") // it is normal already
	o.want(isolate, string(models.Rejected), "isolate")
}

func TestADeviceIsReleasedWhenTheLastIncidentLetsGo(t *testing.T) {
	o := newOrders(t)
	client, first, second := o.effect.ClientID, o.effect.Incident, o.openAnother()
	o.want(order(first, client, models.DesiredIsolated, 1), "", "isolate")
	o.want(order(second, client, models.DesiredIsolated, 1), "", "isolate") // it is isolated already
	sent := o.want(order(first, client, models.DesiredReleased, 2), "", "isolate")
	if want := []incident.EndpointID{{Incident: second, Endpoint: "e1"}}; !sent.Held || !slices.Equal(sent.Others, want) {
		t.Errorf("the first release: %+v, want it held by %v", sent, want)
	}
	again := o.want(order(first, client, models.DesiredReleased, 2), "", "isolate") // its first answer was lost
	if !again.Held || !slices.Equal(again.Others, sent.Others) {
		t.Errorf("the same release again: %+v, want %+v", again, sent)
	}
	if sent := o.want(order(second, client, models.DesiredReleased, 2), "", "isolate", "release"); sent.Held {
		t.Errorf("the last release: %+v", sent)
	}
}

// Nothing was sent, and nothing is to be: the ledger does not show the isolation as planned for ever.
func TestAnIsolationThatFailedIsTakenBackByItsRelease(t *testing.T) {
	o := newOrders(t)
	client, ref := o.effect.ClientID, o.effect.Incident
	isolate := order(ref, client, models.DesiredIsolated, 1)
	o.conn.mute = true
	o.want(isolate, string(models.Transient))
	o.conn.mute = false
	o.want(order(ref, client, models.DesiredReleased, 2), "")
	o.in(store.Worker, func(tx *store.Tx) error {
		row, err := tx.Effect(isolate.Effect.Key)
		if err == nil && row.State != notify.EffectCanceled {
			t.Errorf("the isolation is %s", row.State)
		}
		return err
	})
}

func TestALookAtAReleasedDeviceNamesTheIncidentThatIsolatedItSince(t *testing.T) {
	o := newOrders(t)
	client, first, second := o.effect.ClientID, o.effect.Incident, o.openAnother()
	o.want(order(first, client, models.DesiredIsolated, 1), "", "isolate")
	released := order(first, client, models.DesiredReleased, 2)
	o.want(released, "", "isolate", "release")
	look := func() (seen activities.EndpointReport) {
		value, err := o.env.ExecuteActivity(o.work.ReadState, released)
		if err == nil {
			err = value.Get(&seen)
		}
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	o.conn.state = models.HostIsolated // in the vendor's console
	if seen := look(); seen.State != models.HostIsolated || len(seen.Others) > 0 {
		t.Errorf("isolated by nobody of ours: %+v", seen)
	}
	o.conn.state = models.HostNormal
	o.want(order(second, client, models.DesiredIsolated, 1), "", "isolate", "release", "isolate")
	if seen, want := look(), []incident.EndpointID{{Incident: second, Endpoint: "e1"}}; !slices.Equal(seen.Others, want) {
		t.Errorf("isolated for %s: %+v", second, seen)
	}
}

func TestAReleaseForAllTellsWhomItConcerns(t *testing.T) {
	o := newOrders(t)
	client, first, second := o.effect.ClientID, o.effect.Incident, o.openAnother()
	o.want(order(first, client, models.DesiredIsolated, 1), "", "isolate")
	o.want(order(second, client, models.DesiredIsolated, 1), "", "isolate")
	release := order(first, client, models.DesiredReleased, 2)
	release.ForAll = true
	o.want(release, "", "isolate", "release")
	sent := o.want(release, "", "isolate", "release") // the first answer was lost
	if want := []incident.EndpointID{{Incident: second, Endpoint: "e1"}}; sent.Held || !slices.Equal(sent.Others, want) {
		t.Errorf("the release: %+v, want it sent and %v told", sent, want)
	}
}

func TestAnIsolationWaitsForTheReleaseOfAnotherIncidentWhoseAnswerWasLost(t *testing.T) {
	o := newOrders(t)
	client, first, second := o.effect.ClientID, o.effect.Incident, o.openAnother()
	o.want(order(first, client, models.DesiredIsolated, 1), "", "isolate")
	o.conn.lost = true
	o.want(order(first, client, models.DesiredReleased, 2), string(models.Ambiguous), "isolate", "release")
	o.conn.lost = false
	isolate := order(second, client, models.DesiredIsolated, 1)
	o.want(isolate, activities.ErrSettling, "isolate", "release")
	o.conn.land()
	o.later(settle + worstDelay)
	o.want(isolate, "", "isolate", "release", "isolate")
	if o.conn.state != models.HostIsolated {
		t.Errorf("the device ends %s", o.conn.state)
	}
}

func TestAProcessThatWasStoppedDoesNotActLate(t *testing.T) {
	b, v := newBench(t), &vendor{}
	_, err := b.ledger.Once(unaware{b.Context()}, b.effect, v.act())
	if err == nil || !strings.Contains(err.Error(), "too_late") {
		t.Errorf("got %v, want an error that says that it is too late", err)
	}
	b.happened(v, 0)
	b.attempt(v, "") // the attempt was taken back
	b.happened(v, 1)
}

// unaware is a context whose deadline has passed and that does not know it yet, as in a process that goes on after it
// was stopped.
type unaware struct{ context.Context }

func (unaware) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }

// reimaged is an EDR that has another device of the name, and the one that was known no more.
type reimaged struct{ edr.Connection }

func (reimaged) Capabilities() models.Capabilities { return models.Capabilities{Underway: true} }

func (reimaged) State(_ context.Context, id string) (models.Host, error) {
	if id == "new" {
		return models.Host{ID: "new", Hostname: "pc-1", State: models.HostNormal}, nil
	}
	return models.Host{}, &models.VendorError{Class: models.Rejected, Vendor: "mde", Op: "read host", Code: "not_found"}
}

func (reimaged) Find(context.Context, string) ([]models.Host, error) {
	return []models.Host{{ID: "new", Hostname: "pc-1", State: models.HostNormal}}, nil
}

func TestADeviceSetUpAnewUnderItsOldNameIsNamedAndNotTouched(t *testing.T) {
	b := newBench(t)
	env, work := b.containment(reimaged{}) // it panics when it is told to isolate
	in := order(b.effect.Incident, b.effect.ClientID, models.DesiredIsolated, 1)
	for name, activity := range map[string]any{"isolate": work.SendAction, "read": work.ReadState} {
		_, err := env.ExecuteActivity(activity, in)
		if got := activities.SuccessorIn(err); got != "new" {
			t.Errorf("%s: successor %q of %v, want the device that has the name now", name, got, err)
		}
	}
}
