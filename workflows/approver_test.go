package workflows_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// answersAbout lets a contact press a key in a call about an approval, and returns the call's key.
func (s *story) answersAbout(approval string, contact uuid.UUID, key notify.Key) string {
	e := notify.ApprovalCallEffect(ref, acme, approval, "e1", 1, 1, contact)
	s.env.SignalWorkflow(models.SignalKeyPress, notify.KeyPress{Effect: e.Key, Contact: contact, Digit: key})
	return e.Key
}

// called lists who was called about an approval.
func (s *story) called() (who []uuid.UUID) {
	for _, e := range s.calls {
		if e.Purpose == notify.PurposeApproval {
			who = append(who, e.Contact)
		}
	}
	return who
}

// calledAbout lists who was called about one approval.
func (s *story) calledAbout(approval string) (who []uuid.UUID) {
	for _, e := range s.calls {
		if notify.IsCallAbout(e.Key, ref, approval) {
			who = append(who, e.Contact)
		}
	}
	return who
}

// askedOn lets an analyst ask for an isolation that the client must approve.
func (s *story) askedOn() {
	s.authority = rules(authority.DecideAsk)
	s.after(time.Minute, models.RoleAnalyst, &incident.Expedite{})
	s.after(2*time.Minute, models.RoleAnalyst, isolate)
}

// rejections returns what was rejected, as "command by contact".
func (s *story) rejections() (all []string) {
	for _, e := range s.events {
		if d, ok := e.Data.(*incident.CommandRejected); ok {
			all = append(all, d.Command+" by "+d.By.ID)
		}
	}
	return all
}

func TestOnlyApproversAreCalledAboutAnApproval(t *testing.T) {
	for name, change := range map[string]func(*story){
		"the first contact is none":               func(s *story) { s.directory.Contacts[0].Approver = nil },
		"whoever asks has made the first contact": func(s *story) { s.maker, s.made = user(models.RoleAnalyst).ID, first },
		"both, and the first has the second's phone": func(s *story) {
			s.directory.Contacts[0].Approver, s.directory.Contacts[0].Phone = nil, s.directory.Contacts[1].Phone
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			change(s)
			s.answers = s.presses("1")
			s.askedOn()
			s.containedBy(time.Hour)
			s.run(models.SeverityMedium)
			if who := s.called(); !slices.Equal(who, []uuid.UUID{ciso}) || len(s.edr) != 2 {
				t.Errorf("called %v, asked of the EDR: %v", who, s.edr)
			}
		})
	}
}

func TestTheApprovalOfAContactWhoMayNotIsRefusedAndTheCallsGoOn(t *testing.T) {
	for name, change := range map[string]func(*story){
		"the admin has revoked it since":      func(s *story) { s.directory.Contacts[0].Approver = nil },
		"it is the phone of whoever asks now": func(s *story) { s.maker, s.made = user(models.RoleAnalyst).ID, first },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			var before []string
			s.answers = func(e notify.Effect) {
				if e.Contact == first { // the phone rings already
					change(s)
					s.presses("1")(e)
					s.env.RegisterDelayedCallback(func() { s.hears(models.CallCompleted)(e) }, time.Second)
					return
				}
				before = slices.Clone(s.edr)
				s.presses("1")(e)
			}
			s.askedOn()
			s.containedBy(time.Hour)
			i := s.run(models.SeverityMedium)
			if !slices.Equal(s.called(), []uuid.UUID{first, ciso}) || len(before) != 0 {
				t.Errorf("called %v; before the second the EDR was asked for %v", s.called(), before)
			}
			if got, want := s.rejections(), []string{"approve by contact:" + first.String()}; !slices.Equal(got, want) {
				t.Errorf("rejected %v, want %v", got, want)
			}
			given := s.events[slices.IndexFunc(s.events, func(e incident.Event) bool { return e.Type == "approval_given" })]
			if given.Actor != models.ContactActor(ciso) || i.Phase != incident.PhaseClosed {
				t.Errorf("approved by %+v, phase %s", given.Actor, i.Phase)
			}
		})
	}
}

