package activities_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
)

// sensor is an EDR of one device, which does what it is told only if its orders are in order.
type sensor struct {
	activities.EDR
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

func TestAFailedOrderTellsHowTheDeviceStandsAndMakesRoomForAnother(t *testing.T) {
	b, edr := newBench(t), &sensor{state: models.HostNormal, orders: map[string]models.ActionState{}, broken: true}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	work := &activities.Containment{Effects: b.ledger, PollEvery: time.Second,
		EDR: func(context.Context, uuid.UUID) (activities.ClientEDR, error) {
			return activities.ClientEDR{EDR: edr, Vendor: "mde"}, nil
		}}
	env.RegisterActivity(work)
	order := func(n int) (activities.EndpointSeen, error) {
		in := activities.EndpointInput{Hostname: "PC-1", AgentID: "aid-1", Desired: models.DesiredIsolated,
			Effect: models.EndpointEffect(b.effect.Incident, b.effect.ClientID, models.PurposeIsolate, "e1", 1, n)}
		for range 2 { // the second finds it done
			if _, err := env.ExecuteActivity(work.Change, in); err != nil {
				t.Fatal(err)
			}
		}
		value, err := env.ExecuteActivity(work.Confirm, in)
		if err != nil {
			seen, _ := activities.SeenIn(err)
			return seen, err
		}
		var seen activities.EndpointSeen
		return seen, value.Get(&seen)
	}
	if seen, err := order(1); err == nil || seen.State != models.HostNormal || seen.AgentID != "aid-1" || seen.Hostname != "pc-1.corp.example" {
		t.Errorf("a failed order: seen %+v, error %v", seen, err)
	}
	edr.broken = false
	if seen, err := order(2); err != nil || seen.State != models.HostIsolated {
		t.Errorf("the next order: seen %+v, error %v", seen, err)
	}
	if len(edr.orders) != 2 {
		t.Errorf("%d orders, want 2", len(edr.orders))
	}
}
