package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// Somebody with Temporal's address can send all of this about a critical incident.
func TestNobodyAcknowledgesInAContactsName(t *testing.T) {
	key := notify.CallEffect(ref, acme, 1, 1, 1, first).Key
	for name, forge := range map[string]func(*story){
		"a key press to the round": func(s *story) {
			s.answers = func(e notify.Effect) { s.presses("1")(e); s.hears(models.CallNoAnswer)(e) }
		},
		"a key press to the incident": func(s *story) {
			s.env.SignalWorkflow(models.SignalKeyPress, notify.KeyPress{Effect: key, Contact: first, Digit: notify.KeyAcknowledge})
		},
		"a reply to a text": func(s *story) {
			s.env.SignalWorkflow(models.SignalTextReply, notify.TextReply{Effect: key, Contact: first})
		},
		"a user's command": func(s *story) {
			forged := s.request(models.RoleResponder, &incident.Acknowledge{})
			s.decided[forged.RequestID] = false
			s.env.SignalWorkflow("acknowledge", forged)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.unsaid = true
			s.answers = s.hears(models.CallNoAnswer)
			s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.env.RegisterDelayedCallback(func() { forge(s) }, time.Minute+time.Second)
			during := s.at(30 * time.Minute)
			called := 0
			s.env.RegisterDelayedCallback(func() {
				called = len(s.calls)
				for effect, outcome := range s.said {
					if outcome.By != uuid.Nil {
						t.Errorf("the ledger says that a contact acknowledged in %s", effect)
					}
				}
			}, 30*time.Minute)
			s.env.RegisterDelayedCallback(func() { s.unsaid, s.answers = false, s.presses("1") }, 40*time.Minute)
			s.closes(3 * time.Hour)
			i := s.run(models.SeverityCritical)
			if during.Acknowledged != nil || s.count("command_rejected") == 0 {
				t.Errorf("after the forgery: acknowledged %+v, %d rejections", during.Acknowledged, s.count("command_rejected"))
			}
			if called < 4 || i.Acknowledged == nil || i.Acknowledged.Channel != "voice" {
				t.Errorf("%d calls in half an hour, in the end acknowledged %+v", called, i.Acknowledged)
			}
		})
	}
}

func TestNobodyAnswersAnApprovalInAContactsName(t *testing.T) {
	for name, granted := range map[string]bool{"approves": true, "denies": false} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.unsaid = true
			s.authority = rules(authority.DecideAsk)
			s.answers = s.hears(models.CallNoAnswer)
			s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.after(2*time.Minute, models.RoleAnalyst, isolate)
			s.env.RegisterDelayedCallback(func() {
				key := notify.KeyDeny
				if granted {
					key = notify.KeyAcknowledge
				}
				s.answersAbout("a1", first, key)
			}, 3*time.Minute)
			during := s.at(20 * time.Minute)
			s.after(21*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"})
			s.containedBy(3 * time.Hour)
			s.run(models.SeverityMedium)
			if !during.Endpoints[0].Approval.IsAnswerable() || s.count("command_rejected") != 1 {
				t.Errorf("after the forgery: %+v, %d rejections", during.Endpoints[0].Approval, s.count("command_rejected"))
			}
			if len(s.edr) != 2 {
				t.Errorf("asked of the EDR: %v", s.edr)
			}
		})
	}
}

// A key that was pressed while the incident was less severe says nothing about what it has become.
func TestAStatementFromBeforeTheAlarmIsNoAcknowledgement(t *testing.T) {
	s := newStory(t)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Hour, models.RoleResponder, &incident.Acknowledge{})
	s.raises(2*time.Hour, models.SeverityCritical)
	s.saidAt, s.saidIn = func() int { return 3 }, notify.CallEffect(ref, acme, 1, 1, 1, first).Key
	s.env.RegisterDelayedCallback(func() {
		s.env.SignalWorkflow(models.SignalTextReply, notify.TextReply{Contact: first})
	}, 2*time.Hour+2*time.Minute)
	during := s.at(3 * time.Hour)
	s.env.RegisterDelayedCallback(func() { s.saidAt, s.saidIn, s.answers = nil, "", s.presses("1") }, 4*time.Hour)
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityMedium)
	if during.Acknowledged != nil || i.Acknowledged == nil {
		t.Errorf("acknowledged %+v, then %+v", during.Acknowledged, i.Acknowledged)
	}
}

