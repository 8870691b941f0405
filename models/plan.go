package models

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Directory is all the planner needs to know of a client: whom it has, and when.
type Directory struct {
	Zone     *time.Location
	Business Hours // the client's business hours
	Contacts []Contact
}

// Reach says that a contact is reached over a channel, not before At.
type Reach struct {
	Contact uuid.UUID `json:"contact"`
	Order   int       `json:"order"`
	Channel Channel   `json:"channel"`
	At      time.Time `json:"at"`
}

// Plan is who is reached, how and when.
type Plan struct {
	Messages []Reach     `json:"messages"` // one for each contact who has a channel for text
	Calls    []Reach     `json:"calls"`    // critical only, in calling order: who can be called at that moment
	Left     []Unreached `json:"left"`     // contacts who are not reached, and why
}

// Unreached is a contact who is not reached at all, or not called.
type Unreached struct {
	Contact uuid.UUID `json:"contact"`
	Reason  string    `json:"reason"`
}

// Plan returns who is reached when something of a severity happens at a moment: what the workflow follows, the
// preview shows and the go-live check asks. A message goes out over mail, or as a text when there is no mail; it waits
// for the contact's hours. A call does not wait: a contact whose hours are over is not called now. A number is called
// once, whoever it belongs to.
func (d Directory) Plan(s Severity, at time.Time) Plan {
	p := Plan{Messages: []Reach{}, Calls: []Reach{}, Left: []Unreached{}}
	called := map[string]bool{}
	for _, c := range d.inOrder() {
		left := func(why string) { p.Left = append(p.Left, Unreached{Contact: c.ID, Reason: why}) }
		if !slices.Contains(c.Severities, s) {
			left("is not to be reached for severity " + string(s))
			continue
		}
		from := d.From(c, s, at)
		reach := func(ch Channel) Reach { return Reach{Contact: c.ID, Order: c.Order, Channel: ch, At: from} }
		if ch, ok := c.messageChannel(); ok {
			p.Messages = append(p.Messages, reach(ch))
		}
		switch {
		case s != SeverityCritical || !c.Has(ChannelVoice):
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

// From returns when a contact may be reached about something of a severity that happens at a moment.
func (d Directory) From(c Contact, s Severity, at time.Time) time.Time {
	if s == SeverityCritical && !c.HoursForCritical {
		return at
	}
	return c.Hours.Next(at, d.Zone)
}

// Fallback returns over which other channel, and when, a contact is reached after one failed.
func (d Directory) Fallback(c Contact, s Severity, failed Channel, at time.Time) (Reach, bool) {
	ch, ok := c.After(failed)
	return Reach{Contact: c.ID, Order: c.Order, Channel: ch, At: d.From(c, s, at)}, ok
}

// RemindAt moves a reminder that is due at a moment into the client's business hours, which critical ones ignore.
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

// Finding is one check before a client goes live.
type Finding struct {
	Check   string   `json:"check"` // "reachable", "second_person", "verified"
	Passed  bool     `json:"passed"`
	Details []string `json:"details"` // what is missing
}

// GoLive checks that the client can be reached at all: somebody can be called for a critical incident in every hour of
// the week, never the same single person on every level, and every channel is verified.
func (d Directory) GoLive() []Finding {
	var nobody, single []string
	verified := []string{}
	for _, c := range d.inOrder() {
		for _, ch := range c.Channels {
			if c.Verified[ch].IsZero() {
				verified = append(verified, fmt.Sprintf("contact %s: %s is not verified", c.ID, ch))
			}
		}
	}
	for _, day := range Days() {
		for t := ClockTime(0); t < endOfDay; t += 15 {
			slot := string(day) + " " + t.String()
			switch d.callable(day, t) {
			case 0:
				nobody = append(nobody, slot)
			case 1:
				single = append(single, slot)
			}
		}
	}
	return []Finding{
		finding("reachable", spans(nobody, "nobody can be called")),
		finding("second_person", spans(single, "only one person can be called")),
		finding("verified", verified),
	}
}

func finding(check string, missing []string) Finding {
	return Finding{Check: check, Passed: len(missing) == 0, Details: missing}
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

// spans joins quarters of an hour that follow each other into spans such as "sat 00:00 to mon 08:00".
func spans(slots []string, what string) []string {
	out := []string{}
	next := map[string]string{}
	var all []string
	for _, d := range Days() {
		for t := ClockTime(0); t < endOfDay; t += 15 {
			all = append(all, string(d)+" "+t.String())
		}
	}
	for n, s := range all {
		next[s] = all[(n+1)%len(all)]
	}
	for n := 0; n < len(slots); {
		from, last := slots[n], slots[n]
		for n++; n < len(slots) && slots[n] == next[last]; n++ {
			last = slots[n]
		}
		out = append(out, strings.Join([]string{what, "from", from, "to", next[last]}, " "))
	}
	return out
}
