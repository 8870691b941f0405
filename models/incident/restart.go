package incident

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// ID returns what tells this incident from every other one, also from one that had the same reference in a database
// that was lost. It follows from the client, the reference and the moment of opening.
func (i Incident) ID() uuid.UUID {
	return uuid.NewSHA1(i.ClientID, fmt.Appendf(nil, "%s %d", i.Reference, i.OpenedAt.UnixMicro()))
}

// Repeated returns the numbers of those events that say the same as one of the incident's after a number, each of those
// once: Temporal hands a workflow that was reset the signals once more that came since.
func (l Lost) Repeated(events []Event, after int) (repeated []int) {
	rest := slices.DeleteFunc(slices.Clone(l.Events), func(e Event) bool { return e.Seq <= after })
	for _, e := range events {
		same := func(known Event) bool { return known.Actor == e.Actor && reflect.DeepEqual(known.Data, e.Data) }
		if n := slices.IndexFunc(rest, same); n >= 0 {
			rest, repeated = slices.Delete(rest, n, n+1), append(repeated, e.Seq)
		}
	}
	return repeated
}

// NotificationsAfter returns the messages to everyone that follow from an event, which was applied last.
func (i Incident) NotificationsAfter(e Event) (all []notify.Notification) {
	add := func(n notify.Notification) {
		n.Revision, n.Severity = i.Revision, i.PublishedSeverity
		all = append(all, n)
	}
	approval := notify.Notification{Purpose: notify.PurposeApproval, Occurrence: e.Seq}
	switch d := e.Data.(type) {
	case *Published:
		add(notify.Notification{Purpose: notify.PurposePublished, Occurrence: 1})
		if slices.ContainsFunc(i.Endpoints, func(p Endpoint) bool { return p.Approval.IsAnswerable() }) {
			add(approval)
		}
	case *Revised:
		if d.Material {
			add(notify.Notification{Purpose: notify.PurposeRevised, Occurrence: 1})
		}
	case *Verified:
		if !d.Gone && i.Phase == PhaseClosureRequested {
			add(notify.Notification{Purpose: notify.PurposeStillPresent, Occurrence: e.Seq})
		}
	case *Closed:
		add(notify.Notification{Purpose: notify.PurposeClosed, Occurrence: 1})
	case *QuestionAsked:
		add(notify.Notification{Purpose: notify.PurposeQuestion, Occurrence: e.Seq, Question: d.ID})
	case *QuestionReminded:
		add(notify.Notification{Purpose: notify.PurposeQuestionReminder, Occurrence: e.Seq, Question: d.Question})
	case *ReminderSent:
		add(notify.Notification{Purpose: notify.PurposeReminder, Occurrence: d.Number})
	case *ContainmentRuled:
		p := i.Endpoint(d.Endpoint)
		if p.Approval.IsAnswerable() && p.Approval.Denied == nil && !p.IsPermitted() {
			add(approval)
		}
	case *RiskExpired:
		add(notify.Notification{Purpose: notify.PurposeRisk, Occurrence: e.Seq})
	case *LeaseDue:
		add(notify.Notification{Purpose: notify.PurposeLease, Occurrence: e.Seq})
	}
	return all
}

// IsAtRest reports whether nothing is to be done about an endpoint any more: the EDR confirmed its release, or it was
// never held, or other incidents hold it. A device that is kept isolated after closure is not at rest.
func (p Endpoint) IsAtRest(over bool) bool {
	return (over || p.Desired == models.DesiredReleased) && !p.IsHeld()
}

// WatchedUntil returns until when a released device is looked at, with a little more for the looks themselves; the zero
// time for any other.
func (p Endpoint) WatchedUntil(policy models.Policy) time.Time {
	if p.Permitted != models.DesiredReleased || len(p.HeldBy) > 0 {
		return time.Time{}
	}
	return p.ObservedAt.Add(policy.ReleaseWatch() * 11 / 10)
}

// IsUnseen reports whether a released device could not be looked at, so that nobody knows whether it is isolated.
func (p Endpoint) IsUnseen() bool {
	return p.Permitted == models.DesiredReleased && p.Problem != "" && len(p.HeldBy) == 0
}

// NeedsWorkflow reports whether the incident cannot be without its workflow: the incident is not over, or a device of
// it is isolated, or may be, or the client is asked about an expired risk.
func (i Incident) NeedsWorkflow() bool {
	return !i.IsOver() || i.isAskedAboutRisks() || slices.ContainsFunc(i.Endpoints, func(p Endpoint) bool { return p.IsHeld() || p.IsUnseen() })
}

// Lost is what is known of an incident whose workflow is gone.
type Lost struct {
	ReadAt    time.Time // by the store's clock
	Incident  Incident
	Policy    models.Policy
	Events    []Event            // all of them, in order
	Ledger    []notify.Delivery  // all effects of the incident
	Said      []notify.Statement // by contacts, in the order it came
	Directory notify.Directory
}

