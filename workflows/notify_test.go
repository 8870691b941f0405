package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
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

// reports counts the messages about the publication by where they went.
func (s *story) reports() map[string]int {
	sent := map[string]int{}
	for _, m := range slices.Concat(s.mails, s.texts) {
		if m.Purpose == notify.PurposePublished {
			sent[notify.MessageEffect(ref, acme, m.Notification).Key]++
		}
	}
	return sent
}

// A batch that the store refuses for good, or does not take for a while, silences nobody, whatever it is that fails.
func TestAStoreThatDoesNotTakeABatchSilencesNobody(t *testing.T) {
	refused := func(tries int) error {
		return temporal.NewNonRetryableApplicationError("a gap", activities.ErrRefused, nil)
	}
	down := func(tries int) error { return errors.New("the store is down") }
	for name, c := range map[string]struct {
		fails func(tries int) error
		until time.Duration
		texts int // contacts who get texts
	}{
		"refused, with mails":          {refused, 2 * time.Hour, 0},
		"refused, with texts":          {refused, 2 * time.Hour, 2},
		"refused, with both":           {refused, 2 * time.Hour, 1},
		"down for seconds, with mails": {down, time.Hour + 5*time.Second, 0},
		"down for seconds, with texts": {down, time.Hour + 5*time.Second, 2},
		"down for seconds, with both":  {down, time.Hour + 5*time.Second, 1},
		"down, and then refused, with mails": {func(n int) error {
			if n <= 4 {
				return down(n)
			}
			return refused(n)
		}, 2 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			for n := range c.texts {
				s.directory.Contacts[n].Channels = []models.Channel{models.ChannelSMS}
			}
			tries := 0
			s.recordFails = func(in activities.RecordInput) error {
				if s.since() > c.until || !slices.ContainsFunc(in.Events, func(e incident.Event) bool { return e.Type == "published" }) {
					return nil
				}
				tries++
				return c.fails(tries)
			}
			s.expedites()
			early := 0
			s.env.RegisterDelayedCallback(func() { early = len(s.reports()) }, time.Hour+time.Minute)
			s.closes(8 * time.Hour)
			s.run(models.SeverityMedium)
			if early != 2 || s.count("published") != 1 {
				t.Errorf("%d contacts were told within a minute, published %d times", early, s.count("published"))
			}
			for key, times := range s.reports() {
				if times != 1 {
					t.Errorf("%s was sent %d times", key, times)
				}
			}
			if n := s.count("contact_messaged"); n != len(s.mails)+len(s.texts) {
				t.Errorf("%d messages are written %d times", len(s.mails)+len(s.texts), n)
			}
		})
	}
}

