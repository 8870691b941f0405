package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// reminder is the next reminder to the client or, with overdue, the deadline of a question.
type reminder struct {
	at       time.Time
	question string // "" for the client's turn
	number   int
	anytime  bool // business hours do not matter
	overdue  bool
}

// remindClient reminds the client, by the policy, for as long as it is their turn or a question is open. A reminder
// that falls due outside their business hours waits for them; one whose reason is gone is not sent.
func (w *incidentWorkflow) remindClient(ctx workflow.Context) {
	for !w.state.Incident.IsOver() {
		r, wanted := w.nextReminder()
		changed := func() bool {
			now, still := w.nextReminder()
			return still != wanted || now != r
		}
		if !wanted {
			if workflow.Await(ctx, changed) != nil {
				return
			}
			continue
		}
		at := r.at
		if !r.anytime {
			in := reminderInput{ClientID: w.state.Incident.ClientID, Severity: w.state.Incident.PublishedSeverity, Due: r.at}
			open, err := planReminder(ctx, in)
			if err != nil {
				return
			}
			at = open
		}
		gone, err := awaitUntil(ctx, at, r.summary(), changed)
		if err != nil {
			return
		}
		if !gone {
			w.remind(ctx, r)
		}
	}
}

func (r reminder) summary() string {
	switch {
	case r.overdue:
		return "question " + r.question + " must be answered"
	case r.question != "":
		return fmt.Sprintf("remind the client of question %s, %d", r.question, r.number)
	default:
		return "remind the client: it is their turn"
	}
}

// nextReminder returns the reminder or deadline that is due first, and false when there is none.
func (w *incidentWorkflow) nextReminder() (reminder, bool) {
	i := w.state.Incident
	var all []reminder
	if at, due := i.NextReminder(w.state.Policy); due {
		all = append(all, reminder{at: at, number: i.Reminders + 1, anytime: i.MayRemindAnytime()})
	}
	for _, q := range i.Questions {
		if at, n, due := q.NextReminder(); due {
			all = append(all, reminder{at: at, question: q.ID, number: n, anytime: i.PublishedSeverity == models.SeverityCritical})
		}
		if q.IsOpen() && !q.Overdue {
			all = append(all, reminder{at: q.Deadline, question: q.ID, anytime: true, overdue: true})
		}
	}
	if len(all) == 0 {
		return reminder{}, false
	}
	return slices.MinFunc(all, func(a, b reminder) int { return a.at.Compare(b.at) }), true
}

// remind records the reminder or the missed deadline, from which the messages follow.
func (w *incidentWorkflow) remind(ctx workflow.Context, r reminder) {
	switch {
	case r.overdue:
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.QuestionOverdue{Question: r.question}))
		w.openTask(ctx, incident.TaskQuestionUnanswered, r.question, "question "+r.question+" was not answered in time")
	case r.question != "":
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.QuestionReminded{Question: r.question, Number: r.number}))
	default:
		_ = w.emit(ctx, models.System(), &incident.ReminderSent{Number: r.number}) // refused when their turn is over
	}
}
