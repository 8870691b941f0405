package incident_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// lostStory is an incident whose workflow is gone, with two contacts who have mail, texts and a phone.
type lostStory struct {
	*testing.T
	incident.Lost
	at time.Time
}

func newLostStory(t *testing.T, severity models.Severity) *lostStory {
	s := &lostStory{T: t, at: modelstest.T0}
	s.Directory = notify.Directory{Zone: time.UTC, Contacts: []models.Contact{}}
	for n := range 2 {
		s.Directory.Contacts = append(s.Directory.Contacts, models.Contact{
			ID: modelstest.ContactID(n + 1), Order: n, Severities: models.Severities(),
			Channels: []models.Channel{models.ChannelEmail, models.ChannelSMS, models.ChannelVoice},
		})
	}
	s.by(ask(models.RoleAnalyst).Actor, &incident.Opened{Reference: "SI-1042-0007", ClientID: modelstest.ClientID, Title: "T", Severity: severity})
	s.by(ask(models.RoleAnalyst).Actor, &incident.Published{Expedited: true})
	return s
}

// by lets an actor cause events, a minute apart.
func (s *lostStory) by(who models.Actor, data ...incident.EventData) {
	s.Helper()
	for _, d := range data {
		e := incident.NewEvent(s.Incident, s.at, who, d)
		if err := s.Incident.Apply(e); err != nil {
			s.Fatal(err)
		}
		s.Events, s.at = append(s.Events, e), s.at.Add(time.Minute)
	}
}

func (s *lostStory) system(data ...incident.EventData) { s.Helper(); s.by(models.System(), data...) }

// key returns the key of a message to the n-th contact.
func (s *lostStory) key(n notify.Notification, contact int, ch models.Channel) string {
	return notify.MessageEffect(s.Incident.Reference, s.Incident.ClientID, n.AddressedTo(notify.Recipient{Contact: modelstest.ContactID(contact), Channel: ch})).Key
}

func (s *lostStory) messaged(n notify.Notification, contact int) *incident.ContactMessaged {
	return &incident.ContactMessaged{
		Contact: modelstest.ContactID(contact), Channel: models.ChannelEmail, Purpose: n.Purpose, Revision: n.Revision, Effect: s.key(n, contact, models.ChannelEmail),
	}
}

// want checks the keys of the messages with which a new run would go on.
func (s *lostStory) want(keys ...string) {
	s.Helper()
	var have []string
	for _, n := range s.State().Notifications {
		have = append(have, notify.MessageEffect(s.Incident.Reference, s.Incident.ClientID, n).Key)
	}
	slices.Sort(have)
	slices.Sort(keys)
	if !slices.Equal(have, keys) {
		s.Errorf("a new run would send %q, want %q", have, keys)
	}
}

var (
	publishedFirst = notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1}
	mail, sms      = models.ChannelEmail, models.ChannelSMS
)

