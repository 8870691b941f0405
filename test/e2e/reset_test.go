package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// After an operator's reset of the workflow the incident goes on from what the store has: whatever was answered with
// 200 stands there, once, and so does what comes next.
func TestAResetWorkflowGoesOnFromTheStore(t *testing.T) {
	for name, excluded := range map[string][]enumspb.ResetReapplyExcludeType{
		"with what came since":    nil,
		"without what came since": {enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 0)
			s.retry = true // a busy machine may answer 202 or 503
			s.open(models.SeverityHigh)
			s.assess()
			c := temporal(t)
			points := workflowTasks(t, c, s.ref.WorkflowID())
			s.isolate()
			s.awaitContainment(incident.ContainmentContained)
			s.publish()
			s.send(s.responder, &incident.Comment{Text: "c1 before"})
			s.send(s.analyst, &incident.Comment{Text: "c2 before"}, &incident.Recommend{Text: "Before the reset."})
			kept, err := s.events()
			if err != nil {
				t.Fatal(err)
			}
			s.reset(c, points[len(points)-1], excluded...)
			comments := 2
			for n := range 4 {
				person := []stack.Person{s.responder, s.analyst}[n%2]
				status, err := person.PostAs(t.Context(), uuid.NewString(), "/incidents/"+string(s.ref)+"/comment",
					&incident.Comment{Text: fmt.Sprintf("c%d after", comments+1)}, nil)
				var rejected *stack.APIError
				switch {
				case err == nil:
					comments++
				case errors.As(err, &rejected) && rejected.Status == http.StatusServiceUnavailable:
					t.Logf("answered with %d: %s", rejected.Status, rejected.Detail)
				default:
					t.Fatal(err)
				}
				if status == http.StatusOK {
					if n := len(eventsOf[*incident.Commented](s)); n < comments {
						t.Errorf("comment %d was answered with 200 and does not stand among %d", comments, n)
					}
				}
			}
			s.await("all comments", func() (bool, error) { return len(eventsOf[*incident.Commented](s)) >= comments, nil })
			s.wantEveryCommentOnce(comments)
			now, err := s.events()
			if err != nil {
				t.Fatal(err)
			}
			for n, e := range kept {
				if fmt.Sprint(e.Type, e.At, e.Actor) != fmt.Sprint(now[n].Type, now[n].At, now[n].Actor) {
					t.Errorf("event %d was %s and is %s", e.Seq, e.Type, now[n].Type)
				}
			}
			s.wantAgreement()
			s.send(s.responder,
				&incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Reset."},
				&incident.SettleRecommendation{Recommendation: "r2", Outcome: incident.Mitigated, Evidence: "Done."},
				&incident.Release{Endpoint: "e1", Reason: "Reinstalled."})
			s.awaitContainment(incident.ContainmentReleased)
			s.closeIncident()
			s.wantWholeLog()
			s.wantActions("contain", "lift_containment")
			s.wantMails("published", "closed")
			if n := len(s.current().Recommendations); n != 2 {
				t.Errorf("%d recommendations, want 2", n)
			}
		})
	}
}

// reset takes the incident's workflow back to a workflow task, as an operator does.
func (s *scene) reset(c client.Client, point int64, excluded ...enumspb.ResetReapplyExcludeType) {
	s.t.Helper()
	_, err := c.ResetWorkflowExecution(s.t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: system.Temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: s.ref.WorkflowID()},
		Reason: "a test", WorkflowTaskFinishEventId: point, RequestId: uuid.NewString(), ResetReapplyExcludeTypes: excluded,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// workflowTasks returns the ids of the completed workflow tasks of a workflow.
func workflowTasks(t *testing.T, c client.Client, id string) (points []int64) {
	t.Helper()
	for _, e := range readHistory(t, c, id).GetEvents() {
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			points = append(points, e.GetEventId())
		}
	}
	return points
}