// With Temporal's address somebody tells the incident itself.
func TestAContactWhoMayNotApprovesNowhere(t *testing.T) {
	s := newStory(t)
	s.directory.Contacts[0].Approver = nil
	s.answers = s.hears(models.CallNoAnswer)
	s.askedOn()
	s.env.RegisterDelayedCallback(func() {
		s.answersAbout("a1", first, notify.KeyAcknowledge)
	}, 3*time.Minute)
	during := s.at(20 * time.Minute)
	s.after(21*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"})
	s.containedBy(3 * time.Hour)
	s.run(models.SeverityMedium)
	if !during.Endpoints[0].Approval.IsAnswerable() || len(during.Endpoints[0].Approval.Given) != 0 || len(s.rejections()) != 1 {
		t.Errorf("%+v, rejected %v", during.Endpoints[0].Approval, s.rejections())
	}
}

func TestWithoutAnApproverTheSOCIsToldAndTheClientApprovesItself(t *testing.T) {
	s := newStory(t)
	for n := range s.directory.Contacts {
		s.directory.Contacts[n].Approver = nil
	}
	s.askedOn()
	asked, later := s.at(3*time.Minute), s.at(30*time.Minute)
	s.after(20*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"})
	s.containedBy(2 * time.Hour)
	i := s.run(models.SeverityMedium)
	if task := asked.OpenTask(incident.TaskNoApprover, "a1"); task == nil || !strings.Contains(task.Detail, "responders and admins") {
		t.Errorf("tasks while nobody is called: %+v", asked.Tasks)
	}
	if later.OpenTask(incident.TaskNoApprover, "a1") != nil || len(s.called()) != 0 || len(s.edr) != 2 || i.Phase != incident.PhaseClosed {
		t.Errorf("tasks %+v, called %v, asked of the EDR: %v, phase %s", later.Tasks, s.called(), s.edr, i.Phase)
	}
}

// needsTwo lets two persons agree about every device, and gives the contacts mail addresses; more of them than there are
// become contacts, too.
func (s *story) needsTwo(addresses ...string) {
	s.askedOn()
	s.authority.TwoPersons = []authority.AssetSelector{{Host: "*"}}
	for n, address := range addresses {
		if n == len(s.directory.Contacts) {
			s.directory.Contacts = append(s.directory.Contacts, contact(modelstest.ContactID(n), n+1))
		}
		s.directory.Contacts[n].Email = address
	}
}

func TestTheCallsGoOnUntilTwoPersonsHaveAgreed(t *testing.T) {
	third := modelstest.ContactID(2)
	for name, c := range map[string]struct {
		addresses []string
		called    []uuid.UUID
		rejected  []string
	}{
		"two contacts of one person": {
			[]string{"eva@acme.example", "eva+2@acme.example", "max@acme.example"}, []uuid.UUID{first, ciso, third},
			[]string{"approve by contact:" + ciso.String()},
		},
		"a contact whom nothing tells from another": {[]string{"eva@acme.example", "", "max@acme.example"}, []uuid.UUID{first, third}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.answers = s.presses("1")
			s.needsTwo(c.addresses...)
			during := s.at(30 * time.Minute)
			var isolated []string
			s.env.RegisterDelayedCallback(func() { isolated = slices.Clone(s.edr) }, 30*time.Minute)
			s.containedBy(3 * time.Hour)
			s.run(models.SeverityMedium)
			if got := s.calledAbout("a1"); !slices.Equal(got, c.called) || len(isolated) != 1 || !during.Endpoints[0].Approval.Granted {
				t.Errorf("called %v, asked of the EDR: %v, %+v", got, isolated, during.Endpoints[0].Approval)
			}
			if got := s.rejections(); !slices.Equal(got, c.rejected) {
				t.Errorf("rejected %v, want %v", got, c.rejected)
			}
		})
	}
}

func TestTheSOCIsToldWhenTwoMustAgreeAndNobodyCanBeToldApart(t *testing.T) {
	s := newStory(t)
	s.answers = s.presses("1")
	s.needsTwo("", "")
	asked := s.at(3 * time.Minute)
	s.after(20*time.Minute, models.RoleAdmin, &incident.Deny{Approval: "a1", Reason: "not now"})
	s.closes(time.Hour)
	s.run(models.SeverityMedium)
	if asked.OpenTask(incident.TaskNoApprover, "a1") == nil || len(s.called()) != 0 {
		t.Errorf("tasks %+v, called %v", asked.Tasks, s.called())
	}
}

// Whoever asks for a release agrees with it, and does not agree once more on a phone of theirs.
func TestWhoeverAskedForAReleaseIsNoSecondPersonOnThePhone(t *testing.T) {
	s := newStory(t)
	s.answers = s.presses("1")
	s.needsTwo("Responder+phone@acme.example", "max@acme.example", "eva@acme.example") // the first is the responder
	s.containedBy(time.Hour)
	s.run(models.SeverityMedium)
	if got, want := s.calledAbout("a1"), []uuid.UUID{first, ciso}; !slices.Equal(got, want) {
		t.Errorf("about the isolation %v were called, want %v", got, want)
	}
	if got, want := s.calledAbout("a2"), []uuid.UUID{ciso}; !slices.Equal(got, want) || len(s.rejections()) != 0 || len(s.edr) != 2 {
		t.Errorf("about the release %v were called, want %v; rejected %v, asked of the EDR: %v", got, want, s.rejections(), s.edr)
	}
}

func TestAnApproverIsCalledWhenTheTaskIsDone(t *testing.T) {
	s := newStory(t)
	confirmed := s.directory
	s.directory = confirmed.Approvers(map[uuid.UUID]bool{first: true, ciso: true})
	s.answers = s.presses("1")
	s.askedOn()
	during := s.at(3 * time.Minute)
	s.env.RegisterDelayedCallback(func() { s.directory = confirmed }, 4*time.Minute)
	s.env.RegisterDelayedCallback(func() {
		done := s.request(models.RoleAnalyst, &incident.CompleteTask{Task: during.OpenTask(incident.TaskNoApprover, "a1").ID})
		s.give(done, "complete-task", nil)
	}, 5*time.Minute)
	var isolated []string
	s.env.RegisterDelayedCallback(func() { isolated = slices.Clone(s.edr) }, 10*time.Minute)
	s.containedBy(2 * time.Hour)
	s.run(models.SeverityMedium)
	if !slices.Equal(s.called(), []uuid.UUID{first}) || len(isolated) != 1 {
		t.Errorf("called %v, asked of the EDR: %v", s.called(), isolated)
	}
}

func TestWhoeverHearsTheReferenceInACallAboutAnApprovalStopsThePhones(t *testing.T) {
	for name, unsaid := range map[string]bool{"as the contact said": false, "as nobody said": true} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.unsaid = unsaid
			s.answers = func(e notify.Effect) {
				if e.Purpose == notify.PurposeApproval && e.Contact == first {
					s.env.SignalWorkflow(models.SignalKeyPress, notify.KeyPress{Effect: e.Key, Contact: e.Contact, Digit: notify.KeyHeard})
				}
				s.hears(models.CallNoAnswer)(e)
			}
			s.askedOn()
			during := s.at(10 * time.Minute)
			s.env.RegisterDelayedCallback(func() { s.unsaid, s.answers = false, s.presses("9") }, 20*time.Minute)
			s.after(30*time.Minute, models.RoleAdmin, &incident.Deny{Approval: "a1", Reason: "not now"})
			s.closes(3 * time.Hour)
			s.run(models.SeverityCritical)
			a := during.Acknowledged
			if unsaid && (a != nil || len(s.rejections()) == 0) || !unsaid && (a == nil || a.By != models.ContactActor(first) || a.Channel != "voice") {
				t.Errorf("acknowledged %+v, rejected %v", a, s.rejections())
			}
			if during.Endpoints[0].Approval.Granted {
				t.Error("hearing which device it is approves")
			}
		})
	}
}