func TestALostRunsMessagesAreSentByTheNext(t *testing.T) {
	client := ask(models.RoleResponder).Actor
	for name, test := range map[string]func(s *lostStory) []string{
		"nobody was told": func(s *lostStory) []string {
			return []string{s.key(publishedFirst, 1, mail), s.key(publishedFirst, 2, mail)}
		},
		"one was told": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1))
			return []string{s.key(publishedFirst, 2, mail)}
		},
		"a mail that was handed over and not recorded is asked about": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1))
			s.Ledger = []notify.Delivery{{Key: s.key(publishedFirst, 2, mail), Kind: notify.EffectMail, State: notify.EffectAccepted}}
			return []string{s.key(publishedFirst, 2, mail)}
		},
		"a message that was taken back is not sent": func(s *lostStory) []string {
			s.Ledger = []notify.Delivery{{Key: s.key(publishedFirst, 2, mail), Kind: notify.EffectMail, State: notify.EffectCanceled}}
			return []string{s.key(publishedFirst, 1, mail)}
		},
		"a contact who has no mail address any more was told by mail": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2))
			s.Directory.Contacts[0].Channels = []models.Channel{models.ChannelSMS}
			return nil
		},
		"a revision replaces the first report": func(s *lostStory) []string {
			s.by(ask(models.RoleAnalyst).Actor, &incident.Revised{Material: true})
			revised := notify.Notification{Purpose: notify.PurposeRevised, Revision: 2, Occurrence: 1}
			return []string{s.key(revised, 1, mail), s.key(revised, 2, mail)}
		},
		"the last reminder, while it is their turn": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2), &incident.ReminderSent{Number: 1}, &incident.ReminderSent{Number: 2})
			reminder := notify.Notification{Purpose: notify.PurposeReminder, Revision: 1, Occurrence: 2}
			return []string{s.key(reminder, 1, mail), s.key(reminder, 2, mail)}
		},
		"no reminder when it is not their turn": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2), &incident.ReminderSent{Number: 1})
			s.by(client, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeResolved})
			return nil
		},
		"an open question": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2))
			s.by(ask(models.RoleAnalyst).Actor, &incident.QuestionAsked{ID: "q1", Text: "?", Answers: []string{"a", "b"}, Deadline: s.at.Add(time.Hour)})
			question := notify.Notification{Purpose: notify.PurposeQuestion, Revision: 1, Occurrence: s.Incident.Seq, Question: "q1"}
			return []string{s.key(question, 1, mail), s.key(question, 2, mail)}
		},
		"no question that was answered": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2))
			s.by(ask(models.RoleAnalyst).Actor, &incident.QuestionAsked{ID: "q1", Text: "?", Answers: []string{"a", "b"}, Deadline: s.at.Add(time.Hour)})
			s.by(client, &incident.QuestionAnswered{Question: "q1", Answer: "a"})
			return nil
		},
		"the fallback of a mail that did not arrive": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2),
				&incident.NotDelivered{Contact: modelstest.ContactID(1), Channel: mail, Effect: s.key(publishedFirst, 1, mail), Reason: "bounce", Fallback: sms})
			return []string{s.key(publishedFirst, 1, sms)}
		},
		"no fallback that was sent": func(s *lostStory) []string {
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2),
				&incident.NotDelivered{Contact: modelstest.ContactID(1), Channel: mail, Effect: s.key(publishedFirst, 1, mail), Reason: "bounce", Fallback: sms},
				&incident.ContactMessaged{Contact: modelstest.ContactID(1), Channel: sms, Purpose: notify.PurposePublished, Revision: 1, Effect: s.key(publishedFirst, 1, sms)})
			return nil
		},
		"the text to a contact who missed a call": func(s *lostStory) []string {
			missed := publishedFirst
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2), &incident.CallRoundStarted{Round: 1},
				&incident.ContactCalled{CallResult: notify.CallResult{Round: 1, Try: 1, Contact: modelstest.ContactID(2), Outcome: notify.OutcomeNoAnswer}},
				&incident.NotDelivered{Contact: modelstest.ContactID(2), Channel: models.ChannelVoice, Effect: s.key(missed, 2, models.ChannelVoice), Reason: "no_answer", Fallback: sms})
			return []string{s.key(publishedFirst, 2, sms)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLostStory(t, models.SeverityHigh)
			s.want(test(s)...)
		})
	}
}

func TestALostRunsCallsAreMadeByTheNext(t *testing.T) {
	failed := func(s *lostStory) string {
		key := s.key(publishedFirst, 1, mail)
		s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2),
			&incident.NotDelivered{Contact: modelstest.ContactID(1), Channel: mail, Effect: key, Reason: "bounce", Fallback: models.ChannelVoice})
		return key
	}
	called := &incident.ContactCalled{CallResult: notify.CallResult{Round: 1, Try: 1, Contact: modelstest.ContactID(1), Outcome: notify.OutcomeNoAnswer}}
	s := newLostStory(t, models.SeverityHigh)
	key := failed(s)
	if state := s.State(); len(state.PendingCalls) != 1 || state.PendingCalls[0].Contact != modelstest.ContactID(1) || !slices.Equal(state.FallbacksSent, []string{key}) {
		t.Errorf("a mail that did not arrive: %+v %q", state.PendingCalls, state.FallbacksSent)
	}
	s.system(&incident.CallRoundStarted{Round: 1}, called)
	state := s.State()
	if len(state.PendingCalls) != 0 {
		t.Errorf("called meanwhile: %+v", state.PendingCalls)
	}
	want := &notify.CallRound{Round: 1, Revision: 1, Tried: map[uuid.UUID]notify.LastCall{modelstest.ContactID(1): {Try: 1, Outcome: notify.OutcomeNoAnswer}}}
	if len(state.Rounds) != 1 || !reflect.DeepEqual(state.Rounds[0], want) {
		t.Errorf("the round goes on as %+v, want %+v", state.Rounds, want)
	}
	s.system(&incident.CallRoundEnded{CallRoundResult: notify.CallRoundResult{Round: 1}})
	if state := s.State(); len(state.Rounds) != 0 {
		t.Errorf("a round that is over goes on: %+v", state.Rounds)
	}
	s = newLostStory(t, models.SeverityCritical)
	failed(s)
	if state := s.State(); len(state.PendingCalls) != 0 || !state.Incident.NeedsCalls() {
		t.Errorf("a critical incident calls everybody anyway: %+v", state.PendingCalls)
	}
}