// NeedsWorkflow reports whether the lost workflow had something left to do: the incident needs one, takes feedback of
// the client, has a device that was released lately, or messages that were not handed over.
func (l Lost) NeedsWorkflow() bool {
	i := l.Incident
	takesFeedback := i.Phase == PhaseClosed && i.Feedback == nil && l.ReadAt.Before(i.ClosedAt.Add(time.Duration(l.Policy.FeedbackWindow)))
	isWatched := slices.ContainsFunc(i.Endpoints, func(p Endpoint) bool { return l.ReadAt.Before(p.WatchedUntil(l.Policy)) })
	return i.NeedsWorkflow() || i.HasExpiredRisk(l.ReadAt) || takesFeedback || isWatched || len(l.Unsent().Notifications) > 0
}

// ToldContacts returns the contacts whom messages or calls about the incident were meant for, unless they were taken back or
// rejected.
func (l Lost) ToldContacts() (told []uuid.UUID) {
	for _, d := range l.Ledger {
		if d.Contact != uuid.Nil && (d.State == notify.EffectIntended || d.State == notify.EffectAccepted) {
			told = append(told, d.Contact)
		}
	}
	return told
}

// HasRejected reports whether the incident says that a command with a request id was rejected.
func (l Lost) HasRejected(request string) bool {
	return slices.ContainsFunc(l.Events, func(e Event) bool {
		d, is := e.Data.(*CommandRejected)
		return is && d.RequestID == request
	})
}

// EndpointState returns the state from which a new workflow of an endpoint goes on.
func (l Lost) EndpointState(p Endpoint) EndpointState {
	s := EndpointState{
		Reference: l.Incident.Reference, ClientID: l.Incident.ClientID, Endpoint: p.ID, Hostname: p.Hostname, AgentID: p.AgentID, Policy: l.Policy,
		Wanted:     DesiredState{Desired: p.Desired, Generation: p.Generation, Permitted: p.IsPermitted(), ForAll: p.ForAll, Successions: p.Successions},
		ActionSent: p.Permitted != "",
	}
	if s.Permitted = s.Wanted; !s.Wanted.Permitted {
		s.Permitted = p.PermittedBefore()
	}
	for _, d := range l.Ledger { // the last action of that state is gone on with, and none before it
		if d.Endpoint == p.ID && d.Revision == s.Permitted.Generation && (d.Kind == notify.EffectIsolate || d.Kind == notify.EffectRelease) {
			s.FailedActions = max(s.FailedActions, d.Occurrence-1)
		}
	}
	return s
}

// AnswerCommand names what an answer of a contact does, as the commands of users are named. approval is what it is about,
// "" for the incident.
func AnswerCommand(key notify.Key, approval string) string {
	switch {
	case key == notify.KeyDeny:
		return (*Deny)(nil).Name()
	case approval != "" && key == notify.KeyAcknowledge:
		return (*Approve)(nil).Name()
	}
	return (*Acknowledge)(nil).Name()
}

// approvalIn returns the approval that an answer is about, "" when it is about the incident: so is the code of a text, and
// that a contact heard which incident a call is about.
func (i Incident) approvalIn(a notify.Statement) string {
	if a.Key == notify.KeyReply || a.Key == notify.KeyHeard {
		return ""
	}
	approval, _ := notify.ApprovalOf(a.Effect, i.Reference)
	return approval
}

// AwaitsAnswer reports whether an answer is to something that the incident still asks.
func (i Incident) AwaitsAnswer(a notify.Statement) bool {
	if a.Key == notify.KeyNextContact {
		return false
	}
	if approval := i.approvalIn(a); approval != "" {
		e := i.EndpointOfApproval(approval)
		return e != nil && e.Approval.IsAnswerable() && !slices.Contains(e.Approval.Givers(), models.ContactActor(a.Contact)) &&
			(a.Seq >= e.Approval.AskedSeq || notify.RoundOf(a.Effect) >= e.Approval.Asked)
	}
	isAbout := i.AlarmRevision > 0 && notify.RevisionOf(a.Effect, i.Reference) >= i.AlarmRevision
	return (i.Acknowledged == nil || i.Exercise.IsFireDrill()) && !i.IsOver() && (a.Seq >= i.AlarmSeq || isAbout)
}

