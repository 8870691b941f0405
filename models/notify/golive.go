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
	return []models.GoLiveCheck{
		models.NewGoLiveCheck("reachable", joinSlots(nobody, "nobody can be called")),
		models.NewGoLiveCheck("second_person", joinSlots(single, "only one person can be called")),
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

// AskingRule is a rule of the response authority that has the client asked.
type AskingRule struct {
	Name       string
	Severities []models.Severity
	Business   bool // it holds in business hours
	Outside    bool // it holds outside of them
}

// GoLiveApprovers checks that an approver can be called whenever a rule has the client asked.
func (d Directory) GoLiveApprovers(rules []AskingRule) models.GoLiveCheck {
	missing := []string{}
	for _, rule := range rules {
		var kinds []weekSlots // that some severities share
		of := map[weekSlots][]string{}
		for _, s := range rule.Severities {
			var nobody weekSlots
			for n := range nobody {
				day, t := timeOfSlot(n)
				holds := rule.Outside
				if d.Business.Covers(day, t) {
					holds = rule.Business
				}
				nobody[n] = holds && !d.hasApprover(s, day, t)
			}
			if of[nobody] == nil {
				kinds = append(kinds, nobody)
			}
			of[nobody] = append(of[nobody], string(s))
		}
		for _, nobody := range kinds {
			word := fmt.Sprintf("rule %q, severity %s: no approver can be called", rule.Name, strings.Join(of[nobody], ", "))
			missing = append(missing, joinSlots(nobody, word)...)
		}
	}
	return models.NewGoLiveCheck("approvers", missing)
}

// hasApprover reports whether an approver can be called about an incident of a severity at a time of the week: one of
// those who are told, or when none of them can be, another.
func (d Directory) hasApprover(s models.Severity, day models.Day, t models.ClockTime) bool {
	return slices.ContainsFunc(d.Contacts, func(c models.Contact) bool {
		reached := s == models.SeverityCritical && !c.HoursForCritical || c.Hours.Covers(day, t)
		return c.Approver != nil && c.IsCallable() && reached
	})
}

// weekSlots says something of every quarter of an hour of a week, from Monday 00:00 on.
type weekSlots [7 * 24 * 4]bool

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
