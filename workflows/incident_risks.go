package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// askAboutRisks asks the client what becomes of an accepted risk whose time is over, and asks again as reminders go,
// until they say it. It does so for an incident that is over, too.
func (w *incidentWorkflow) askAboutRisks(ctx workflow.Context) {
	for {
		risk, due, wanted := w.state.Incident.NextRisk(w.state.Policy)
		changed := func() bool {
			now, at, still := w.state.Incident.NextRisk(w.state.Policy)
			return still != wanted || now.ID != risk.ID || !at.Equal(due)
		}
		if !wanted {
			if workflow.Await(ctx, changed) != nil {
				return
			}
			continue
		}
		if gone, err := awaitUntil(ctx, due, "the time of accepted risk "+risk.ID+" is over", changed); err != nil {
			return
		} else if gone {
			continue
		}
		at, err := planReminder(ctx, reminderInput{ClientID: w.state.Incident.ClientID, Severity: w.state.Incident.PublishedSeverity, Due: workflow.Now(ctx)})
		if err != nil {
			return
		}
		if gone, err := awaitUntil(ctx, at, "ask about risk "+risk.ID+" in the client's business hours", changed); err != nil {
			return
		} else if !gone && w.askAboutRisk(ctx, risk) != nil {
			return
		}
	}
}

// askAboutRisk records that the client is asked about a risk, from which the message follows, and gives the SOC a task.
func (w *incidentWorkflow) askAboutRisk(ctx workflow.Context, risk incident.AcceptedRisk) error {
	number := 1
	if risk.Review != nil {
		number = risk.Review.Asked + 1
	}
	err := w.emit(ctx, models.System(), &incident.RiskExpired{Risk: risk.ID, Number: number})
	w.logIfRefused(ctx, err)
	w.openTask(ctx, incident.TaskRiskExpired, risk.ID, fmt.Sprintf("risk %s was accepted until %s; the client is asked again", risk.ID, risk.Until.UTC().Format(time.DateOnly)))
	return err
}

// hasExpiredRisk reports whether the incident must stay at work because of an accepted risk.
func (w *incidentWorkflow) hasExpiredRisk(ctx workflow.Context) bool {
	return w.state.Incident.HasExpiredRisk(workflow.Now(ctx))
}

// acceptsUntil gives a confirmation of before such had an expiry date the longest one that a risk may be accepted for.
func (w *incidentWorkflow) acceptsUntil(ctx workflow.Context, c incident.Command) {
	if confirmed, is := c.(*incident.ConfirmClosure); is && confirmed.ExpiresAt.IsZero() {
		confirmed.ExpiresAt = workflow.Now(ctx).Add(incident.MaxRiskAcceptance).UTC()
	}
}