// A row that was left before the approval was asked for, or asked for again, says nothing about it.
func TestADecisionFromBeforeTheQuestionIsRefused(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	s.env.RegisterDelayedCallback(func() { s.saidAt, s.saidIn = func() int { return 3 }, "an earlier call" }, 3*time.Minute)
	s.rejectedAfter(4*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"}, models.Conflict)
	s.env.RegisterDelayedCallback(func() {
		s.answersAbout("a1", first, notify.KeyAcknowledge)
	}, 5*time.Minute)
	during := s.at(20 * time.Minute)
	s.env.RegisterDelayedCallback(func() { s.saidAt, s.saidIn = nil, "" }, 21*time.Minute)
	s.after(22*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"})
	s.containedBy(3 * time.Hour)
	s.run(models.SeverityMedium)
	if !during.Endpoints[0].Approval.IsAnswerable() || s.count("command_rejected") != 2 {
		t.Errorf("with rows from before: %+v, %d rejections", during.Endpoints[0].Approval, s.count("command_rejected"))
	}
	if len(s.edr) != 2 {
		t.Errorf("asked of the EDR: %v", s.edr)
	}
}

// holdsStore keeps the store from taking events for a while.
func (s *story) holdsStore(from, to time.Duration) {
	s.env.RegisterDelayedCallback(func() {
		s.recordFails = func(activities.RecordInput) error { return errors.New("no answer") }
	}, from)
	s.env.RegisterDelayedCallback(func() { s.recordFails = nil }, to)
}

// A confirmation that waited says nothing about what was found out since.
func TestAConfirmationFromBeforeTheNewsClosesNothing(t *testing.T) {
	for name, news := range map[string]func(*story){
		"a material revision": func(s *story) { s.raises(3*time.Hour, models.SeverityHigh) },
		"another verification": func(s *story) {
			s.after(3*time.Hour, models.RoleAnalyst, &incident.Verify{Note: "on the domain controller, too"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.after(time.Hour, models.RoleResponder, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "cleaned"})
			s.after(2*time.Hour, models.RoleAnalyst, &incident.Verify{Note: "one laptop"})
			decided := 0
			s.env.RegisterDelayedCallback(func() { decided = s.seq() }, 2*time.Hour+time.Minute)
			news(s)
			confirm := &incident.ConfirmClosure{Reason: "the laptop is scrapped"}
			s.env.RegisterDelayedCallback(func() { s.saidAt = func() int { return decided } }, 4*time.Hour)
			s.signalAfter(4*time.Hour+time.Minute, s.request(models.RoleAdmin, confirm), confirm.Name())
			s.env.RegisterDelayedCallback(func() { s.saidAt = nil }, 4*time.Hour+2*time.Minute)
			during := s.at(5 * time.Hour)
			s.after(6*time.Hour, models.RoleAdmin, confirm)
			i := s.run(models.SeverityMedium)
			if during.Phase != incident.PhaseClosureRequested || s.count("command_rejected") != 1 || i.Phase != incident.PhaseClosed {
				t.Errorf("with a confirmation from before %s, %d rejections; at last %s", during.Phase, s.count("command_rejected"), i.Phase)
			}
		})
	}
}

// The store does not have the raise to critical yet when a contact presses a key about it.
func TestAKeyCountsWhileTheStoreIsBehind(t *testing.T) {
	s := newStory(t)
	s.answers = s.presses("1")
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.raises(2*time.Hour, models.SeverityCritical)
	s.holdsStore(2*time.Hour+30*time.Second, 3*time.Hour)
	called := 0
	s.env.RegisterDelayedCallback(func() { called = len(s.calls) }, 3*time.Hour)
	s.closes(8 * time.Hour)
	i := s.run(models.SeverityMedium)
	if called != 1 || len(s.calls) != 1 || i.Acknowledged == nil {
		t.Errorf("%d calls in the hour after the raise, %d in all, acknowledged %+v", called, len(s.calls), i.Acknowledged)
	}
}

// The store gets the question between the key and the look at who pressed it.
func TestAKeyCountsThoughTheStoreCaughtUpMeanwhile(t *testing.T) {
	t.Run("about an incident", func(t *testing.T) {
		s := newStory(t)
		s.answers = s.presses("1")
		s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
		s.raises(2*time.Hour, models.SeverityCritical)
		s.saidAt = func() int { return 3 }
		s.env.RegisterDelayedCallback(func() { s.saidAt = nil }, 7*time.Hour)
		s.closes(8 * time.Hour)
		i := s.run(models.SeverityMedium)
		if len(s.calls) != 1 || i.Acknowledged == nil || s.count("command_rejected") != 0 {
			t.Errorf("%d calls, acknowledged %+v, %d rejections", len(s.calls), i.Acknowledged, s.count("command_rejected"))
		}
		if o := s.said[s.calls[0].Key]; o.Outcome != notify.OutcomeAcknowledged {
			t.Errorf("the ledger says that the call ended with %+v", o)
		}
	})
	t.Run("about an approval", func(t *testing.T) {
		s := newStory(t)
		s.authority = rules(authority.DecideAsk)
		s.answers = s.presses("1")
		s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
		s.after(2*time.Minute, models.RoleAnalyst, isolate)
		s.saidAt = func() int { return 3 }
		s.env.RegisterDelayedCallback(func() { s.saidAt = nil }, 2*time.Hour)
		s.containedBy(3 * time.Hour)
		s.run(models.SeverityMedium)
		if len(s.calls) != 1 || s.count("approval_given") != 1 || s.count("command_rejected") != 0 {
			t.Errorf("%d calls, %d approvals, %d rejections", len(s.calls), s.count("approval_given"), s.count("command_rejected"))
		}
	})
}

// Whoever can hold the store back sends what a contact said long ago once more.
func TestAnOldWordIsNoAcknowledgementWhileTheStoreIsBehind(t *testing.T) {
	for name, again := range map[string]func(*story){
		"a key press": func(s *story) {
			s.env.SignalWorkflow(models.SignalKeyPress, notify.KeyPress{Effect: notify.CallEffect(ref, acme, 2, 1, 1, first).Key, Contact: first, Digit: notify.KeyAcknowledge})
		},
		"a reply": func(s *story) { s.env.SignalWorkflow(models.SignalTextReply, notify.TextReply{Contact: first}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.answers = s.hears(models.CallNoAnswer)
			s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
			s.after(time.Hour, models.RoleResponder, &incident.Acknowledge{})
			s.raises(2*time.Hour, models.SeverityCritical)
			s.holdsStore(2*time.Hour+30*time.Second, 2*time.Hour+3*time.Minute)
			s.env.RegisterDelayedCallback(func() {
				s.saidAt, s.saidIn = func() int { return 3 }, notify.CallEffect(ref, acme, 1, 1, 1, first).Key // of the milder incident
				again(s)
			}, 2*time.Hour+2*time.Minute)
			during := s.at(3 * time.Hour)
			s.env.RegisterDelayedCallback(func() { s.saidAt, s.saidIn, s.answers = nil, "", s.presses("1") }, 4*time.Hour)
			s.closes(8 * time.Hour)
			i := s.run(models.SeverityMedium)
			if during.Acknowledged != nil || s.count("command_rejected") != 1 {
				t.Errorf("acknowledged %+v, %d rejections", during.Acknowledged, s.count("command_rejected"))
			}
			if i.Acknowledged == nil || i.Acknowledged.How != "key press 1" {
				t.Errorf("in the end acknowledged %+v", i.Acknowledged)
			}
		})
	}
}

func TestAnOldWordIsNoApprovalWhileTheStoreIsBehind(t *testing.T) {
	s := newStory(t)
	s.authority = rules(authority.DecideAsk)
	s.answers = s.hears(models.CallNoAnswer)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
	again, before := time.Duration(0), 0
	s.recorded = func() { // nobody answers, and it is asked for again
		d, is := s.events[len(s.events)-1].Data.(*incident.ApprovalExpired)
		if !is || again > 0 {
			return
		}
		again = d.NextAskAt.Sub(s.env.Now())
		s.holdsStore(again-time.Second, again+3*time.Minute)
		s.env.RegisterDelayedCallback(func() {
			s.saidAt, s.saidIn = func() int { return 7 }, notify.ApprovalCallEffect(ref, acme, "a1", "e1", 1, 1, first).Key
			s.answersAbout("a1", first, notify.KeyAcknowledge)
		}, again+time.Minute)
		s.env.RegisterDelayedCallback(func() { s.saidAt, s.saidIn = nil, "" }, again+2*time.Minute)
		s.env.RegisterDelayedCallback(func() { before = s.count("approval_given") }, again+4*time.Minute)
		s.after(again+5*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"})
	}
	s.containedBy(20 * day)
	s.run(models.SeverityMedium)
	if again == 0 || before != 0 || s.count("command_rejected") != 1 {
		t.Errorf("asked again after %s, %d approvals, %d rejections", again, before, s.count("command_rejected"))
	}
}