// The ledger has calls whose ends the lost run did not come to report.
func TestALostRunsCallsUnderWayAreSeenThrough(t *testing.T) {
	s := newLostStory(t, models.SeverityCritical)
	s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2), &incident.CallRoundStarted{Round: 1},
		&incident.ContactCalled{CallResult: notify.CallResult{Round: 1, Try: 1, Contact: modelstest.ContactID(1), Outcome: notify.OutcomeBusy}})
	s.by(ask(models.RoleAnalyst).Actor, &incident.IsolationRequested{Endpoint: "e1", Hostname: "ws-1", Reason: "r"})
	s.system(&incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "agent", DeviceName: "ws-1", State: models.HostNormal}, &incident.ContainmentRuled{
		Endpoint: "e1", Generation: 1, Approval: "a1", AgentID: "agent", Asset: authority.Asset{Hostname: "ws-1", DeviceName: "ws-1"},
		Ruling: authority.Ruling{Decision: authority.DecideAsk, Persons: 1}, ApproveFor: models.Duration(time.Hour), Lease: models.Duration(time.Hour),
	})
	row := func(e notify.Effect, outcome notify.CallOutcome, status models.CallStatus) notify.Delivery {
		return notify.Delivery{Key: e.Key, Kind: e.Kind, Purpose: e.Purpose, Contact: e.Contact, Endpoint: e.Endpoint, Occurrence: e.Occurrence,
			State: notify.EffectAccepted, VendorID: "CA-" + e.Key, VendorState: string(status), Outcome: string(outcome), AcceptedAt: s.at}
	}
	ref, client := s.Incident.Reference, s.Incident.ClientID
	call := func(round, try, contact int) notify.Effect {
		return notify.CallEffect(ref, client, 1, round, try, modelstest.ContactID(contact))
	}
	about := func(approval string, round, try, contact int) notify.Effect {
		return notify.ApprovalCallEffect(ref, client, approval, "e1", round, try, modelstest.ContactID(contact))
	}
	rings, asks, old := call(1, 2, 1), about("a1", 1, 2, 2), about("a0", 1, 1, 1)
	s.Ledger = []notify.Delivery{
		row(call(1, 1, 1), notify.OutcomeBusy, models.CallBusy), row(rings, "", models.CallInProgress),
		row(about("a1", 1, 1, 1), notify.OutcomeVoicemail, models.CallCompleted), row(about("a1", 1, 1, 2), notify.OutcomeBusy, models.CallBusy), row(asks, "", ""),
		row(old, "", models.CallInProgress), row(about("a0", 1, 1, 2), "", models.CallCompleted), // nobody needs it any more: what rings is hung up
	}
	underWay := func(e notify.Effect, contact, try int, status models.CallStatus) *notify.Call {
		return &notify.Call{Contact: modelstest.ContactID(contact), Try: try, ID: "CA-" + e.Key, Placed: s.at, Alive: s.at, Status: status}
	}
	want := []*notify.CallRound{
		{Round: 1, Revision: 1, Call: underWay(rings, 1, 2, models.CallInProgress), Tried: map[uuid.UUID]notify.LastCall{modelstest.ContactID(1): {Try: 1, Outcome: notify.OutcomeBusy}}},
		{Round: 1, Revision: 1, Approval: "a1", Endpoint: "e1", Call: underWay(asks, 2, 2, ""), Tried: map[uuid.UUID]notify.LastCall{
			modelstest.ContactID(1): {Try: 1, Outcome: notify.OutcomeVoicemail, FromLedger: true}, modelstest.ContactID(2): {Try: 1, Outcome: notify.OutcomeBusy, FromLedger: true},
		}},
		{Round: 1, Revision: 1, Approval: "a0", Endpoint: "e1", Call: underWay(old, 1, 1, models.CallInProgress)},
	}
	if got := s.State().Rounds; !reflect.DeepEqual(got, want) {
		t.Errorf("the rounds that go on are %s, want %s", modelstest.Snapshot(t, got), modelstest.Snapshot(t, want))
	}
}

