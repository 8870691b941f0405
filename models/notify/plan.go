package notify

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// Directory is all the planner needs to know of a client: its contacts and its hours.
type Directory struct {
	Zone     *time.Location
	Business models.Hours // the client's business hours
	Contacts []models.Contact
}

// Recipient says that a contact is reached over a channel, not before At.
type Recipient struct {
	Contact uuid.UUID      `json:"contact"`
	Order   int            `json:"order"`
	Channel models.Channel `json:"channel"`
	At      time.Time      `json:"at"`
	Person  string         `json:"person,omitempty"` // see PersonOf; of calls about an approval
}

// Plan holds the contacts to reach, how and when.
type Plan struct {
	Messages []Recipient `json:"messages"` // one for each contact who has a channel for text
	Calls    []Recipient `json:"calls"`    // critical only, in calling order: the contacts who can be called at that moment
	Skipped  []Skipped   `json:"skipped"`  // contacts who are not reached or not called, and why
}

// Skipped is a contact who is not reached at all, or not called.
type Skipped struct {
	Contact uuid.UUID `json:"contact"`
	Reason  string    `json:"reason"`
}

// Plan returns who is reached when something of a severity happens at a moment, about a matter of which some contacts
// were told before. The workflow follows it, the preview shows it. A message goes to whose rule matches and to who was
// told, whatever the severity has become; when that is nobody who can be written to, to every contact who can. Calls go
// to whose rule matches; when no rule does, to those who get the messages. A message goes out over mail, or as a text
// when there is no mail; it waits for the contact's hours. A call does not wait: a contact whose hours are over is not
// called now. A number is called once, however many contacts have it.
func (d Directory) Plan(s models.Severity, at time.Time, told ...uuid.UUID) Plan {
	toTell, toCall := d.audience(s, told)
	return d.plan(s, at, toTell, toCall)
}

// PlanByRule returns who is reached by the contacts' rules alone. The go-live check asks it.
func (d Directory) PlanByRule(s models.Severity, at time.Time) Plan {
	return d.plan(s, at, byRule(s), byRule(s))
}

func byRule(s models.Severity) func(models.Contact) bool {
	return func(c models.Contact) bool { return slices.Contains(c.Severities, s) }
}

// audience says which contacts are told of something of a severity, and which of them are called.
func (d Directory) audience(s models.Severity, told []uuid.UUID) (toTell, toCall func(models.Contact) bool) {
	rule := byRule(s)
	toTell = func(c models.Contact) bool { return rule(c) || slices.Contains(told, c.ID) }
	isWritable := func(c models.Contact) bool { _, ok := c.MessageChannel(); return ok && toTell(c) }
	if !slices.ContainsFunc(d.Contacts, isWritable) {
		toTell = func(models.Contact) bool { return true }
	}
	if slices.ContainsFunc(d.Contacts, rule) {
		return toTell, rule
	}
	return toTell, toTell
}

func (d Directory) plan(s models.Severity, at time.Time, toTell, toCall func(models.Contact) bool) Plan {
	p := Plan{Messages: []Recipient{}, Calls: []Recipient{}, Skipped: []Skipped{}}
	called := map[string]bool{}
	for _, c := range d.inOrder() {
		skip := func(why string) { p.Skipped = append(p.Skipped, Skipped{Contact: c.ID, Reason: why}) }
		if !toTell(c) {
			skip("is not to be reached for severity " + string(s))
			continue
		}
		from := d.From(c, s, at)
		recipient := func(ch models.Channel) Recipient {
			return Recipient{Contact: c.ID, Order: c.Order, Channel: ch, At: from}
		}
		ch, writable := c.MessageChannel()
		if writable {
			p.Messages = append(p.Messages, recipient(ch))
		}
		switch {
		case s != models.SeverityCritical && writable:
		case s != models.SeverityCritical:
			skip("has no channel for messages")
		case !toCall(c):
			skip("is not to be called for severity " + string(s))
		case !c.Has(models.ChannelVoice):
			skip("has no channel for calls")
		case !from.Equal(at):
			skip("is not called outside their hours")
		case called[c.Phone]:
			skip("has the phone number of a contact who is called before")
		default:
			called[c.Phone] = true
			p.Calls = append(p.Calls, recipient(models.ChannelVoice))
		}
	}
	return p
}