// The run ends while a mailer is waited for, and the events are in the store already.
func TestMailsUnderWayAreGoneOnWithInTheNextRun(t *testing.T) {
	s := newStory(t)
	s.notifying.After(20 * time.Second)
	s.expedites()
	s.after(time.Hour+3*time.Second, models.RoleResponder, &incident.Comment{Text: "What is it?"})
	s.leavesAt(time.Hour + 8*time.Second)
	s.run(models.SeverityMedium)
	carried := nextRun(t, s)
	next := s.goesOn()
	next.closes(8 * time.Hour)
	next.runFrom(carried)
	if len(next.reports()) != 2 || next.count("contact_messaged") != len(next.mails) {
		t.Errorf("%d contacts were mailed, and %d mails written %d times", len(next.reports()), len(next.mails), next.count("contact_messaged"))
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

// A report waits for the morning, and another one that goes out at night replaces it, while the store is slow.
func TestAnOldMailDoesNotFollowTheNewerOne(t *testing.T) {
	s := newStory(t)
	s.env.SetStartTime(time.Date(2026, 3, 2, 18, 0, 0, 0, time.UTC))
	s.directory.Contacts[1].Hours = models.OfficeHours()
	s.recordFails = func(activities.RecordInput) error {
		if s.since() < time.Hour+15*time.Second {
			return errors.New("the store is slow")
		}
		return nil
	}
	critical := models.SeverityCritical
	s.expedites()
	s.after(time.Hour+5*time.Second, models.RoleAnalyst, &incident.Assess{Severity: &critical})
	s.after(time.Hour+6*time.Second, models.RoleAnalyst, &incident.Revise{Change: "worse", Material: true})
	s.answers = s.presses("1")
	s.closes(60 * time.Hour)
	s.run(models.SeverityMedium)
	for _, m := range s.mails {
		if m.Contact == ciso && m.Purpose == notify.PurposePublished {
			t.Errorf("the first report went to the second contact at %s", m.at)
		}
	}
	if n := s.mailsFor(notify.PurposeRevised); n != 2 {
		t.Errorf("%d mails about the second report", n)
	}
}

// A report is replaced while the mailer still has it, and the mailer does not take it: the incident ends all the same.
func TestAMailReplacedAtTheMailerIsForgotten(t *testing.T) {
	s := newStory(t)
	s.notifying.After(10 * time.Second)
	s.expedites()
	s.after(time.Hour+5*time.Second, models.RoleAnalyst, &incident.Revise{Change: "worse", Material: true})
	s.closes(8 * time.Hour)
	s.run(models.SeverityMedium)
	if published, revised := s.mailsFor(notify.PurposePublished), s.mailsFor(notify.PurposeRevised); published != 0 || revised != 2 {
		t.Errorf("%d mails about the first report and %d about the second, want 0 and 2", published, revised)
	}
}

// Events are carried into the next run, and what follows from them was found when they happened.
func TestMessagesFollowFromTheIncidentAsItWas(t *testing.T) {
	s := newStory(t)
	s.askedOn()
	s.recordFails = func(in activities.RecordInput) error {
		if slices.ContainsFunc(in.Events, func(e incident.Event) bool { return e.Type == "containment_ruled" }) {
			return errors.New("the store is slow")
		}
		return nil
	}
	s.longFrom(2*time.Minute+5*time.Second, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "a mistake"})
	s.detachesAt(3*time.Minute, 1)
	s.run(models.SeverityMedium)
	carried := nextRun(t, s)
	if len(carried.Unrecorded) < 2 || carried.Unrecorded[0].Type != "containment_ruled" {
		t.Fatalf("unrecorded are %+v", carried.Unrecorded)
	}
	next := s.goesOn()
	next.leavesAt(2 * time.Hour)
	next.env.OnSignalExternalWorkflow(mock.Anything, ref.EndpointWorkflowID("e1"), "", mock.Anything, mock.Anything).Return(nil) // it runs
	next.runFrom(carried)
	if next.count("release_requested") != 1 || next.mailsFor(notify.PurposeApproval) != 0 {
		t.Errorf("%d mails about an approval that nobody needs", next.mailsFor(notify.PurposeApproval))
	}
}

// A mailer hangs while the client is to approve: the phone does not wait for it.
func TestCallsAboutAnApprovalDoNotWaitForTheMailer(t *testing.T) {
	s := newStory(t)
	s.notifying.After(20 * time.Second)
	s.answers = s.presses("1")
	s.askedOn()
	var called []time.Duration
	s.placeFails = func(notify.Effect) error { called = append(called, s.since()); return nil }
	s.containedBy(time.Hour)
	s.run(models.SeverityMedium)
	if len(called) == 0 || called[0] > 2*time.Minute+5*time.Second {
		t.Errorf("called at %v", called)
	}
}

// A mailer asks for a moment, and the incident shows no outage.
func TestAShortPauseOfTheMailerIsNoOutage(t *testing.T) {
	s := newStory(t)
	tries := 0
	s.mailFails = func() error {
		if tries++; tries <= 2 {
			return temporal.NewApplicationErrorWithOptions("sendgrid: send mail: throttled (HTTP 429)", string(models.Throttled),
				temporal.ApplicationErrorOptions{NextRetryDelay: 2 * time.Second})
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