// Of what a contact said only the last word in a call counts, and nothing that was taken or refused since.
func TestALostRunsContactsAreHeard(t *testing.T) {
	s := newLostStory(t, models.SeverityCritical)
	ref, client := s.Incident.Reference, s.Incident.ClientID
	said := func(contact, round int, key notify.Key) notify.Statement {
		e := notify.CallEffect(ref, client, 1, round, 1, modelstest.ContactID(contact))
		return notify.Statement{Effect: e.Key, Key: key, Contact: modelstest.ContactID(contact), Seq: s.Incident.Seq}
	}
	heard := func(what string, want ...notify.Statement) {
		t.Helper()
		if got := s.State().Missed; !slices.Equal(got, want) {
			t.Errorf("%s: heard is %+v, want %+v", what, got, want)
		}
	}
	heard("nothing said")
	one := said(1, 1, notify.KeyAcknowledge)
	s.Said = []notify.Statement{one, said(2, 1, notify.KeyAcknowledge), said(2, 1, notify.KeyNextContact)}
	heard("one acknowledges, and another one changes their mind", one)
	s.system(&incident.CommandRejected{Command: "approve", Reason: "r", By: models.ContactActor(modelstest.ContactID(1))})
	heard("something else was refused since", one)
	s.system(&incident.CommandRejected{Command: "acknowledge", Reason: "r", By: models.ContactActor(modelstest.ContactID(1))})
	heard("it was refused since")
	again := said(1, 2, notify.KeyAcknowledge)
	s.Said = append(s.Said, again)
	heard("and said again", again)
	s.by(models.ContactActor(modelstest.ContactID(1)), &incident.AcknowledgedBy{Channel: "voice", How: "key press 1"})
	heard("and taken")
}

