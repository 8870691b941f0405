package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// acceptsRisks is an incident that the client closes over a threat that is still present, after they accepted the risk
// of a recommendation.
func acceptsRisks(t *testing.T, ofAdvice, ofClosure time.Duration) *story {
	s := newStory(t)
	confirm := &incident.ConfirmClosure{Reason: "it is retired soon"}
	if ofClosure > 0 {
		confirm.ExpiresAt = s.env.Now().Add(ofClosure)
	}
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, &incident.Recommend{Text: "Retire the server."})
	s.after(3*time.Minute, models.RoleResponder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.RiskAccepted, Reason: "soon", ExpiresAt: s.env.Now().Add(ofAdvice)})
	s.after(4*time.Minute, models.RoleResponder, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"})
	s.after(5*time.Minute, models.RoleAnalyst, &incident.Verify{Gone: false, Note: "it beacons on"})
	s.after(6*time.Minute, models.RoleAdmin, confirm)
	return s
}

// wakes lets the incident go on from the stored state of a run that came to its end, as the reconciler does.
func wakes(t *testing.T, ended *story, later time.Duration) *story {
	after := newStory(t)
	after.events, after.commands, after.requests, after.opened = ended.events, ended.commands, ended.requests+100, ended.opened
	after.env.SetStartTime(ended.env.Now().Add(later))
	return after
}

func TestAnExpiredRiskBringsTheQuestionBackAfterClosure(t *testing.T) {
	s := acceptsRisks(t, 300*day, 200*day)
	ended := s.run(models.SeverityHigh)
	if ended.Phase != incident.PhaseClosed || ended.Closure.Outcome != incident.OutcomeRiskAccepted || s.mailsFor(notify.PurposeRisk) != 0 {
		t.Fatalf("closed as %+v, %d mails about risks", ended.Closure, s.mailsFor(notify.PurposeRisk))
	}
	due := ended.RiskDue()
	if s.env.Now().After(due) {
		t.Fatalf("the workflow lived until %s, and needs no day after the feedback", s.env.Now())
	}

	asked := wakes(t, s, due.Sub(s.env.Now()))
	open := asked.at(10 * day)
	again := due.Add(100 * day)
	asked.after(11*day, models.RoleResponder, &incident.SettleRisk{Outcome: incident.RiskAccepted, Reason: "not yet", ExpiresAt: again})
	now := asked.runFrom(incident.State{Incident: ended.Carried(), Policy: models.DefaultPolicy()})
	if open.OpenTask(incident.TaskRiskExpired, incident.RiskOfClosure) == nil || open.Turn != incident.TurnClient || open.Closure.Review.Asked != 4 {
		t.Errorf("after ten days: tasks %+v, turn %s, review %+v", open.Tasks, open.Turn, open.Closure.Review)
	}
	if got := len(numbers(asked.mails, ciso, notify.PurposeRisk)); got != 4 { // at the expiry, and every three days
		t.Errorf("asked %d times in eleven days, want 4", got)
	}
	if now.OpenTask(incident.TaskRiskExpired, "") != nil || now.Turn != incident.TurnNone || !now.RiskDue().Equal(again) {
		t.Errorf("settled: tasks %+v, turn %s, due %s", now.Tasks, now.Turn, now.RiskDue())
	}
	if asked.env.Now().Sub(due) > 12*day {
		t.Errorf("the run went on until %s", asked.env.Now())
	}

	last := wakes(t, asked, again.Sub(asked.env.Now()))
	last.after(day, models.RoleAdmin, &incident.SettleRisk{Outcome: incident.Mitigated, Evidence: "retired"})
	last.after(2*day, models.RoleResponder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.NotApplicable, Reason: "retired"})
	done := last.runFrom(incident.State{Incident: now.Carried(), Policy: models.DefaultPolicy()})
	if !done.RiskDue().IsZero() || last.env.Now().Sub(again) > 3*day || done.OpenTask(incident.TaskRiskExpired, "") != nil {
		t.Errorf("due %s, the run went on until %s, tasks %+v", done.RiskDue(), last.env.Now(), done.Tasks)
	}
}

// A risk whose time is over while its incident is open, or while the workflow waits for the client's feedback.
func TestAnExpiredRiskIsAskedAboutByTheRunThatLives(t *testing.T) {
	s := acceptsRisks(t, day, 2*day)
	s.after(3*day, models.RoleResponder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "retired"})
	s.after(3*day+time.Minute, models.RoleResponder, &incident.SettleRisk{Outcome: incident.Mitigated, Evidence: "retired"})
	i := s.run(models.SeverityHigh)
	if got := len(numbers(s.mails, first, notify.PurposeRisk)); got != 2 || i.OpenTask(incident.TaskRiskExpired, "") != nil {
		t.Errorf("asked %d times about two risks, tasks %+v", got, i.Tasks)
	}
	if i.Closure.Settled == nil || i.Recommendations[0].Outcome != incident.Mitigated {
		t.Errorf("settled %+v and %+v", i.Closure, i.Recommendations)
	}
}

// The question waits for the client's business hours, as reminders do.
func TestAnExpiredRiskIsAskedAboutInBusinessHours(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(friday) // the afternoon
	s.directory.Zone, s.directory.Business = berlin(t), models.OfficeHours()
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, &incident.Recommend{Text: "Retire the server."})
	s.after(3*time.Minute, models.RoleResponder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.RiskAccepted, Reason: "soon", ExpiresAt: friday.Add(day)})
	s.after(4*day, models.RoleResponder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "retired"})
	s.closes(5 * day)
	s.run(models.SeverityMedium)
	if got := s.told(first); !slices.Contains(got, "Mon 08:00 risk 1") {
		t.Errorf("mailed %v, want the question on Monday morning", got)
	}
}

// A confirmation that was sent before it had a date is an accepted risk for a year.
func TestAConfirmationWithoutADateStillCloses(t *testing.T) {
	s := acceptsRisks(t, 300*day, 0)
	i := s.run(models.SeverityHigh)
	if i.Phase != incident.PhaseClosed || i.Closure.Outcome != incident.OutcomeRiskAccepted || i.Closure.ExpiresAt.Sub(i.ClosedAt) != incident.MaxRiskAcceptance {
		t.Errorf("phase %s, closure %+v", i.Phase, i.Closure)
	}
}
