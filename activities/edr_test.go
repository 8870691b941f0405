package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// sensor is an EDR of one device, which does what it is told only while it works.
type sensor struct {
	edr.Connection
	state   models.HostState
	actions map[string]models.ActionState
	broken  bool
}

func (*sensor) Capabilities() models.Capabilities { return models.Capabilities{Actions: true} }

func (s *sensor) State(_ context.Context, id string) (models.Host, error) {
	return models.Host{ID: id, Hostname: "pc-1.corp.example", State: s.state, Online: true}, nil
}

func (s *sensor) Isolate(context.Context, string, string) (string, error) {
	id := fmt.Sprintf("action-%d", len(s.actions)+1)
	s.actions[id] = models.ActionSucceeded
	if s.broken {
		s.actions[id] = models.ActionFailed
	} else {
		s.state = models.HostIsolated
	}
	return id, nil
}

func (s *sensor) Action(_ context.Context, _, action string) (models.ActionState, error) {
	return s.actions[action], nil
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

func TestAFailedActionTellsHowTheDeviceStandsAndMakesRoomForAnother(t *testing.T) {
	b, conn := newBench(t), &sensor{state: models.HostNormal, actions: map[string]models.ActionState{}, broken: true}
	env, work := b.containment(conn)
	action := func(n int) (activities.EndpointReport, error) {
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
	if seen, err := action(1); err == nil || seen.State != models.HostNormal || seen.AgentID != "aid-1" || seen.Hostname != "pc-1.corp.example" || !seen.TagsUnknown {
		t.Errorf("a failed action: seen %+v, error %v", seen, err)
	}
	conn.broken = false
	if seen, err := action(2); err != nil || seen.State != models.HostIsolated {
		t.Errorf("the next action: seen %+v, error %v", seen, err)
	}
	if len(conn.actions) != 2 {
		t.Errorf("%d actions, want 2", len(conn.actions))
	}
}

// hiding is an EDR that shows a device as it last was, whatever is under way: an action reaches it when it is next
// heard of.
type hiding struct {
	edr.Connection
	can     models.Capabilities
	state   models.HostState
	seen    time.Time
	actions []string
}

func (h *hiding) Capabilities() models.Capabilities { return h.can }

func (h *hiding) State(_ context.Context, id string) (models.Host, error) {
	return models.Host{ID: id, Hostname: "pc-1", State: h.state, SeenAt: h.seen}, nil
}

func (h *hiding) Isolate(context.Context, string, string) (string, error) {
	h.actions = append(h.actions, "isolate")
	return "", nil
}

func (h *hiding) Release(context.Context, string, string) (string, error) {
	h.actions = append(h.actions, "release")
	return "", nil
}

func TestAnEDRThatHidesActionsIsAlwaysSentTheOppositeAndBelievedWhenTheDeviceWasHeardOf(t *testing.T) {
	b := newBench(t)
	conn := &hiding{state: models.HostNormal, seen: b.now.Add(-time.Hour), can: models.Capabilities{Queues: true}}
	env, work := b.containment(conn)
	input := func(n int, p notify.Purpose, d models.Desired) activities.EndpointInput {
		return activities.EndpointInput{Hostname: "PC-1", AgentID: "aid-1", Desired: d, Effect: notify.EndpointEffect(b.effect.Incident, b.effect.ClientID, p, "e1", n, 1)}
	}
	isolate, release := input(1, notify.PurposeIsolate, models.DesiredIsolated), input(2, notify.PurposeRelease, models.DesiredReleased)
	for _, in := range []activities.EndpointInput{isolate, release, release} {
		if _, err := env.ExecuteActivity(work.SendAction, in); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"isolate", "release"}; !slices.Equal(conn.actions, want) {
		t.Fatalf("sent %v, want %v", conn.actions, want)
	}
	_, err := env.ExecuteActivity(work.ConfirmState, release)
	if seen, waits := activities.ReportIn(err); !waits || seen.State != models.HostReleasing {
		t.Errorf("a device that was not heard of: %+v, %v", seen, err)
	}
	conn.seen = time.Now().Add(time.Minute)
	if _, err := env.ExecuteActivity(work.ConfirmState, release); err != nil {
		t.Errorf("a device that was heard of: %v", err)
	}
	// A state is believed at once when no opposite action was ever sent, and nothing is sent now.
	conn.seen, conn.actions = b.now.Add(-time.Hour), nil
	other := input(3, notify.PurposeRelease, models.DesiredReleased)
	other.Effect = notify.EndpointEffect(b.effect.Incident, b.effect.ClientID, notify.PurposeRelease, "e2", 3, 1)
	if _, err := env.ExecuteActivity(work.SendAction, other); err != nil || len(conn.actions) != 0 {
		t.Errorf("sent %v, %v", conn.actions, err)
	}
	if _, err := env.ExecuteActivity(work.ConfirmState, other); err != nil {
		t.Error(err)
	}
}

// fleet is an EDR with these devices, which are found by their names.
type fleet struct {
	edr.Connection
	hosts []models.Host
}

func (fleet) Capabilities() models.Capabilities {
	return models.Capabilities{Classes: true, Controllers: true}
}

func (f fleet) Find(_ context.Context, hostname string) (found []models.Host, err error) {
	for _, h := range f.hosts {
		if strings.HasPrefix(strings.ToLower(h.Hostname+"."), strings.ToLower(hostname+".")) {
			found = append(found, h)
		}
	}
	return found, nil
}

func TestADeviceIsFoundOrTheCandidatesAreNamed(t *testing.T) {
	b := newBench(t)
	env, work := b.containment(fleet{hosts: []models.Host{
		{ID: "1", Hostname: "pc-7.corp.example", Class: models.ClassServer}, {ID: "2", Hostname: "PC-7.lab.example"}, {ID: "3", Hostname: "PC-8"},
	}})
	for asked, want := range map[string]string{
		"PC-7.corp.example": "", "pc-8": "", "pc-9": "0 devices have this name",
		"pc-7":              `0 devices have this name, which may mean "PC-7.lab.example" (agent 2), "pc-7.corp.example" (agent 1)`,
		"pc-8.corp.example": `0 devices have this name, which may mean "PC-8" (agent 3)`,
	} {
		value, err := env.ExecuteActivity(work.FindDevice, activities.EndpointInput{Hostname: asked, Effect: b.effect})
		if want == "" {
			var seen activities.EndpointReport
			if err != nil || value.Get(&seen) != nil || !strings.EqualFold(seen.Hostname, asked) || seen.MayBeController {
				t.Errorf("%s: %+v, %v", asked, seen, err)
			}
			continue
		}
		var failed *temporal.ApplicationError
		if !errors.As(err, &failed) || failed.Type() != string(models.Rejected) || !failed.NonRetryable() || failed.Message() != "mde: resolve host: rejected code "+want {
			t.Errorf("%s: %v", asked, err)
		}
	}
}
