package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

func TestNobodyAnsweringIsNeverTheEnd(t *testing.T) {
	s := at(t, 1)
	s.ringFor(time.Minute) // of simulated time: three seconds, in which the acknowledgement must stop the phone
	s.persona("no_answer", "voicemail", "hangs_up")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("the lead's task", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNobodyReached)) == 1 })
	if i := s.now(); i.CallRound < 2 || i.Acknowledged != nil {
		t.Errorf("the lead was asked after %d rounds, acknowledged %v", i.CallRound, i.Acknowledged)
	}
	s.until("a slow round after it", func(i incident.Incident) bool { return i.CallRound == 3 && !i.CallRoundEnded.IsZero() })
	s.wantCalls(3, 3, 3)
	s.await("the fourth round", func() (bool, error) { return s.inFlight(0), nil })
	s.give(s.responder, &incident.Acknowledge{Revision: 1})
	s.until("the calls to stop", func(i incident.Incident) bool { return !i.CallRoundEnded.IsZero() })
	calls := len(s.calls())
	s.until("the lead's task to end", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNobodyReached)) == 0 })
	s.wantOrderlyCalls()
	if last := s.calls()[calls-1]; last.Status != "canceled" {
		t.Errorf("the phone that rang when the client acknowledged ended as %s", last.Status)
	}
	s.settleQuietly()
	s.closeIt()
	if n := len(s.calls()); n != calls {
		t.Errorf("%d calls after the acknowledgement", n-calls)
	}
	for _, c := range s.calls() {
		if len(c.Keys) != 0 {
			t.Errorf("a key was pressed: %v", c.Keys)
		}
	}
}

// settleQuietly ends the recommendation of an incident without endpoints.
func (s *scene) settleQuietly() {
	s.t.Helper()
	s.give(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.NotApplicable, Reason: "There are no passwords."})
}

// ringFor lets phones ring for as long in the client's incidents that are opened until the test is over.
func (s *scene) ringFor(d time.Duration) {
	s.t.Helper()
	var c models.Client
	if err := s.analyst.Get(s.t.Context(), s.client(""), &c); err != nil {
		s.t.Fatal(err)
	}
	put := func(ctx context.Context, p models.Policy) {
		body := map[string]any{"legal_name": c.LegalName, "time_zone": c.TimeZone, "language": c.Language, "business_hours": c.Business, "contract": c.Contract, "policy": p}
		if err := s.operator.Put(ctx, s.client(""), body, nil); err != nil {
			s.t.Errorf("set the client's pace: %v", err)
		}
	}
	longer := c.Policy
	longer.RingFor = models.Duration(d)
	put(s.t.Context(), longer)
	s.t.Cleanup(func() { put(context.WithoutCancel(s.t.Context()), c.Policy) })
}
