package incident

import (
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Question is a typed question to the client: "was this you?".
type Question struct {
	ID         string        `json:"id"` // "q1", "q2", … within the incident
	Text       string        `json:"text"`
	Answers    []string      `json:"answers"` // the allowed ones; none allows any text
	AskedAt    time.Time     `json:"asked_at"`
	Seq        int           `json:"seq,omitzero"` // of the event that asked
	Deadline   time.Time     `json:"deadline"`
	Reminders  int           `json:"reminders"`
	RemindedAt time.Time     `json:"reminded_at,omitzero"`
	Overdue    bool          `json:"overdue,omitzero"` // the deadline passed without an answer
	Answer     string        `json:"answer,omitempty"`
	AnsweredBy *models.Actor `json:"answered_by,omitempty"`
	AnsweredAt time.Time     `json:"answered_at,omitzero"`
}

// Reminders of a question back off: each pause is twice the one before, and all six lie within twenty hours, or
// within the deadline when that is sooner.
const (
	questionReminders = 6
	questionWindow    = 20 * time.Hour
)

// IsOpen reports whether the question waits for an answer. The answer itself may have been left out by Carried.
func (q Question) IsOpen() bool { return q.Answer == "" && q.AnsweredBy == nil }

// NextReminder returns when the client is to be reminded of the question, and the reminder's number; false when it is
// answered or all reminders were sent. A reminder whose time passed while an earlier one was held back is skipped.
func (q Question) NextReminder() (at time.Time, number int, due bool) {
	window := min(questionWindow, q.Deadline.Sub(q.AskedAt))
	for n := q.Reminders + 1; q.IsOpen() && n <= questionReminders; n++ {
		share := time.Duration(1<<n-1) * window / (1<<questionReminders - 1)
		if at = q.AskedAt.Add(share); at.After(q.RemindedAt) {
			return at, n, true
		}
	}
	return time.Time{}, 0, false
}

// QuestionAsked asks the client something.
type QuestionAsked struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Answers  []string  `json:"answers"`
	Deadline time.Time `json:"deadline"`
}

// Type returns "question_asked".
func (*QuestionAsked) Type() EventType { return "question_asked" }

func (d *QuestionAsked) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideSOC, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	i.Questions = append(i.Questions, Question{ID: d.ID, Text: d.Text, Answers: d.Answers, AskedAt: e.At, Seq: e.Seq, Deadline: d.Deadline})
	i.setTurn(TurnClient, e.At)
	return nil
}

// QuestionAnswered is the client's answer.
type QuestionAnswered struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// Type returns "question_answered".
func (*QuestionAnswered) Type() EventType { return "question_answered" }

func (d *QuestionAnswered) apply(i *Incident, e Event) error {
	if err := i.require(e, models.SideClient, PhasePublished, PhaseClosureRequested); err != nil {
		return err
	}
	q, err := i.openQuestion(d.Question)
	if err != nil {
		return err
	}
	if len(q.Answers) > 0 && !slices.Contains(q.Answers, d.Answer) {
		return models.InvalidField("/answer", "is not one of the allowed answers")
	}
	q.Answer, q.AnsweredBy, q.AnsweredAt = d.Answer, &e.Actor, e.At
	if !slices.ContainsFunc(i.Questions, Question.IsOpen) {
		i.setTurn(TurnSOC, e.At)
	}
	return nil
}

// QuestionReminded records that the client was reminded of a question.
type QuestionReminded struct {
	Question string `json:"question"`
	Number   int    `json:"number"`
}

// Type returns "question_reminded".
func (*QuestionReminded) Type() EventType { return "question_reminded" }

func (d *QuestionReminded) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	q, err := i.openQuestion(d.Question)
	if err != nil {
		return err
	}
	q.Reminders, q.RemindedAt = d.Number, e.At
	return nil
}

// QuestionOverdue records that a question's deadline passed without an answer.
type QuestionOverdue struct {
	Question string `json:"question"`
}

// Type returns "question_overdue".
func (*QuestionOverdue) Type() EventType { return "question_overdue" }

func (d *QuestionOverdue) apply(i *Incident, e Event) error {
	if err := systemOnly(e); err != nil {
		return err
	}
	q, err := i.openQuestion(d.Question)
	if err != nil {
		return err
	}
	q.Overdue = true
	return nil
}

// openQuestion returns a question that is not answered.
func (i *Incident) openQuestion(id string) (*Question, error) {
	n := slices.IndexFunc(i.Questions, func(q Question) bool { return q.ID == id && q.IsOpen() })
	if n < 0 {
		return nil, models.Errorf(models.Conflict, "open question %s not found", id)
	}
	return &i.Questions[n], nil
}
