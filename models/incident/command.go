package incident

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// Command is a person's request to an incident. Its name is the name of the workflow's Update and
// Signal and the last part of the API's path.
type Command interface {
	// Name is the command's name, such as "publish".
	Name() string
	// roles lists the roles that may send it.
	roles() []models.Role
	// validate checks what can be checked without an incident; errors point at the field.
	validate(at time.Time) error
	// events returns the changes it would make.
	events(i Incident, ask CommandContext) []EventData
}

// CommandContext says who sends a command, and how.
type CommandContext struct {
	RequestID string         `json:"request_id"` // the same for every repeat of the same request
	Actor     models.Actor   `json:"actor"`
	Via       string         `json:"via"`              // "api", "portal", "order"
	Person    string         `json:"person,omitempty"` // see PersonOf
	Voided    []models.Actor `json:"-"`                // whose earlier consents count no more, see ApprovalGiven
}

// CommandRequest is a command on its way to a workflow: the argument of every Update and Signal from a person.
type CommandRequest struct {
	CommandContext
	Fingerprint string          `json:"fingerprint,omitempty"` // of name and body, echoed in the result
	Recorded    int             `json:"recorded,omitempty"`    // Seq of the last event that the store had when it was sent
	Body        json.RawMessage `json:"body"`                  // the command's fields
}

// CommandResult is the result of a command: the events it caused.
type CommandResult struct {
	RequestID   string `json:"request_id"`
	Command     string `json:"command"`
	Fingerprint string `json:"fingerprint"` // of the request, to tell a repeat from another request under the same id
	FirstSeq    int    `json:"first_seq"`
	LastSeq     int    `json:"last_seq"`
}

// Decide returns the events that a command causes at a moment, or why it is rejected. It changes nothing.
func (i Incident) Decide(c Command, ask CommandContext, at time.Time) ([]Event, error) {
	events, _, err := i.decideEvents(c, ask, at)
	return events, err
}

// decideEvents is Decide, and returns the incident as it would be, too.
func (i Incident) decideEvents(c Command, ask CommandContext, at time.Time) ([]Event, Incident, error) {
	if !slices.Contains(c.roles(), ask.Actor.Role) || ask.Actor.Role.Side() != ask.Actor.Side {
		return nil, i, models.Errorf(models.Forbidden, "the role %s may not %s", ask.Actor.Role, strings.ReplaceAll(c.Name(), "-", " "))
	}
	if err := c.validate(at); err != nil {
		return nil, i, err
	}
	var events []Event
	trial := i
	for _, d := range c.events(i, ask) {
		e := NewEvent(trial, at, ask.Actor, d)
		if err := trial.Apply(e); err != nil {
			return nil, i, err
		}
		events = append(events, e)
	}
	return events, trial, nil
}

// Can returns why a command would be rejected now, or nil. Pages use it to enable a button, validators to reject.
func (i Incident) Can(c Command, ask CommandContext, at time.Time) error {
	_, err := i.Decide(c, ask, at)
	return err
}

// RolesOf returns the roles that may send a command. The permissions of the API follow from it.
func RolesOf(c Command) []models.Role { return c.roles() }

// Commands returns an empty value of every command.
func Commands() []Command {
	return []Command{
		&Assess{}, &Publish{}, &Expedite{}, &Revise{}, &Dismiss{}, &Comment{}, &Recommend{}, &SettleRecommendation{}, &RecommendResponseTeam{},
		&Isolate{}, &Release{}, &KeepIsolated{}, &Acknowledge{}, &CompleteTask{}, &Verify{}, &RequestClosure{}, &ConfirmClosure{},
		&WithdrawClosure{}, &GiveFeedback{}, &AskQuestion{}, &AnswerQuestion{},
		&Approve{}, &Deny{}, &ExtendIsolation{}, &SettleRisk{},
	}
}

// ParseCommand reads a command's body strictly: it rejects unknown fields and wrong types with a pointer to the field.
func ParseCommand(name string, body []byte) (Command, error) {
	n := slices.IndexFunc(Commands(), func(c Command) bool { return c.Name() == name })
	if n < 0 {
		return nil, models.Errorf(models.NotFound, "command %q not found", name)
	}
	c := Commands()[n]
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, jsonProblem(err)
	}
	return c, nil
}

func jsonProblem(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return models.InvalidField("/"+strings.ReplaceAll(wrong.Field, ".", "/"), "must be %s", wrong.Type)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // encoding/json has no type for it
		return models.InvalidField("/"+strings.Trim(field, `"`), "is not a field of this command")
	}
	return models.InvalidField("", "is not valid JSON")
}