func TestALostRunsApprovalAndActionAreGoneOnWith(t *testing.T) {
	s := newLostStory(t, models.SeverityHigh)
	s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2))
	s.by(ask(models.RoleAnalyst).Actor, &incident.IsolationRequested{Endpoint: "e1", Hostname: "ws-1", Reason: "r"})
	ruled := &incident.ContainmentRuled{
		Endpoint: "e1", Generation: 1, Approval: "a1", AgentID: "agent", Asset: authority.Asset{Hostname: "ws-1", DeviceName: "ws-1"},
		Ruling: authority.Ruling{Decision: authority.DecideAsk, Persons: 1}, ApproveFor: models.Duration(time.Hour), Lease: models.Duration(time.Hour),
	}
	s.system(&incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "agent", DeviceName: "ws-1", State: models.HostNormal}, ruled)
	asked := notify.Notification{Purpose: notify.PurposeApproval, Revision: 1, Occurrence: s.Incident.Seq}
	s.want(s.key(asked, 1, mail), s.key(asked, 2, mail))
	if state := s.State(); len(state.ApprovalRounds) != 0 || state.EndpointVersions["e1"] != 2 {
		t.Errorf("the calls about it begin anew: %+v %+v", state.ApprovalRounds, state.EndpointVersions)
	}
	call := func(approval string, round, contact int) string {
		return notify.ApprovalCallEffect(s.Incident.Reference, s.Incident.ClientID, approval, "e1", round, 1, modelstest.ContactID(contact)).Key
	}
	awaits := func(want bool, what, effect string, key notify.Key, contact, seq int) {
		t.Helper()
		if got := s.Incident.AwaitsAnswer(notify.Statement{Effect: effect, Key: key, Contact: modelstest.ContactID(contact), Seq: seq}); got != want {
			t.Errorf("%s: awaited %t", what, got)
		}
	}
	now := s.Incident.Seq
	awaits(true, "an approval", call("a1", 1, 2), notify.KeyAcknowledge, 2, now)
	awaits(true, "a denial", call("a1", 1, 2), notify.KeyDeny, 2, now)
	awaits(true, "in a call that was quicker than the store", call("a1", 1, 2), notify.KeyDeny, 2, 1)
	awaits(true, "who heard of it", call("a1", 1, 2), notify.KeyHeard, 2, now)
	text := notify.MessageEffect(s.Incident.Reference, s.Incident.ClientID, asked.AddressedTo(notify.Recipient{Contact: modelstest.ContactID(2), Channel: sms}))
	awaits(true, "the code of a text about it", text.Key, notify.KeyReply, 2, now)
	awaits(false, "about another approval", call("a2", 1, 2), notify.KeyAcknowledge, 2, now)
	awaits(false, "before it was asked", call("a1", 0, 2), notify.KeyAcknowledge, 2, 1)
	awaits(false, "the next contact", call("a1", 1, 2), notify.KeyNextContact, 2, now)
	s.by(ask(models.RoleResponder).Actor, &incident.ApprovalGiven{Approval: "a1", Via: "api"})
	awaits(false, "an approval that was given", call("a1", 1, 2), notify.KeyDeny, 2, now)
	s.system(ruled)
	s.Ledger = []notify.Delivery{
		{Kind: notify.EffectIsolate, Endpoint: "e1", Revision: 1, Occurrence: 1}, {Kind: notify.EffectIsolate, Endpoint: "e1", Revision: 1, Occurrence: 2},
		{Kind: notify.EffectIsolate, Endpoint: "e2", Revision: 1, Occurrence: 5},
	}
	state := s.State()
	e := s.EndpointState(state.Incident.Endpoints[0])
	if !e.Wanted.Permitted || !e.ActionSent || e.FailedActions != 1 || e.AgentID != "agent" || state.EndpointVersions["e1"] != 3 {
		t.Errorf("the endpoint goes on with %+v, version %d", e, state.EndpointVersions["e1"])
	}
	s.want() // the approval was given
}

func TestWhoHasApprovedIsNotCalledAboutIt(t *testing.T) {
	s := newLostStory(t, models.SeverityHigh)
	person := models.PersonOf("two@acme.example")
	s.Incident.Endpoints = []incident.Endpoint{{ID: "e1", Approval: &incident.Approval{ID: "a1", Asked: 1, Ruling: authority.Ruling{Persons: 3}, Given: []incident.Consent{
		{By: models.ContactActor(modelstest.ContactID(1)), Via: "voice"}, {By: models.Actor{Side: models.SideClient, ID: "user"}, Person: person, Via: "portal"},
	}}}}
	called := s.Incident.Endpoints[0].CallableAbout([]notify.Recipient{
		{Contact: modelstest.ContactID(1)}, {Contact: modelstest.ContactID(2), Person: person}, {Contact: modelstest.ContactID(3), Person: "another"}, {Contact: modelstest.ContactID(4)},
	})
	if !slices.Equal(called, []uuid.UUID{modelstest.ContactID(3)}) {
		t.Errorf("called are %v, want the third", called)
	}
}

func TestAnAcknowledgementOfSomethingLessSevereIsNotAwaited(t *testing.T) {
	s := newLostStory(t, models.SeverityHigh)
	call := func(revision int) string {
		return notify.CallEffect(s.Incident.Reference, s.Incident.ClientID, revision, 1, 1, modelstest.ContactID(1)).Key
	}
	awaits := func(revision, seq int) bool {
		return s.Incident.AwaitsAnswer(notify.Statement{Effect: call(revision), Key: notify.KeyAcknowledge, Contact: modelstest.ContactID(1), Seq: seq})
	}
	said := s.Incident.Seq
	if !awaits(1, said) {
		t.Error("before anybody acknowledged, an acknowledgement is not awaited")
	}
	s.by(models.ContactActor(modelstest.ContactID(1)), &incident.AcknowledgedBy{Channel: "sms", How: "reply to text message"})
	if awaits(1, s.Incident.Seq) {
		t.Error("it is awaited though somebody acknowledged")
	}
	critical := models.SeverityCritical
	s.by(ask(models.RoleAnalyst).Actor, &incident.Assessed{Severity: critical, Assessment: s.Incident.Assessment}, &incident.Revised{Material: true})
	if awaits(1, said) || !awaits(2, said) || !awaits(1, s.Incident.Seq) {
		t.Errorf("after it was raised: of before %t, in a call about the revision %t, since %t", awaits(1, said), awaits(2, said), awaits(1, s.Incident.Seq))
	}
}

