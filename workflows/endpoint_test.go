package workflows_test

import (
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
)

// at keeps the incident as it is known some time after it was opened.
func (s *story) at(d time.Duration) *models.Incident {
	var i models.Incident
	s.env.RegisterDelayedCallback(func() { i = s.replay(s.opening(models.SeverityMedium).Incident) }, d)
	return &i
}

func TestAnOrderThatTheEDRCallsFailedIsGivenAgain(t *testing.T) {
	s := newStory(t)
	s.confirm = func(in activities.EndpointInput) (*activities.EndpointSeen, error) {
		if in.Effect.Key != "SI-1042-0007/isolate/1/e1/edr/1" {
			return nil, nil
		}
		seen := activities.EndpointSeen{AgentID: in.AgentID, State: models.HostNormal, Online: true}
		return nil, temporal.NewApplicationErrorWithOptions("mde: isolate: the EDR says that it failed", activities.ErrFailed,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{seen}})
	}
	s.after(time.Minute, models.RoleAnalyst, &models.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	during, later := s.at(30*time.Minute), s.at(70*time.Minute)
	s.containedBy(3 * time.Hour)
	s.run(models.SeverityMedium)
	if e := during.Endpoints[0]; e.Observed != models.HostNormal || e.Problem == "" || during.OpenTask(models.TaskUnconfirmed, "e1") == nil {
		t.Errorf("after the failure: %+v, tasks %+v", e, during.Tasks)
	}
	if later.Containment() != models.ContainmentContained || later.OpenTask(models.TaskUnconfirmed, "e1") != nil {
		t.Errorf("an hour later: containment %s, tasks %+v", later.Containment(), later.Tasks)
	}
	if want := []string{"SI-1042-0007/isolate/1/e1/edr/1", "SI-1042-0007/isolate/1/e1/edr/2", "SI-1042-0007/release/2/e1/edr/1"}; !slices.Equal(s.orders, want) {
		t.Errorf("orders %v", s.orders)
	}
}

func TestADeviceWhoseStateNobodyTellsIsUnknown(t *testing.T) {
	refused := temporal.NewNonRetryableApplicationError("crowdstrike: read host: config (HTTP 401)", string(models.Config), nil)
	t.Run("after it was ordered", func(t *testing.T) {
		s := newStory(t)
		mute := true
		s.confirm = func(activities.EndpointInput) (*activities.EndpointSeen, error) {
			if mute {
				return nil, refused
			}
			return nil, nil
		}
		s.after(time.Minute, models.RoleAnalyst, &models.Expedite{})
		s.after(2*time.Minute, models.RoleAnalyst, isolate)
		during := s.at(30 * time.Minute)
		s.env.RegisterDelayedCallback(func() { mute = false }, 31*time.Minute)
		later := s.at(70 * time.Minute)
		s.containedBy(3 * time.Hour)
		s.run(models.SeverityMedium)
		if e := during.Endpoints[0]; e.Observed != models.HostUnknown || during.Containment() != models.ContainmentFailed || during.OpenTask(models.TaskUnconfirmed, "e1") == nil {
			t.Errorf("while nobody tells: %+v, tasks %+v", e, during.Tasks)
		}
		if later.Containment() != models.ContainmentContained || len(slices.Compact(s.orders)) != 2 {
			t.Errorf("then: containment %s, orders %v", later.Containment(), s.orders)
		}
	})
	t.Run("long after it was confirmed", func(t *testing.T) {
		s := newStory(t)
		mute := false
		s.looks = func() error {
			if mute {
				return refused
			}
			return nil
		}
		s.after(time.Minute, models.RoleAnalyst, &models.Expedite{})
		s.after(2*time.Minute, models.RoleAnalyst, isolate)
		s.env.RegisterDelayedCallback(func() { mute = true }, 5*time.Hour)
		during := s.at(7 * time.Hour)
		s.env.RegisterDelayedCallback(func() { mute = false }, 7*time.Hour+time.Minute)
		later := s.at(9 * time.Hour)
		s.containedBy(10 * time.Hour)
		s.run(models.SeverityMedium)
		e := during.Endpoints[0]
		if e.Observed != models.HostUnknown || during.Containment() == models.ContainmentContained || during.OpenTask(models.TaskUnconfirmed, "e1") == nil {
			t.Errorf("while nobody tells: %+v, tasks %+v", e, during.Tasks)
		}
		if age := during.Endpoints[0].ObservedAt.Sub(during.Endpoints[0].Since); age > 5*time.Hour {
			t.Errorf("the EDR's last word is said to be of %s after the wish", age)
		}
		if later.Containment() != models.ContainmentContained || later.OpenTask(models.TaskUnconfirmed, "e1") != nil {
			t.Errorf("then: containment %s, tasks %+v", later.Containment(), later.Tasks)
		}
	})
}
