package workflows_test

import (
	"errors"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
)

// expedites lets the SOC publish an hour after the start.
func (s *story) expedites() { s.after(time.Hour, models.RoleAnalyst, &models.Expedite{}) }

// moments are when events of a type happened, counted from the start.
func (s *story) moments(t models.EventType) (at []time.Duration) {
	for _, e := range s.events {
		if e.Type == t {
			at = append(at, e.At.Sub(s.began).Round(time.Second))
		}
	}
	return at
}

func TestALedgerThatCannotBeWrittenStopsNoRound(t *testing.T) {
	s := newStory(t)
	s.placeFails = func(models.Effect) error {
		if s.since() < time.Hour+90*time.Second {
			return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil) // there is no worker
		}
		return nil
	}
	s.noteFails = func(string) error {
		if s.since() < 3*time.Hour {
			return errors.New("the database does not answer")
		}
		return nil
	}
	s.answers = s.presses("1")
	s.expedites()
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if at := s.moments("acknowledged"); len(at) != 1 || at[0] > time.Hour+10*time.Minute {
		t.Fatalf("acknowledged at %v", at)
	}
	if said := s.said[s.calls[0].Key]; said.By != s.calls[0].Contact {
		t.Errorf("when the ledger can be written again it says %+v", s.said)
	}
}

func TestADatabaseThatIsDownIsWaitedFor(t *testing.T) {
	s := newStory(t)
	s.planFails = func() error {
		if s.since() < 2*time.Hour {
			return errors.New("the database does not answer")
		}
		return nil
	}
	s.answers = s.presses("1")
	s.expedites()
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if at := s.moments("acknowledged"); s.mailsFor(models.PurposePublished) != 2 || len(at) != 1 || at[0] > 2*time.Hour+time.Minute {
		t.Errorf("%d mails, acknowledged at %v", s.mailsFor(models.PurposePublished), at)
	}
}
