package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// GoLive checks that the client can be reached at all: somebody can be called for a critical incident in every hour of
// the week, a second person too, every channel is verified, and somebody's own rule has each severity told them, though
// perhaps only when their hours begin.
func (d Directory) GoLive() []models.GoLiveCheck {
	verified := []string{}
	for _, c := range d.inOrder() {
		for _, ch := range c.Channels {
			if c.Verified[ch].IsZero() {
				verified = append(verified, fmt.Sprintf("contact %s: %s is not verified", c.ID, ch))
			}
		}
	}
	turns := d.turns()
	people := func(n int) weekSlots {
		return slotsWhere(turns, func(day models.Day, t models.ClockTime) bool { return d.callable(day, t) == n })
	}
	return []models.GoLiveCheck{
		models.NewGoLiveCheck("reachable", joinSlots(people(0), "nobody can be called")),
		models.NewGoLiveCheck("second_person", joinSlots(people(1), "only one person can be called")),
		models.NewGoLiveCheck("verified", verified),
		models.NewGoLiveCheck("told", d.severitiesNobodyIsTold()),
	}
}

// severitiesNobodyIsTold says which severities nobody is told of by the contacts' rules. Hours delay a message and keep none back.
func (d Directory) severitiesNobodyIsTold() []string {
	details := []string{}
	for _, s := range models.Severities() {
		if len(d.PlanByRule(s, time.Time{}).Messages) == 0 {
			details = append(details, "nobody is told of severity "+string(s)+" at any time")
		}
	}
	return details
}

// callable counts the people, told apart by their numbers, who can be called for a critical incident at a time of the
// week.
func (d Directory) callable(day models.Day, t models.ClockTime) int {
	numbers := map[string]bool{}
	for _, c := range d.Contacts {
		always := !c.HoursForCritical || c.Hours.Covers(day, t)
		if always && c.Has(models.ChannelVoice) && slices.Contains(c.Severities, models.SeverityCritical) {
			numbers[c.Phone] = true
		}
	}
	return len(numbers)
}

// AskingRule says when the response authority has the client asked: by a rule, or by what stands in for one.
type AskingRule struct {
	Name       string
	Severities []models.Severity
	Business   bool // it holds in business hours
	Outside    bool // it holds outside of them
	Persons    int  // how many must agree
}

// GoLiveApprovers checks that as many approvers as must agree can be called whenever the client is asked.
func (d Directory) GoLiveApprovers(rules []AskingRule) models.GoLiveCheck {
	missing, turns := []string{}, d.turns()
	for _, rule := range rules {
		var kinds []weekSlots // that some severities share
		of := map[weekSlots][]string{}
		for _, s := range rule.Severities {
			toTell, _ := d.audience(s, nil)
			lacking := slotsWhere(turns, func(day models.Day, t models.ClockTime) bool {
				holds := rule.Outside
				if d.Business.Covers(day, t) {
					holds = rule.Business
				}
				return holds && People(d.approversAt(s, rule.Persons, toTell, day, t), rule.Persons) < max(rule.Persons, 1)
			})
			if of[lacking] == nil {
				kinds = append(kinds, lacking)
			}
			of[lacking] = append(of[lacking], string(s))
		}
		what := "no approver can be called"
		if rule.Persons > 1 {
			what = fmt.Sprintf("fewer than %d approvers with different mail addresses can be called", rule.Persons)
		}
		for _, lacking := range kinds {
			missing = append(missing, joinSlots(lacking, fmt.Sprintf("%s, severity %s: %s", rule.Name, strings.Join(of[lacking], ", "), what))...)
		}
	}
	return models.NewGoLiveCheck("approvers", missing)
}

// approversAt returns whom CallableApprovers returns at a time of the week.
func (d Directory) approversAt(s models.Severity, persons int, toTell func(models.Contact) bool, day models.Day, t models.ClockTime) []Recipient {
	pick := func(from func(models.Contact) bool) (calls []Recipient) {
		called := map[string]bool{}
		for _, c := range d.Contacts {
			reached := s == models.SeverityCritical && !c.HoursForCritical || c.Hours.Covers(day, t)
			if c.Approver != nil && from(c) && c.IsCallable() && reached && !called[c.Phone] {
				called[c.Phone] = true
				calls = append(calls, Recipient{Contact: c.ID, Person: c.Person()})
			}
		}
		return calls
	}
	if calls := pick(toTell); People(calls, persons) >= max(persons, 1) {
		return calls
	}
	return pick(func(models.Contact) bool { return true })
}

// weekSlots says something of every quarter of an hour of a week, from Monday 00:00 on.
type weekSlots [7 * 24 * 4]bool

// turns returns the times of day, midnight among them, at which hours of the contacts, or of the client, begin or end.
func (d Directory) turns() map[models.ClockTime]bool {
	turns := map[models.ClockTime]bool{0: true}
	note := func(h models.Hours) {
		for _, w := range h {
			turns[w.From], turns[w.To] = true, true
		}
	}
	note(d.Business)
	for _, c := range d.Contacts {
		note(c.Hours)
	}
	return turns
}

// slotsWhere says of which quarters of an hour of a week something is true. It can change at the turns alone: it is asked
// of those.
func slotsWhere(turns map[models.ClockTime]bool, isTrue func(models.Day, models.ClockTime) bool) (is weekSlots) {
	now := false
	for n := range is {
		if day, t := timeOfSlot(n); turns[t] {
			now = isTrue(day, t)
		}
		is[n] = now
	}
	return is
}

// timeOfSlot returns the day and the time at which the n-th quarter of an hour of a week begins.
func timeOfSlot(n int) (models.Day, models.ClockTime) {
	return models.Days()[n/(24*4)], models.ClockTime(n % (24 * 4) * 15)
}

// joinSlots joins quarters of an hour that follow each other, also from Sunday to Monday, into spans such as
// "sat 00:00 to mon 08:00".
func joinSlots(is weekSlots, word string) []string {
	out := []string{}
	if !slices.Contains(is[:], false) {
		return append(out, word+" at any time")
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
		out = append(out, fmt.Sprintf("%s from %s %s to %s %s", word, fromDay, from, toDay, to))
	}
	return out
}
