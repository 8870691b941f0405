package incident

import (
	"fmt"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// AskQuestion asks the client something. Answers are the allowed ones; none allows any text.
type AskQuestion struct {
	Text     string    `json:"text" text:"lines"`
	Answers  []string  `json:"answers,omitempty"`
	Deadline time.Time `json:"deadline"`
}

// The bounds of a question.
const (
	maxAnswers      = 10
	longestQuestion = 90 * 24 * time.Hour
)

// Name returns "ask-question".
func (*AskQuestion) Name() string         { return "ask-question" }
func (*AskQuestion) roles() []models.Role { return socRoles }

func (c *AskQuestion) validate(at time.Time) error {
	errs := []error{models.CheckText("/text", c.Text, models.MaxText, true)}
	if len(c.Answers) > maxAnswers {
		errs = append(errs, models.InvalidField("/answers", "has more than %d entries", maxAnswers))
	}
	for n, a := range c.Answers {
		errs = append(errs, models.CheckText(fmt.Sprintf("/answers/%d", n), a, models.MaxLine, true))
	}
	if !c.Deadline.After(at) || c.Deadline.After(at.Add(longestQuestion)) {
		errs = append(errs, models.InvalidField("/deadline", "must lie within the next 90 days"))
	}
	return models.FirstError(errs)
}

func (c *AskQuestion) events(i Incident, _ CommandContext) []EventData {
	id := fmt.Sprintf("q%d", len(i.Questions)+1)
	answers := append([]string{}, c.Answers...)
	return []EventData{&QuestionAsked{ID: id, Text: c.Text, Answers: answers, Deadline: c.Deadline.UTC()}}
}

// AnswerQuestion is the client's answer to a question.
type AnswerQuestion struct {
	Question string `json:"question"`
	Answer   string `json:"answer" text:"lines"`
}

// Name returns "answer-question".
func (*AnswerQuestion) Name() string         { return "answer-question" }
func (*AnswerQuestion) roles() []models.Role { return deciderRoles }

func (c *AnswerQuestion) validate(time.Time) error {
	return models.FirstError([]error{models.CheckText("/question", c.Question, 16, true), models.CheckText("/answer", c.Answer, models.MaxText, true)})
}

func (c *AnswerQuestion) events(Incident, CommandContext) []EventData {
	return []EventData{&QuestionAnswered{Question: c.Question, Answer: c.Answer}}
}
