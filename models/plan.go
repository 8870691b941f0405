package models

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Directory is all the planner needs to know of a client: whom it has, and when.
type Directory struct {
	Zone     *time.Location
	Business Hours // the client's business hours
	Contacts []Contact
}

// Recipient says that a contact is reached over a channel, not before At.
type Recipient struct {
	Contact uuid.UUID `json:"contact"`
	Order   int       `json:"order"`
	Channel Channel   `json:"channel"`
	At      time.Time `json:"at"`
	Person  string    `json:"person,omitempty"` // see PersonOf; of calls about an approval
}

// Plan is who is reached, how and when.
type Plan struct {
	Messages []Recipient `json:"messages"` // one for each contact who has a channel for text
	Calls    []Recipient `json:"calls"`    // critical only, in calling order: who can be called at that moment
	Skipped  []Skipped   `json:"skipped"`  // contacts who are not reached or not called, and why
}

// Skipped is a contact who is not reached at all, or not called.
type Skipped struct {
	Contact uuid.UUID `json:"contact"`
	Reason  string    `json:"reason"`
}

// Plan returns who is reached when something of a severity happens at a moment: what the workflow follows, the
// preview shows and the go-live check asks. A message goes out over mail, or as a text when there is no mail; it waits
// for the contact's hours. A call does not wait: a contact whose hours are over is not called now. A number is called
// once, whoever it belongs to.
func (d Directory) Plan(s Severity, at time.Time) Plan {
	p := Plan{Messages: []Recipient{}, Calls: []Recipient{}, Skipped: []Skipped{}}
	called := map[string]bool{}
	for _, c := range d.inOrder() {
		left := func(why string) { p.Skipped = append(p.Skipped, Skipped{Contact: c.ID, Reason: why}) }
		if !slices.Contains(c.Severities, s) {
			left("is not to be reached for severity " + string(s))
			continue
		}
		from := d.From(c, s, at)
		reach := func(ch Channel) Recipient { return Recipient{Contact: c.ID, Order: c.Order, Channel: ch, At: from} }
		ch, writable := c.messageChannel()
		if writable {
			p.Messages = append(p.Messages, reach(ch))
		}
		switch {
		case s != SeverityCritical && writable:
		case s != SeverityCritical:
			left("has no channel for messages")
		case !c.Has(ChannelVoice):
			left("has no channel for calls")
		case !from.Equal(at):
			left("is not called outside their hours")
		case called[c.Phone]:
			left("has the phone number of a contact who is called before")
		default:
			called[c.Phone] = true
			p.Calls = append(p.Calls, reach(ChannelVoice))
		}
	}
	return p
}

// Without leaves out the messages to contacts for whom one of the waiting ones waits over the same channel.
func (p Plan) Without(waiting []Notification) Plan {
	waits := func(r Recipient) bool {
		return slices.ContainsFunc(waiting, func(n Notification) bool { return n.Contact == r.Contact && n.Channel == r.Channel })
	}
	p.Messages = slices.DeleteFunc(slices.Clone(p.Messages), waits)
	return p
}

// Callable returns who can be called at a moment for an approval in an incident of a severity, in calling order: contacts
// whose number was verified, for on their key press a device is isolated.
func (d Directory) Callable(s Severity, at time.Time) []Recipient {
	called := map[string]bool{}
	calls := []Recipient{}
	for _, c := range d.inOrder() {
		if slices.Contains(c.Severities, s) && c.Has(ChannelVoice) && !c.Verified[ChannelVoice].IsZero() && !called[c.Phone] && d.From(c, s, at).Equal(at) {
			called[c.Phone] = true
			calls = append(calls, Recipient{Contact: c.ID, Order: c.Order, Channel: ChannelVoice, At: at, Person: PersonOf(c.Email)})
		}
	}
	return calls
}

// From returns when a contact may be reached about something of a severity that happens at a moment.
func (d Directory) From(c Contact, s Severity, at time.Time) time.Time {
	if s == SeverityCritical && !c.HoursForCritical {
		return at
	}
	return c.Hours.Next(at, d.Zone)
}

