package workflows_test

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func TestTheClientsOwnWordStopsThePhones(t *testing.T) {
	for name, c := range map[string]struct {
		role    models.Role
		command incident.Command
		stops   bool
	}{
		"a responder comments":        {models.RoleResponder, &incident.Comment{Text: "on it"}, true},
		"an admin answers a question": {models.RoleAdmin, &incident.AnswerQuestion{Question: "q1", Answer: "no"}, true},
		"an admin decides":            {models.RoleAdmin, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "done"}, true},
		"a responder acknowledges":    {models.RoleResponder, &incident.Acknowledge{Revision: 1}, true},
		"a viewer acknowledges":       {models.RoleViewer, &incident.Acknowledge{Revision: 1}, false},
		"an analyst comments":         {models.RoleAnalyst, &incident.Comment{Text: "still there"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.answers = s.hears(models.CallNoAnswer)
			s.after(time.Minute, models.RoleAnalyst, &incident.Recommend{Text: "reset"})
			s.after(2*time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.after(2*time.Minute+100*time.Millisecond, models.RoleAnalyst, &incident.AskQuestion{Text: "a scanner?", Deadline: s.env.Now().Add(day)})
			s.after(2*time.Minute+time.Second, c.role, c.command)
			during, called := s.at(40*time.Minute), 0
			s.env.RegisterDelayedCallback(func() { called = len(s.calls) }, 40*time.Minute)
			s.env.RegisterDelayedCallback(func() { s.answers = s.presses("1") }, time.Hour)
			if c.command.Name() != "settle-recommendation" {
				s.after(2*time.Hour, models.RoleAdmin, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "done"})
			}
			s.closes(3 * time.Hour)
			i := s.run(models.SeverityCritical)
			if stopped := during.Acknowledged != nil; stopped != c.stops || stopped && during.Acknowledged.By != user(c.role) {
				t.Errorf("acknowledged %+v", during.Acknowledged)
			}
			if c.stops && called > 1 || !c.stops && called < 4 {
				t.Errorf("%d calls in 40 minutes", called)
			}
			if _, acknowledges := c.command.(*incident.Acknowledge); acknowledges && len(i.ReadReceipts) != 1 {
				t.Errorf("read receipts %+v", i.ReadReceipts)
			}
		})
	}
}

func TestAnAnswerAboutAnApprovalStopsThePhones(t *testing.T) {
	for digit, name := range map[string]string{"1": "approves", "9": "denies"} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.authority = rules(authority.DecideAsk)
			s.answers = func(e notify.Effect) {
				if e.Purpose == notify.PurposeApproval {
					s.presses(digit)(e)
					return
				}
				s.hears(models.CallNoAnswer)(e)
			}
			s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.after(time.Minute+time.Second, models.RoleAnalyst, isolate)
			during := s.at(5 * time.Minute)
			if digit == "1" {
				s.after(2*time.Hour, models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: "reinstalled"})
			}
			s.closes(3 * time.Hour)
			s.run(models.SeverityCritical)
			if a := during.Acknowledged; a == nil || a.Channel != "voice" || a.How != "answer about approval a1" {
				t.Errorf("acknowledged %+v", a)
			}
		})
	}
}

// A comment that was sent before the incident was raised says nothing about what it has become.
func TestACommentFromBeforeTheRaiseStopsNoPhones(t *testing.T) {
	s := newStory(t)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.raises(2*time.Hour, models.SeverityCritical)
	late := s.request(models.RoleResponder, &incident.Comment{Text: "we will look on Monday"})
	late.Recorded = 2
	s.signalAfter(2*time.Hour+2*time.Minute, late, "comment")
	during := s.at(3 * time.Hour)
	s.env.RegisterDelayedCallback(func() { s.answers = s.presses("1") }, 4*time.Hour)
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityMedium)
	if during.Acknowledged != nil || s.count("commented") != 1 || i.Acknowledged == nil {
		t.Errorf("acknowledged %+v, %d comments, in the end %+v", during.Acknowledged, s.count("commented"), i.Acknowledged)
	}
}

func TestThatAViewerHasReadItReachesNobody(t *testing.T) {
	s := newStory(t)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	before := s.at(3*time.Hour - time.Second)
	s.after(3*time.Hour, models.RoleViewer, &incident.Acknowledge{Revision: 1})
	read := s.at(3*time.Hour + time.Second)
	s.after(4*time.Hour, models.RoleResponder, &incident.Acknowledge{Revision: 1})
	acknowledged := s.at(4*time.Hour + time.Second)
	s.closes(12 * time.Hour)
	s.run(models.SeverityCritical)
	for name, c := range map[string]struct {
		i    *incident.Incident
		want bool
	}{"before": {before, true}, "when a viewer has read it": {read, true}, "when a responder has": {acknowledged, false}} {
		if open := c.i.OpenTask(incident.TaskNobodyReached, "") != nil; open != c.want {
			t.Errorf("%s the lead's task is open: %v", name, open)
		}
	}
	if len(read.ReadReceipts) != 1 {
		t.Errorf("read receipts %+v", read.ReadReceipts)
	}
}
