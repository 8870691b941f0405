package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

func TestCallsGoOnWhileNobodyAnswers(t *testing.T) {
	s := newScene(t, 1)
	s.ringFor(time.Minute) // of simulated time: three seconds, in which the acknowledgement must stop the phone
	s.setPhonePersonas("no_answer", "voicemail", "hangs_up")
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.until("the lead's task", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNobodyReached)) == 1 })
	if i := s.current(); i.CallRound < 2 || i.Acknowledged != nil {
		t.Errorf("the lead's task opened after %d rounds, acknowledged %v, want two rounds and no acknowledgement", i.CallRound, i.Acknowledged)
	}
	s.until("a slow round after it", func(i incident.Incident) bool { return i.CallRound == 3 && !i.CallRoundEnded.IsZero() })
	s.wantCalls(3, 3, 3)
	s.send(s.viewer, &incident.Acknowledge{Revision: 1}) // they have read it, and have nothing in hand
	s.await("the fourth round", func() (bool, error) { return s.isBeingCalled(0), nil })
	s.send(s.responder, &incident.Comment{Text: "We are on it."})
	s.until("the calls to stop", func(i incident.Incident) bool { return !i.CallRoundEnded.IsZero() })
	calls := len(s.calls())
	if i := s.current(); i.Acknowledged.How != "comment" || len(i.ReadReceipts) != 1 {
		t.Errorf("acknowledged %+v, read receipts %+v, want the comment to acknowledge and the viewer's receipt", i.Acknowledged, i.ReadReceipts)
	}
	s.until("the lead's task to end", func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNobodyReached)) == 0 })
	s.wantOrderlyCalls()
	if last := s.calls()[calls-1]; last.Status != "canceled" {
		t.Errorf("the call that rang when the client acknowledged ended as %s, want canceled", last.Status)
	}
	s.settleRecommendation()
	s.closeIncident()
	if n := len(s.calls()); n != calls {
		t.Errorf("%d calls were placed after the acknowledgement", n-calls)
	}
	recordHistory(t, "incident-comment", readHistory(t, temporal(t), s.ref.WorkflowID()))
	for _, c := range s.calls() {
		if len(c.Keys) != 0 {
			t.Errorf("a contact pressed a key: %v", c.Keys)
		}
	}
}

// settleRecommendation settles the recommendation of an incident without endpoints.
func (s *scene) settleRecommendation() {
	s.t.Helper()
	s.send(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.NotApplicable, Reason: "There are no passwords."})
}

// ringFor sets, until the end of the test, how long phones ring about the client's new incidents. A number counts as
// engaged for as long after a call whose end nobody heard of, because a test before killed or wiped what would have
// heard: such calls are made older.
func (s *scene) ringFor(d time.Duration) {
	s.t.Helper()
	var c models.Client
	if err := s.analyst.Get(s.t.Context(), s.clientPath(""), &c); err != nil {
		s.t.Fatal(err)
	}
	put := func(ctx context.Context, p models.Policy) {
		body := map[string]any{"legal_name": c.LegalName, "time_zone": c.TimeZone, "language": c.Language, "business_hours": c.Business, "contract": c.Contract, "policy": p}
		if err := s.operator.Put(ctx, s.clientPath(""), body, nil); err != nil {
			s.t.Errorf("set the client's policy: %v", err)
		}
	}
	longer := c.Policy
	longer.RingFor = models.Duration(d)
	runSQL(s.t, system.OwnerURL(), "update effects set attempt_at = attempt_at - interval '1 hour' where kind = 'call' and outcome = '' and client_id = $1", c.ID)
	put(s.t.Context(), longer)
	s.t.Cleanup(func() { put(context.WithoutCancel(s.t.Context()), c.Policy) })
}