// Fallback returns over which other channel, and when, a contact is reached after one failed.
func (d Directory) Fallback(c Contact, s Severity, failed Channel, at time.Time) (Recipient, bool) {
	ch, ok := c.After(failed)
	return Recipient{Contact: c.ID, Order: c.Order, Channel: ch, At: d.From(c, s, at)}, ok
}

// PlanReminder moves a reminder that is due at a moment into the client's business hours, which critical ones ignore.
func (d Directory) RemindAt(s Severity, due time.Time) time.Time {
	if s == SeverityCritical {
		return due
	}
	return d.Business.Next(due, d.Zone)
}

func (c Contact) messageChannel() (Channel, bool) {
	for _, ch := range []Channel{ChannelEmail, ChannelSMS} {
		if c.Has(ch) {
			return ch, true
		}
	}
	return "", false
}

func (d Directory) inOrder() []Contact {
	return slices.SortedFunc(slices.Values(d.Contacts), func(a, b Contact) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID.String(), b.ID.String()))
	})
}

// GoLiveCheck is one check before a client goes live.
type GoLiveCheck struct {
	Name    string   `json:"name"` // "reachable", "second_person", "verified", "edr", "response_authority"
	Passed  bool     `json:"passed"`
	Details []string `json:"details"` // what is missing
}

// GoLive checks that the client can be reached at all: somebody can be called for a critical incident in every hour of
// the week, never the same single person on every level, and every channel is verified.
func (d Directory) GoLive() []GoLiveCheck {
	var nobody, single weekSlots
	verified := []string{}
	for _, c := range d.inOrder() {
		for _, ch := range c.Channels {
			if c.Verified[ch].IsZero() {
				verified = append(verified, fmt.Sprintf("contact %s: %s is not verified", c.ID, ch))
			}
		}
	}
	for n := range nobody {
		people := d.callable(timeOfSlot(n))
		nobody[n], single[n] = people == 0, people == 1
	}
	return []GoLiveCheck{
		NewGoLiveCheck("reachable", joinSlots(nobody, "nobody can be called")),
		NewGoLiveCheck("second_person", joinSlots(single, "only one person can be called")),
		NewGoLiveCheck("verified", verified),
	}
}

func NewGoLiveCheck(check string, missing []string) GoLiveCheck {
	return GoLiveCheck{Name: check, Passed: len(missing) == 0, Details: missing}
}

// callable counts the people, told apart by their numbers, who can be called for a critical incident at a time of the week.
func (d Directory) callable(day Day, t ClockTime) int {
	numbers := map[string]bool{}
	for _, c := range d.Contacts {
		always := !c.HoursForCritical || c.Hours.Covers(day, t)
		if always && c.Has(ChannelVoice) && slices.Contains(c.Severities, SeverityCritical) {
			numbers[c.Phone] = true
		}
	}
	return len(numbers)
}

// weekSlots says something of every quarter of an hour of a week, from Monday 00:00 on.
type weekSlots [7 * 24 * 4]bool

// timeOfSlot returns the day and the time at which the n-th quarter of an hour of a week begins.
func timeOfSlot(n int) (Day, ClockTime) { return Days()[n/(24*4)], ClockTime(n % (24 * 4) * 15) }

// joinSlots joins quarters of an hour that follow each other, also from Sunday to Monday, into spans such as
// "sat 00:00 to mon 08:00".
func joinSlots(is weekSlots, what string) []string {
	out := []string{}
	if !slices.Contains(is[:], false) {
		return append(out, what+" at any time")
	}
	for n := range is {
		if !is[n] || is[(n+len(is)-1)%len(is)] {
			continue
		}
		end := n
		for is[end] {
			end = (end + 1) % len(is)
		}
		fromDay, from := timeOfSlot(n)
		toDay, to := timeOfSlot(end)
		out = append(out, fmt.Sprintf("%s from %s %s to %s %s", what, fromDay, from, toDay, to))
	}
	return out
}