// voiding returns whose earlier consents counted no more, in order.
func (s *story) voiding() (all []models.Actor) {
	for _, e := range s.events {
		if d, is := e.Data.(*incident.ApprovalGiven); is {
			all = append(all, d.Voided...)
		}
	}
	return all
}

// A responder approves with a token that was stolen, and is disabled for it. The next one who agrees is the first.
func TestTheConsentOfAUserWhoWasDisabledSinceIsNoneOfTwo(t *testing.T) {
	for name, second := range map[string]func(*story){
		"before a user agrees": func(s *story) { s.after(12*time.Minute, models.RoleAdmin, &incident.Approve{Approval: "a1"}) },
		"before a contact agrees": func(s *story) {
			s.env.RegisterDelayedCallback(func() {
				s.saidIn = notify.ApprovalCallEffect(ref, acme, "a1", "e1", 1, 1, first).Key
				s.answersAbout("a1", first, notify.KeyAcknowledge)
			}, 12*time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.answers = s.hears(models.CallNoAnswer)
			s.needsTwo("eva@acme.example", "max@acme.example")
			s.after(10*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"})
			s.env.RegisterDelayedCallback(func() { s.disabled = map[string]bool{user(models.RoleResponder).ID: true} }, 11*time.Minute)
			second(s)
			during := s.at(20 * time.Minute)
			var isolated []string
			s.env.RegisterDelayedCallback(func() { isolated, s.disabled = slices.Clone(s.edr), nil }, 20*time.Minute)
			s.after(21*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"}) // enabled again
			s.env.RegisterDelayedCallback(func() { s.saidIn, s.answers = "", s.presses("1") }, time.Hour)
			s.containedBy(3 * time.Hour)
			i := s.run(models.SeverityMedium)
			if a := during.Endpoints[0].Approval; len(isolated) != 0 || !a.IsAnswerable() || len(a.Given) != 1 || a.Given[0].By == user(models.RoleResponder) {
				t.Errorf("isolated %v on the consents %+v", isolated, a.Given)
			}
			if got := s.voiding(); !slices.Equal(got, []models.Actor{user(models.RoleResponder)}) || len(s.edr) != 2 || i.Phase != incident.PhaseClosed {
				t.Errorf("voided %+v, asked of the EDR %v, phase %s", got, s.edr, i.Phase)
			}
		})
	}
}

// The calls count those who may act, whoever agreed before them.
func TestTheCallsGoOnInThePlaceOfWhoMayNotActAnyMore(t *testing.T) {
	third := modelstest.ContactID(2)
	for name, isUser := range map[string]bool{"a user who agreed before the calls": true, "a contact who agreed in a call": false} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			lost := models.ContactActor(first)
			s.needsTwo("eva@acme.example", "max@acme.example", "uta@acme.example")
			if isUser { // the calls begin later, with the responder's consent
				lost = user(models.RoleResponder)
				later := s.directory
				s.directory = later.Approvers(map[uuid.UUID]bool{first: true, ciso: true, third: true})
				s.after(3*time.Minute, models.RoleResponder, &incident.Approve{Approval: "a1"})
				waits := s.at(4 * time.Minute)
				s.env.RegisterDelayedCallback(func() {
					s.directory.Contacts = later.Contacts[1:]
					done := &incident.CompleteTask{Task: waits.OpenTask(incident.TaskNoApprover, "a1").ID}
					s.give(s.request(models.RoleAnalyst, done), done.Name(), nil)
				}, 5*time.Minute)
			}
			s.answers = func(e notify.Effect) {
				if e.Contact == ciso && notify.IsCallAbout(e.Key, ref, "a1") { // the second one's phone rings already
					s.directory.Contacts = slices.Clone(s.directory.Contacts)
					s.directory.Contacts[0].Approver, s.disabled = nil, map[string]bool{user(models.RoleResponder).ID: true}
					if isUser {
						s.directory.Contacts[0].Approver = &models.Approver{}
					}
				}
				s.presses("1")(e)
			}
			during := s.at(20 * time.Minute)
			var called []uuid.UUID
			s.env.RegisterDelayedCallback(func() { called, s.disabled = s.calledAbout("a1"), nil }, 20*time.Minute)
			s.containedBy(3 * time.Hour)
			s.run(models.SeverityMedium)
			if !slices.Contains(called, third) || !during.Endpoints[0].Approval.Granted {
				t.Errorf("called %v, %+v", called, during.Endpoints[0].Approval)
			}
			if got := s.voiding(); !slices.Equal(got, []models.Actor{lost}) {
				t.Errorf("voided %+v, want %+v", got, lost)
			}
		})
	}
}