// missed returns the answers that the incident still awaits: of each call the last one, and none that was taken or refused
// since.
func (l Lost) missed() (all []notify.Statement) {
	for n, a := range l.Said {
		isSaidAnew := a.Key != notify.KeyHeard && slices.ContainsFunc(l.Said[n+1:], func(b notify.Statement) bool {
			return b.Effect == a.Effect && b.Contact == a.Contact && b.Key != notify.KeyHeard
		})
		by, command := models.ContactActor(a.Contact), AnswerCommand(a.Key, l.Incident.approvalIn(a))
		isJudged := slices.ContainsFunc(l.Events, func(e Event) bool {
			switch d := e.Data.(type) {
			case *CommandRejected:
				return d.By == by && d.Command == command && e.Seq > a.Seq
			case *AcknowledgedBy:
				return e.Actor == by && e.Seq > a.Seq && l.Incident.approvalIn(a) == ""
			}
			return false
		})
		if !isSaidAnew && !isJudged && l.Incident.AwaitsAnswer(a) {
			all = append(all, a)
		}
	}
	return all
}

// rounds returns the rounds of calls that go on: the one about the incident, whose ended calls are known from the events,
// those about open approvals, and what is left of others: a call under way that is to be hung up.
func (l Lost) rounds(round *notify.CallRound) (all []*notify.CallRound) {
	if round != nil {
		all = append(all, round)
	}
	find := func(d notify.Delivery) *notify.CallRound {
		approval, isAbout := notify.ApprovalOf(d.Key, l.Incident.Reference)
		for _, r := range all {
			if r.Approval == approval && r.Round == d.Occurrence {
				return r
			}
		}
		e := l.Incident.EndpointOfApproval(approval)
		isOpen := e != nil && e.Approval.IsAnswerable() && e.Approval.Asked == d.Occurrence
		if !isAbout || !isOpen && (d.State != notify.EffectAccepted || d.Outcome != "" || models.CallStatus(d.VendorState).IsFinal()) {
			return nil
		}
		all = append(all, &notify.CallRound{Round: d.Occurrence, Revision: l.Incident.Revision, Approval: approval, Endpoint: d.Endpoint})
		return all[len(all)-1]
	}
	for _, d := range l.Ledger {
		if d.Kind != notify.EffectCall {
			continue
		}
		r, try := find(d), notify.TryOf(d.Key)
		switch {
		case r == nil || try <= r.Tried[d.Contact].Try:
		case d.Outcome != "" && r.Approval != "":
			r.Note(d.Contact, notify.LastCall{Try: try, Outcome: notify.CallOutcome(d.Outcome), FromLedger: true})
		case d.Outcome == "" && d.State == notify.EffectAccepted && (r.Call == nil || !models.CallStatus(d.VendorState).IsFinal()):
			r.Call = &notify.Call{Contact: d.Contact, Try: try, ID: d.VendorID, Placed: d.AcceptedAt, Alive: d.AcceptedAt, Status: models.CallStatus(d.VendorState)}
		}
	}
	return all
}

// CallableAbout returns who of some contacts is called about the open approval of an endpoint. Who has agreed is not
// called and, where two must agree, who cannot be told from another.
func (p Endpoint) CallableAbout(calls []notify.Recipient) (contacts []uuid.UUID) {
	for _, r := range calls {
		agreed := p.Approval.hasAgreed(models.ContactActor(r.Contact), r.Person)
		if !agreed && (p.Approval.Ruling.Persons <= 1 || r.Person != "") {
			contacts = append(contacts, r.Contact)
		}
	}
	return contacts
}

// State returns the state from which a new run of an incident's workflow goes on. What the lost run had not handed over
// yet follows from the events; the ledger keeps what was handed over from being done twice. The workflows of the
// endpoints are started beside it, because their reports to the lost run were in vain.
func (l Lost) State() State {
	s := State{Incident: l.Incident, Policy: l.Policy, EndpointVersions: map[string]int{}, ApprovalRounds: map[string]int{}}
	for _, p := range l.Incident.Endpoints {
		s.EndpointVersions[p.ID] = p.Version()
	}
	unsent := l.Unsent()
	s.Notifications, s.FallbacksSent, s.PendingCalls = unsent.Notifications, unsent.FallbacksSent, unsent.PendingCalls
	s.Rounds, s.Missed = unsent.Rounds, unsent.Missed
	return s
}

// Version returns a number that grows with every desired state of an endpoint, and once more when that is permitted.
func (p Endpoint) Version() int {
	if p.IsPermitted() {
		return 2*p.Generation + 1
	}
	return 2 * p.Generation
}

// Unsent is what was left to do about messages, as State has it.
type Unsent struct {
	Notifications []notify.Notification `json:"notifications,omitempty"`
	FallbacksSent []string              `json:"fallbacks_sent,omitempty"`
	PendingCalls  []notify.Recipient    `json:"pending_calls,omitempty"`
	Rounds        []*notify.CallRound   `json:"rounds,omitempty"`
	Missed        []notify.Statement    `json:"missed,omitempty"`
}