func TestAnIncidentThatIsOverNeedsItsWorkflowForAWhile(t *testing.T) {
	for name, test := range map[string]struct {
		does func(s *lostStory)
		want bool
	}{
		"its last mails were not handed over": {func(s *lostStory) { s.ReadAt = s.at.Add(60 * 24 * time.Hour) }, true},
		"the client may rate it": {func(s *lostStory) {
			s.ReadAt = s.at.Add(29 * 24 * time.Hour)
			s.toldOfClosure()
		}, true},
		"the client has rated it": {func(s *lostStory) {
			s.ReadAt = s.at.Add(29 * 24 * time.Hour)
			s.toldOfClosure()
			s.by(ask(models.RoleResponder).Actor, &incident.FeedbackGiven{Rating: 5})
		}, false},
		"nothing is left": {func(s *lostStory) {
			s.ReadAt = s.at.Add(31 * 24 * time.Hour)
			s.toldOfClosure()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLostStory(t, models.SeverityHigh)
			s.Policy = models.DefaultPolicy()
			s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2))
			s.by(ask(models.RoleResponder).Actor, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeResolved})
			s.by(ask(models.RoleAnalyst).Actor, &incident.Verified{Gone: true})
			s.by(ask(models.RoleResponder).Actor, &incident.Closed{Decision: "d"})
			test.does(s)
			if got := s.NeedsWorkflow(); got != test.want {
				t.Errorf("needs its workflow: %t, want %t", got, test.want)
			}
		})
	}
}

// toldOfClosure lets everybody have the mail about the closure.
func (s *lostStory) toldOfClosure() {
	closed := notify.Notification{Purpose: notify.PurposeClosed, Revision: 1, Occurrence: 1}
	s.system(s.messaged(closed, 1), s.messaged(closed, 2))
}

// A contact who came later is told nothing of what is over, and the others still get what was left.
func TestAContactWhoCameLaterIsNotToldOfAnIncidentThatIsOver(t *testing.T) {
	s := newLostStory(t, models.SeverityHigh)
	client := ask(models.RoleAdmin).Actor
	s.system(s.messaged(publishedFirst, 1), s.messaged(publishedFirst, 2))
	newcomer := s.Directory.Contacts[0]
	newcomer.ID = modelstest.ContactID(9)
	s.Directory.Contacts = append(s.Directory.Contacts, newcomer)
	s.want(s.key(publishedFirst, 9, models.ChannelEmail))
	s.by(client, &incident.ClosureRequested{Decision: "d", Outcome: incident.OutcomeResolved, Note: "x"})
	s.by(ask(models.RoleAnalyst).Actor, &incident.Verified{Gone: false, Note: "n"})
	still := notify.Notification{Purpose: notify.PurposeStillPresent, Revision: 1, Occurrence: s.Incident.Seq}
	s.system(s.messaged(still, 1), s.messaged(still, 2))
	expires := s.at.Add(24 * time.Hour)
	s.by(client, &incident.ClosureConfirmed{Decision: "d2", Reason: "r", ExpiresAt: expires}, &incident.Closed{Decision: "d2"})
	closed := notify.Notification{Purpose: notify.PurposeClosed, Revision: 1, Occurrence: 1}
	s.system(s.messaged(closed, 1))
	s.want(s.key(closed, 2, models.ChannelEmail))
	s.system(s.messaged(closed, 2))
	s.want()
}

func TestIncidentsWithOneReferenceHaveDifferentIDs(t *testing.T) {
	first := newLostStory(t, models.SeverityHigh).Incident
	second := first
	second.OpenedAt = first.OpenedAt.Add(time.Microsecond)
	other := first
	other.ClientID = uuid.New()
	if first.ID() == second.ID() || first.ID() == other.ID() || first.ID() != newLostStory(t, models.SeverityLow).Incident.ID() {
		t.Error("ids do not tell incidents apart")
	}
}
