package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// purposes are what a contact was mailed for, in order, but for reminders.
func (s *story) purposes(contact uuid.UUID) (all []notify.Purpose) {
	for _, m := range s.mails {
		if m.Contact == contact && m.Purpose != notify.PurposeReminder && m.Purpose != notify.PurposeQuestionReminder {
			all = append(all, m.Purpose)
		}
	}
	return all
}

// fades is an incident that is published as high and is only medium an hour later. Its client is asked something, told
// that the threat is still present, and closes it.
func fades(t *testing.T) *story {
	s := newStory(t)
	medium := models.SeverityMedium
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Hour, models.RoleAnalyst, &incident.Assess{Severity: &medium})
	s.after(time.Hour+time.Second, models.RoleAnalyst, &incident.Revise{Change: "less than we thought", Material: true})
	s.after(2*time.Hour, models.RoleAnalyst, &incident.AskQuestion{Text: "Was this you?", Deadline: s.env.Now().Add(30 * day)})
	s.after(3*time.Hour, models.RoleResponder, &incident.AnswerQuestion{Question: "q1", Answer: "no"})
	s.after(4*time.Hour, models.RoleResponder, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "done"})
	s.after(5*time.Hour, models.RoleAnalyst, &incident.Verify{Gone: false, Note: "it beacons on"})
	s.after(6*time.Hour, models.RoleResponder, &incident.ConfirmClosure{Reason: "the machine is scrapped"})
	return s
}

var wholeStory = []notify.Purpose{notify.PurposePublished, notify.PurposeRevised, notify.PurposeQuestion, notify.PurposeStillPresent, notify.PurposeClosed}

func TestWhoWasToldStaysTold(t *testing.T) {
	s := fades(t)
	s.directory.Contacts[0].Severities = []models.Severity{models.SeverityCritical, models.SeverityHigh}
	s.directory.Contacts[1].Severities = []models.Severity{models.SeverityMedium}
	i := s.run(models.SeverityHigh)
	if got := s.purposes(first); !slices.Equal(got, wholeStory) {
		t.Errorf("who was told of the report got %v, want %v", got, wholeStory)
	}
	if got := s.purposes(ciso); !slices.Equal(got, wholeStory[1:]) {
		t.Errorf("whose rule matches from the revision on got %v, want %v", got, wholeStory[1:])
	}
	if i.OpenTask(incident.TaskNobodyToReach, "") != nil {
		t.Error("a task says that nobody is to be told")
	}
}

// The one contact who was told is removed, and no rule matches.
func TestAtLastEveryContactIsTold(t *testing.T) {
	s := fades(t)
	s.directory.Contacts[0].Severities = []models.Severity{models.SeverityHigh}
	s.directory.Contacts[1].Severities = []models.Severity{models.SeverityCritical}
	s.env.RegisterDelayedCallback(func() { s.directory.Contacts = s.directory.Contacts[1:] }, 90*time.Minute)
	s.run(models.SeverityHigh)
	if got := s.purposes(first); !slices.Equal(got, wholeStory[:2]) {
		t.Errorf("who was removed got %v, want nothing after %v", got, wholeStory[:2])
	}
	if got := s.purposes(ciso); !slices.Equal(got, wholeStory[2:]) {
		t.Errorf("the last contact got %v, want %v", got, wholeStory[2:])
	}
}

func TestWithoutAnyContactTheSOCIsTold(t *testing.T) {
	s := fades(t)
	s.directory.Contacts = nil
	if i := s.run(models.SeverityHigh); i.OpenTask(incident.TaskNobodyToReach, "") == nil {
		t.Errorf("tasks %+v, want one because nobody can be told", i.Tasks)
	}
}