// Unsent returns the messages that were not handed over, the messages that got a fallback, the contacts who are to be
// called because a message did not reach them, the rounds of calls that go on, and what contacts said that nobody heard.
func (l Lost) Unsent() (unsent Unsent) {
	var i Incident
	known := map[string]notify.Notification{} // effect key -> the notification it is about
	settled := map[string]bool{}              // effect keys of messages that need no attempt
	called := map[uuid.UUID]int{}             // contact -> Seq of the last report of a call
	var round *notify.CallRound               // that goes on
	key := func(n notify.Notification) string { return notify.MessageEffect(i.Reference, i.ClientID, n).Key }
	var due, instead []notify.Notification
	var told []uuid.UUID
	var failed []Event
	reached := l.reached()
	for _, e := range l.Events {
		if i.Apply(e) != nil {
			break // the events were legal when they were recorded
		}
		for _, n := range i.NotificationsAfter(e) {
			for _, c := range l.Directory.Contacts {
				for _, ch := range []models.Channel{models.ChannelEmail, models.ChannelSMS} {
					one := n.AddressedTo(notify.Recipient{Contact: c.ID, Channel: ch})
					known[key(one)] = one
				}
			}
			for _, r := range l.Directory.Plan(n.Severity, e.At, told...).Messages {
				if l.Incident.IsOver() && !e.At.After(l.Incident.ClosedAt) && len(reached) > 0 && !reached[r.Contact] {
					continue // a contact since then, who knows nothing of the incident
				}
				due, told = append(due, n.AddressedTo(r)), append(told, r.Contact)
			}
		}
		switch d := e.Data.(type) {
		case *ContactMessaged:
			settled[d.Effect], told = true, append(told, d.Contact)
		case *ContactCalled:
			told = append(told, d.Contact)
			missed := notify.Notification{Purpose: notify.PurposePublished, Revision: i.Revision, Occurrence: 1, Contact: d.Contact, Channel: models.ChannelVoice}
			known[key(missed)] = missed
			called[d.Contact] = e.Seq
			if round != nil && d.Round == round.Round {
				round.Note(d.Contact, notify.LastCall{Try: d.Try, Outcome: d.Outcome})
			}
		case *CallRoundStarted:
			round = &notify.CallRound{Round: d.Round, Revision: i.Revision}
		case *CallRoundEnded:
			round = nil
		case *NotDelivered:
			settled[d.Effect] = true
			failed = append(failed, e)
		}
	}
	unsent.Rounds, unsent.Missed = l.rounds(round), l.missed()
	for _, d := range l.Ledger {
		settled[d.Key] = settled[d.Key] || d.State == notify.EffectCanceled
	}
	for _, e := range failed {
		d, _ := e.Data.(*NotDelivered)
		unsent.FallbacksSent = append(unsent.FallbacksSent, d.Effect)
		n, isKnown := known[d.Effect]
		switch {
		case d.Fallback == models.ChannelSMS && isKnown:
			instead = append(instead, n.AddressedTo(notify.Recipient{Contact: d.Contact, Channel: models.ChannelSMS, At: e.At}))
		case d.Fallback == models.ChannelVoice && called[d.Contact] < e.Seq && l.Incident.Acknowledged == nil && !l.Incident.NeedsCalls():
			unsent.PendingCalls = append(unsent.PendingCalls, notify.Recipient{Contact: d.Contact, Channel: models.ChannelVoice, At: e.At})
		}
	}
	due = slices.DeleteFunc(due, func(n notify.Notification) bool { // it went out while the contact had another channel
		n.Channel = otherMessageChannel(n.Channel)
		return settled[key(n)]
	})
	all := slices.Concat(due, instead)
	for _, n := range all {
		isReplaced := slices.ContainsFunc(all, func(newer notify.Notification) bool { return newer.Replaces(n) })
		if !settled[key(n)] && !isReplaced && !l.Incident.HasOutdated(n) && !slices.Contains(unsent.Notifications, n) {
			unsent.Notifications = append(unsent.Notifications, n)
		}
	}
	return unsent
}

// reached returns the contacts who got messages or calls about the incident, or were to get some.
func (l Lost) reached() map[uuid.UUID]bool {
	reached := map[uuid.UUID]bool{}
	for _, e := range l.Events {
		switch d := e.Data.(type) {
		case *ContactMessaged:
			reached[d.Contact] = true
		case *ContactCalled:
			reached[d.Contact] = true
		case *NotDelivered:
			reached[d.Contact] = true
		}
	}
	for _, contact := range l.ToldContacts() {
		reached[contact] = true
	}
	return reached
}

// otherMessageChannel returns the other of the two channels for messages.
func otherMessageChannel(ch models.Channel) models.Channel {
	if ch == models.ChannelEmail {
		return models.ChannelSMS
	}
	return models.ChannelEmail
}
