package activities_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// sensor is an EDR of one device, which does what it is told only if its orders are in order.
type sensor struct {
	edr.Connection
	state  models.HostState
	orders map[string]models.ActionState
	broken bool
}

func (*sensor) Capabilities() models.Capabilities { return models.Capabilities{Actions: true} }

func (s *sensor) State(_ context.Context, id string) (models.Host, error) {
	return models.Host{ID: id, Hostname: "pc-1.corp.example", State: s.state, Online: true}, nil
}

func (s *sensor) Isolate(context.Context, string, string) (string, error) {
	id := fmt.Sprintf("order-%d", len(s.orders)+1)
	s.orders[id] = models.ActionSucceeded
	if s.broken {
		s.orders[id] = models.ActionFailed
	} else {
		s.state = models.HostIsolated
	}
	return id, nil
}

func (s *sensor) Action(_ context.Context, _, order string) (models.ActionState, error) {
	return s.orders[order], nil
}

// containment is the activities on the bench's ledger, with an EDR.
func (b *bench) containment(conn edr.Connection) (*testsuite.TestActivityEnvironment, *activities.Containment) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	work := &activities.Containment{Effects: b.ledger, PollEvery: time.Second,
		EDR: func(context.Context, uuid.UUID) (activities.ClientEDR, error) {
			return activities.ClientEDR{Connection: conn, Vendor: "mde"}, nil
		}}
	env.RegisterActivity(work)
	return env, work
}

func TestAFailedOrderTellsHowTheDeviceStandsAndMakesRoomForAnother(t *testing.T) {
	b, conn := newBench(t), &sensor{state: models.HostNormal, orders: map[string]models.ActionState{}, broken: true}
	env, work := b.containment(conn)
	order := func(n int) (activities.EndpointReport, error) {
		in := activities.EndpointInput{Hostname: "PC-1", AgentID: "aid-1", Desired: models.DesiredIsolated,
			Effect: notify.EndpointEffect(b.effect.Incident, b.effect.ClientID, notify.PurposeIsolate, "e1", 1, n)}
		for range 2 { // the second finds it done
			if _, err := env.ExecuteActivity(work.SendAction, in); err != nil {
				t.Fatal(err)
			}
		}
		value, err := env.ExecuteActivity(work.ConfirmState, in)
		if err != nil {
			seen, _ := activities.ReportIn(err)
			return seen, err
		}
		var seen activities.EndpointReport
		return seen, value.Get(&seen)
	}
	if seen, err := order(1); err == nil || seen.State != models.HostNormal || seen.AgentID != "aid-1" || seen.Hostname != "pc-1.corp.example" || !seen.TagsUnknown {
		t.Errorf("a failed order: seen %+v, error %v", seen, err)
	}
	conn.broken = false
	if seen, err := order(2); err != nil || seen.State != models.HostIsolated {
		t.Errorf("the next order: seen %+v, error %v", seen, err)
	}
	if len(conn.orders) != 2 {
		t.Errorf("%d orders, want 2", len(conn.orders))
	}
}

// hiding is an EDR that shows a device as it last was, whatever is under way: an order reaches it when it is next heard of.
type hiding struct {
	edr.Connection
	can    models.Capabilities
	state  models.HostState
	seen   time.Time
	orders []string
}

func (h *hiding) Capabilities() models.Capabilities { return h.can }

func (h *hiding) State(_ context.Context, id string) (models.Host, error) {
	return models.Host{ID: id, Hostname: "pc-1", State: h.state, SeenAt: h.seen}, nil
}

func (h *hiding) Isolate(context.Context, string, string) (string, error) {
	h.orders = append(h.orders, "isolate")
	return "", nil
}

func (h *hiding) Release(context.Context, string, string) (string, error) {
	h.orders = append(h.orders, "release")
	return "", nil
}

func TestAnEDRThatHidesOrdersIsAlwaysGivenTheOppositeAndBelievedWhenTheDeviceWasHeardOf(t *testing.T) {
	b := newBench(t)
	conn := &hiding{state: models.HostNormal, seen: b.now.Add(-time.Hour), can: models.Capabilities{Queues: true}}
	env, work := b.containment(conn)
	wish := func(n int, p notify.Purpose, d models.Desired) activities.EndpointInput {
		return activities.EndpointInput{Hostname: "PC-1", AgentID: "aid-1", Desired: d, Effect: notify.EndpointEffect(b.effect.Incident, b.effect.ClientID, p, "e1", n, 1)}
	}
	isolate, release := wish(1, notify.PurposeIsolate, models.DesiredIsolated), wish(2, notify.PurposeRelease, models.DesiredReleased)
	for _, in := range []activities.EndpointInput{isolate, release, release} {
		if _, err := env.ExecuteActivity(work.SendAction, in); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"isolate", "release"}; !slices.Equal(conn.orders, want) {
		t.Fatalf("ordered %v, want %v", conn.orders, want)
	}
	_, err := env.ExecuteActivity(work.ConfirmState, release)
	if seen, waits := activities.ReportIn(err); !waits || seen.State != models.HostReleasing {
		t.Errorf("a device that was not heard of: %+v, %v", seen, err)
	}
	conn.seen = b.now.Add(time.Second)
	if _, err := env.ExecuteActivity(work.ConfirmState, release); err != nil {
		t.Errorf("a device that was heard of: %v", err)
	}
	// What was never ordered against is believed at once, and not ordered.
	conn.seen, conn.orders = b.now.Add(-time.Hour), nil
	other := wish(3, notify.PurposeRelease, models.DesiredReleased)
	other.Effect = notify.EndpointEffect(b.effect.Incident, b.effect.ClientID, notify.PurposeRelease, "e2", 3, 1)
	if _, err := env.ExecuteActivity(work.SendAction, other); err != nil || len(conn.orders) != 0 {
		t.Errorf("ordered %v, %v", conn.orders, err)
	}
	if _, err := env.ExecuteActivity(work.ConfirmState, other); err != nil {
		t.Error(err)
	}
}