// Without returns the plan without messages to contacts for whom one already waits over the same channel.
func (p Plan) Without(waiting []Notification) Plan {
	waits := func(r Recipient) bool {
		return slices.ContainsFunc(waiting, func(n Notification) bool { return n.Contact == r.Contact && n.Channel == r.Channel })
	}
	p.Messages = slices.DeleteFunc(slices.Clone(p.Messages), waits)
	return p
}

func (d Directory) callableOf(s models.Severity, at time.Time, toCall func(models.Contact) bool) []Recipient {
	called := map[string]bool{}
	calls := []Recipient{}
	for _, c := range d.inOrder() {
		if toCall(c) && c.IsCallable() && !called[c.Phone] && d.From(c, s, at).Equal(at) {
			called[c.Phone] = true
			calls = append(calls, Recipient{Contact: c.ID, Order: c.Order, Channel: models.ChannelVoice, At: at, Person: c.Person()})
		}
	}
	return calls
}

// CallableApprovers returns those of Callable whom an admin of the client let approve on the phone, but for those of except;
// when those are fewer persons than must agree, behind them every other such contact who can be called at that moment: a
// question always has a recipient. A number that approvers share with others is theirs.
func (d Directory) CallableApprovers(except map[uuid.UUID]bool, persons int, s models.Severity, at time.Time, told ...uuid.UUID) []Recipient {
	toTell, _ := d.audience(s, told)
	approvers := d.Approvers(except)
	calls := approvers.callableOf(s, at, toTell)
	if People(calls, persons) >= max(persons, 1) {
		return calls
	}
	for _, r := range approvers.callableOf(s, at, func(models.Contact) bool { return true }) {
		if !slices.ContainsFunc(calls, func(c Recipient) bool { return c.Contact == r.Contact }) {
			calls = append(calls, r)
		}
	}
	return calls
}

// People counts those of some recipients whose consent counts where so many persons must agree: where that is more than
// one, they are told apart by their mail address, and whoever has none does not count.
func People(calls []Recipient, persons int) int {
	if persons < 2 {
		return len(calls)
	}
	var people []string
	for _, r := range calls {
		if r.Person != "" && !slices.ContainsFunc(people, func(p string) bool { return models.SamePerson(p, r.Person) }) {
			people = append(people, r.Person)
		}
	}
	return len(people)
}

// Approvers returns the directory with the contacts alone whom an admin of the client let approve on the phone, but for
// those of except.
func (d Directory) Approvers(except map[uuid.UUID]bool) Directory {
	d.Contacts = slices.DeleteFunc(slices.Clone(d.Contacts), func(c models.Contact) bool { return c.Approver == nil || except[c.ID] })
	return d
}

// From returns when a contact may be reached about something of a severity that happens at a moment.
func (d Directory) From(c models.Contact, s models.Severity, at time.Time) time.Time {
	if s == models.SeverityCritical && !c.HoursForCritical {
		return at
	}
	return c.Hours.Next(at, d.Zone)
}

// Fallback returns the other channel a contact is reached over after one failed, and when; false for none.
func (d Directory) Fallback(c models.Contact, s models.Severity, failed models.Channel, at time.Time) (Recipient, bool) {
	ch, ok := c.After(failed)
	return Recipient{Contact: c.ID, Order: c.Order, Channel: ch, At: d.From(c, s, at)}, ok
}

// RemindAt moves a reminder that is due at a moment into the client's business hours, which critical ones ignore.
func (d Directory) RemindAt(s models.Severity, due time.Time) time.Time {
	if s == models.SeverityCritical {
		return due
	}
	return d.Business.Next(due, d.Zone)
}

func (d Directory) inOrder() []models.Contact {
	return slices.SortedFunc(slices.Values(d.Contacts), func(a, b models.Contact) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID.String(), b.ID.String()))
	})
}
