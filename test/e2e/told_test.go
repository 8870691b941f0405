package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// setSeverities changes what the n-th contact is told of by their own rule.
func (s *scene) setSeverities(n int, severities ...models.Severity) {
	s.t.Helper()
	c := s.contacts[n]
	err := s.operator.Put(s.t.Context(), fmt.Sprintf("/clients/%d/contacts/%s", s.number, c.ID), map[string]any{
		"name": c.Name, "language": c.Language, "order": c.Order, "email": c.Email, "phone": c.Phone, "severities": severities, "channels": c.Channels,
	}, nil)
	if err != nil {
		s.t.Fatalf("change contact %d: %v", n, err)
	}
}

// awaitMail waits until the n-th contact was mailed a text with some words, by the mailers' own records, and returns it.
func (s *scene) awaitMail(n int, words string) (text string) {
	s.t.Helper()
	s.await(fmt.Sprintf("a mail to contact %d that says %q", n, words), func() (bool, error) {
		all := s.mailTextsTo(s.contacts[n])
		at := slices.IndexFunc(all, func(mail string) bool { return strings.Contains(mail, string(s.ref)) && strings.Contains(mail, words) })
		if at >= 0 {
			text = all[at]
		}
		return at >= 0, nil
	})
	return text
}

// The incident is published as high to contacts for critical and high, and is only medium afterwards.
func TestWhoWasToldOfAnIncidentIsToldOfItsClosure(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	for n := range s.contacts {
		s.setSeverities(n, models.SeverityCritical, models.SeverityHigh)
	}
	s.open(models.SeverityHigh)
	s.send(s.analyst, &incident.Expedite{})
	for n := range s.contacts {
		s.awaitMail(n, "A security incident was published")
	}
	medium := models.SeverityMedium
	s.send(s.analyst, &incident.Assess{Severity: &medium}, &incident.Revise{Change: "It was a test tool.", Material: true},
		&incident.AskQuestion{Text: "Was this you?", Deadline: time.Now().Add(24 * time.Hour)})
	s.send(s.admin, &incident.AnswerQuestion{Question: "q1", Answer: "Yes."}, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Ours."})
	s.send(s.analyst, &incident.Verify{Gone: true, Note: "Quiet."})
	for n := range s.contacts {
		s.awaitMail(n, "There is new information")
		s.awaitMail(n, "The incident was closed as you requested. Please rate")
	}
}

// closesOverAThreat lets the client close a critical incident, which waits for no business hours, although the threat is
// still present.
func (s *scene) closesOverAThreat(until time.Time) {
	s.t.Helper()
	s.open(models.SeverityCritical)
	s.send(s.analyst, &incident.Expedite{})
	s.awaitAcknowledgement()
	s.send(s.responder, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Done."})
	s.send(s.analyst, &incident.Verify{Gone: false, Note: "It beacons on."})
	s.send(s.admin, &incident.ConfirmClosure{Reason: "It is retired soon.", ExpiresAt: until})
	s.until("the closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed })
}

// The time of the accepted risk is over when the workflow has ended.
func TestAnExpiredRiskIsAskedAboutThoughTheIncidentIsClosed(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	until := time.Now().Add(30 * time.Second).UTC().Truncate(time.Second)
	s.closesOverAThreat(until)
	if mail := s.awaitMail(0, "A risk remains"); !strings.Contains(mail, "by The admin, until "+until.In(berlin(t)).Format("2 January 2006")) {
		t.Errorf("the mail about the closure does not say who accepted the risk:\n%s", mail)
	}
	s.rate()
	c := temporal(t)
	s.await("the end of the workflow", func() (bool, error) {
		d, err := c.DescribeWorkflowExecution(t.Context(), s.ref.WorkflowID(), "")
		return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, err
	})
	ended := s.runID(c)
	recordHistory(t, "incident-risk", readHistory(t, c, s.ref.WorkflowID()))

	for n := range s.contacts {
		s.awaitMail(n, riskIsOver)
	}
	i := s.current()
	if i.Phase != incident.PhaseClosed || i.Closure.Outcome != incident.OutcomeRiskAccepted || i.Closure.Review == nil || i.Turn != incident.TurnClient ||
		i.OpenTask(incident.TaskRiskExpired, incident.RiskOfClosure) == nil {
		t.Errorf("the incident is %s, outcome %s, review %+v, turn %s, tasks %+v", i.Phase, i.Closure.Outcome, i.Closure.Review, i.Turn, i.Tasks)
	}
	if s.runID(c) == ended {
		t.Error("the question did not come from a new run")
	}
	if alarms, err := s.alarms(models.AlarmNotRunning, string(s.ref)); err != nil || len(alarms) > 0 {
		t.Errorf("the operator got the alarms %+v (%v) about what is as it should be", alarms, err)
	}
	s.send(s.responder, &incident.SettleRisk{Outcome: incident.RiskAccepted, Reason: "Not yet.", ExpiresAt: time.Now().Add(24 * time.Hour)})
	s.until("the settlement", func(i incident.Incident) bool {
		return i.Closure.Review == nil && i.Closure.Settled != nil && i.Turn == incident.TurnNone && i.OpenTask(incident.TaskRiskExpired, "") == nil
	})
	recordHistory(t, "incident-risk-asked", readHistory(t, c, s.ref.WorkflowID()))
	rows := s.decisionsOf(s.ref)
	if last := rows[len(rows)-1]; last.command != "settle-risk" || last.role != string(models.RoleResponder) {
		t.Errorf("the last decision in the database is %+v", last)
	}
	s.wantWholeLog()
}

// riskIsOver is what a mail about an expired risk says.
const riskIsOver = "The time is over for which your organisation accepted a risk"

// The workflow of the closed incident is lost before the time of the accepted risk is over, and again when the client has
// been asked. The run that goes on from the store asks, once.
func TestAnExpiredRiskIsAskedAboutWhateverBecomesOfTheWorkflow(t *testing.T) {
	for name, isReset := range byName(map[string]bool{"it is terminated": false, "it is reset, and hears nothing of what came since": true}) {
		t.Run(name, func(t *testing.T) {
			s := newClientScene(t, func(*models.Policy) {})
			s.retry = true // a busy machine may answer 202 or 503
			c := temporal(t)
			s.closesOverAThreat(time.Now().Add(45 * time.Second).UTC().Truncate(time.Second))
			opened := workflowTasks(t, c, s.ref.WorkflowID())[0]
			lose := func() {
				lost := s.runID(c)
				if isReset {
					s.reset(c, opened, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE)
				} else {
					s.terminate(s.ref.WorkflowID())
				}
				s.await("another run", func() (bool, error) { return s.runID(c) != lost, nil })
			}
			lose()
			for n := range s.contacts {
				s.awaitMail(n, riskIsOver)
			}
			if isReset {
				recordHistory(t, "incident-reset", readHistory(t, c, s.ref.WorkflowID()))
			}
			lose()
			s.send(s.responder, &incident.SettleRisk{Outcome: incident.Mitigated, Evidence: "It is retired."})
			s.until("the settlement", func(i incident.Incident) bool {
				return i.Closure.Settled != nil && i.Closure.Review == nil && i.OpenTask(incident.TaskRiskExpired, "") == nil
			})
			if n := len(eventsOf[*incident.RiskExpired](s)); n != 1 {
				t.Errorf("the client was asked %d times, want once", n)
			}
			for n, contact := range s.contacts {
				asked := slices.DeleteFunc(s.mailTextsTo(contact), func(mail string) bool { return !strings.Contains(mail, riskIsOver) })
				if len(asked) != 1 {
					t.Errorf("contact %d got %d mails about the risk, want one", n+1, len(asked))
				}
			}
			s.wantAgreement()
		})
	}
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return z
}
