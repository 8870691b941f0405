package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// A mailer hangs while somebody acknowledges on the phone.
func TestAnAcknowledgementDoesNotWaitForTheMailer(t *testing.T) {
	s := newStory(t)
	s.notifying.After(20 * time.Second)
	s.answers = s.presses("1")
	s.expedites()
	during := s.at(time.Hour + 10*time.Second)
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if during.Acknowledged == nil || !during.IsPublished() {
		t.Errorf("while the mailer hangs the store has it published: %t, acknowledged %+v", during.IsPublished(), during.Acknowledged)
	}
	if s.mailsFor(notify.PurposePublished) != 2 || s.count("published") != 1 || s.count("contact_messaged") != len(s.mails) {
		t.Errorf("%d mails, published %d times", s.mailsFor(notify.PurposePublished), s.count("published"))
	}
}

// From the request to publish to the acknowledgement on the phone the store is written twice.
func TestWhatNobodyWaitsForIsWrittenWithWhatComesNext(t *testing.T) {
	s := newStory(t)
	s.answers = s.presses("1")
	s.expedites()
	written := 0
	s.env.RegisterDelayedCallback(func() { written = len(s.batches) }, time.Hour+30*time.Second)
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if last := s.batches[written-1].Events; written != 2 || last[len(last)-1].Type != "call_round_ended" {
		t.Errorf("%d batches until the acknowledgement", written)
	}
}

// Nobody takes the call for long. What was gathered meanwhile is written all the same.
func TestWhatNobodyWaitsForDoesNotWaitForLong(t *testing.T) {
	s := newStory(t)
	s.callStands = func(string) models.CallStatus { return models.CallInProgress }
	s.expedites()
	during := s.at(time.Hour + time.Minute)
	var told int
	s.env.RegisterDelayedCallback(func() { told = s.count("contact_messaged") }, time.Hour+time.Minute)
	s.after(2*time.Hour, models.RoleResponder, &incident.Acknowledge{})
	s.closes(8 * time.Hour)
	s.run(models.SeverityCritical)
	if during.CallRound != 1 || told != 2 {
		t.Errorf("a minute after the publication the store has round %d, and %d contacts mailed", during.CallRound, told)
	}
}

// A batch that the store refuses for good silences nobody: its mails go out one by one.
func TestARefusedBatchSilencesNobody(t *testing.T) {
	s := newStory(t)
	s.recordFails = func(in activities.RecordInput) error {
		if s.since() < 2*time.Hour && slices.ContainsFunc(in.Events, func(e incident.Event) bool { return e.Type == "published" }) {
			return temporal.NewNonRetryableApplicationError("a gap", activities.ErrRefused, nil)
		}
		return nil
	}
	s.expedites()
	var mailed int
	s.env.RegisterDelayedCallback(func() { mailed = len(s.mails) }, time.Hour+time.Minute)
	s.closes(8 * time.Hour)
	s.run(models.SeverityMedium)
	if mailed != 2 || s.mailsFor(notify.PurposePublished) != 2 || s.count("published") != 1 {
		t.Errorf("%d mails while the store refuses, %d in all", mailed, s.mailsFor(notify.PurposePublished))
	}
}

// The mailer fails with the events, and takes the mails a moment later.
func TestWhatNoMailerTookIsDeliveredOneByOne(t *testing.T) {
	s := newStory(t)
	failures := 0
	s.mailFails = func() error {
		if failures++; failures <= 2 {
			return errors.New("the mailer does not answer")
		}
		return nil
	}
	s.expedites()
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityMedium)
	if s.mailsFor(notify.PurposePublished) != 2 || len(i.Tasks) != 0 {
		t.Errorf("%d mails, tasks %+v", s.mailsFor(notify.PurposePublished), i.Tasks)
	}
}
