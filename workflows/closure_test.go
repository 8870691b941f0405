package workflows_test

import (
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// awayUntil begins a story with a device that was isolated and released, which the client asks to close; the device is
// away, and the EDR confirms the release at a moment.
func awayUntil(t *testing.T, back time.Duration) *story {
	s := isolatedStory(t)
	began := s.env.Now()
	s.confirm = func(in activities.EndpointInput) (*activities.EndpointReport, error) {
		if in.Desired == models.DesiredIsolated || s.env.Now().Sub(began) >= back {
			return nil, nil
		}
		return nil, temporal.NewApplicationErrorWithOptions("the EDR has not confirmed yet", activities.ErrPending,
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Minute, Details: []any{activities.EndpointReport{AgentID: in.AgentID, State: models.HostIsolated}}})
	}
	s.after(time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
	s.after(2*time.Hour, models.RoleResponder, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "cleaned"})
	return s
}

var acceptsAdware = &incident.ConfirmClosure{Reason: "adware only"}

// The client confirms over adware, and the SOC finds ransomware before the device is back. Its return closes nothing.
func TestAConfirmationFromBeforeTheNewsDoesNotCloseWhenTheDeviceIsBack(t *testing.T) {
	for name, c := range map[string]struct {
		news     func(*story)
		mails    int // that the threat is still present
		revision int
	}{
		"a material revision":         {func(s *story) { s.raises(5*time.Hour, models.SeverityHigh) }, 1, 2},
		"the threat is still present": {func(s *story) { s.after(5*time.Hour, models.RoleAnalyst, &incident.Verify{Note: "ransomware"}) }, 2, 1},
		"one after the other, at once": {func(s *story) {
			s.raises(5*time.Hour, models.SeverityHigh)
			s.after(5*time.Hour+2*time.Minute, models.RoleAnalyst, &incident.Verify{Note: "ransomware"})
		}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := awayUntil(t, 10*time.Hour)
			s.after(3*time.Hour, models.RoleAnalyst, &incident.Verify{Note: "adware"})
			s.after(4*time.Hour, models.RoleAdmin, acceptsAdware)
			confirmed := s.at(4*time.Hour + time.Minute)
			c.news(s)
			asked, back := s.at(6*time.Hour), s.at(12*time.Hour)
			s.after(13*time.Hour, models.RoleAdmin, &incident.ConfirmClosure{Reason: "it is scrapped"})
			i := s.run(models.SeverityMedium)
			if !confirmed.Closure.Confirmed || confirmed.Phase != incident.PhaseClosureRequested {
				t.Fatalf("before the news: %s, %+v", confirmed.Phase, confirmed.Closure)
			}
			if k := asked.Closure; k.Confirmed || k.Outcome != incident.OutcomeResolved || k.Reason != "" || asked.Turn != incident.TurnClient {
				t.Errorf("after the news: %+v, turn %s", k, asked.Turn)
			}
			if back.Phase != incident.PhaseClosureRequested || back.Containment() != incident.ContainmentReleased {
				t.Errorf("when the device is back: phase %s, containment %s", back.Phase, back.Containment())
			}
			if got := len(numbers(s.mails, first, notify.PurposeStillPresent)); got != c.mails || i.Revision != c.revision {
				t.Errorf("mailed %d times that it is still present, want %d; revision %d", got, c.mails, i.Revision)
			}
			if i.Phase != incident.PhaseClosed || i.Closure.Reason != "it is scrapped" || i.Closure.Outcome != incident.OutcomeRiskAccepted {
				t.Errorf("in the end: phase %s, %+v", i.Phase, i.Closure)
			}
		})
	}
}

// What was asked for before the confirmation counts again when the SOC finds the threat gone after all.
func TestAThreatThatIsGoneAfterTheNewsClosesAsItWasAskedFor(t *testing.T) {
	s := awayUntil(t, 10*time.Hour)
	s.after(3*time.Hour, models.RoleAdmin, acceptsAdware)
	s.raises(4*time.Hour, models.SeverityHigh)
	s.after(12*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "wiped"})
	i := s.run(models.SeverityMedium)
	requested := s.events[0].Data
	for _, e := range s.events {
		if d, is := e.Data.(*incident.ClosureRequested); is {
			requested = d
		}
	}
	if k := i.Closure; i.Phase != incident.PhaseClosed || k.Outcome != incident.OutcomeResolved || k.Decision != requested.(*incident.ClosureRequested).Decision ||
		!k.ExpiresAt.IsZero() || k.ConfirmedBy != nil {
		t.Errorf("phase %s, %+v", i.Phase, k)
	}
}

// The SOC said that the threat is gone, and then that it is back.
func TestAThreatThatCameBackIsVerifiedAnew(t *testing.T) {
	s := newStory(t)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet"})
	s.raises(2*time.Hour, models.SeverityHigh)
	s.after(3*time.Hour, models.RoleResponder, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "cleaned"})
	during := s.at(4 * time.Hour)
	s.after(5*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: true, Note: "quiet again"})
	i := s.run(models.SeverityMedium)
	if during.Phase != incident.PhaseClosureRequested || during.Turn != incident.TurnSOC || i.Phase != incident.PhaseClosed {
		t.Errorf("when the client asked: phase %s, turn %s; in the end %s", during.Phase, during.Turn, i.Phase)
	}
}
