package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// eventLine tells an event in words, or "" for an event that is no news.
func (d *demo) eventLine(e incident.Event) string {
	switch x := e.Data.(type) {
	case *incident.Assessed:
		return d.actorName(e.Actor) + " assesses the incident"
	case *incident.Recommended:
		return d.actorName(e.Actor) + " recommends, as " + x.ID + ": " + x.Text
	case *incident.ResponseTeamRecommended:
		if x.Engage {
			return d.actorName(e.Actor) + " recommends an incident response team: " + x.Criteria
		}
		return d.actorName(e.Actor) + " recommends no incident response team yet: " + x.Criteria
	case *incident.IsolationRequested:
		return d.actorName(e.Actor) + " requests the isolation of " + x.Hostname
	case *incident.Published:
		return d.actorName(e.Actor) + " publishes revision 1 of the report to the portal"
	case *incident.RecommendationSettled:
		return fmt.Sprintf("%s settles %s: %s, %s", d.actorName(e.Actor), x.Recommendation, x.Outcome, x.Evidence)
	case *incident.ReleaseRequested:
		return d.actorName(e.Actor) + " requests the release of " + x.Endpoint
	case *incident.Verified:
		if x.Gone {
			return d.actorName(e.Actor) + " verifies that the threat is gone: " + x.Note
		}
		return d.actorName(e.Actor) + " finds the threat still present: " + x.Note
	case *incident.ClosureRequested:
		return d.actorName(e.Actor) + " requests closure: " + x.Note
	case *incident.Closed:
		return "the incident is closed, as " + d.actorName(e.Actor) + " requested"
	case *incident.FeedbackGiven:
		return fmt.Sprintf("%s gives feedback: %d of 5, %q", d.actorName(e.Actor), x.Rating, x.Comment)
	case *incident.TaskOpened:
		return "Watchfire opens a task for the SOC: " + x.Detail
	default:
		return d.systemEventLine(e)
	}
}

// systemEventLine tells in words an event that a machine or a contact caused.
func (d *demo) systemEventLine(e incident.Event) string {
	switch x := e.Data.(type) {
	case *incident.ContactMessaged:
		verb := map[models.Channel]string{models.ChannelEmail: "mails", models.ChannelSMS: "texts"}[x.Channel]
		return fmt.Sprintf("Watchfire %s %s: %s", verb, d.contactName(x.Contact), x.Purpose)
	case *incident.CallRoundStarted:
		return fmt.Sprintf("call round %d begins", x.Round)
	case *incident.ContactCalled:
		return fmt.Sprintf("Watchfire calls %s: %s", d.contactName(x.Contact), strings.ReplaceAll(string(x.Outcome), "_", " "))
	case *incident.AcknowledgedBy:
		return d.actorName(e.Actor) + " acknowledges: " + x.Channel + ", " + x.How
	case *incident.EndpointObserved:
		return fmt.Sprintf("the EDR reports that endpoint %s is %s", x.Endpoint, x.State)
	default:
		return ""
	}
}

// measureDurations takes the durations from the times of the events and, for requests to vendors, from the simulators'
// clocks.
func (d *demo) measureDurations() {
	at := map[string]time.Time{}
	noteFirst := func(name string, t time.Time) {
		if _, ok := at[name]; !ok {
			at[name] = t
		}
	}
	for _, e := range d.events {
		noteFirst(string(e.Type), e.At)
		if o, ok := e.Data.(*incident.EndpointObserved); ok {
			noteFirst("edr "+string(o.State), e.At)
		}
		if o, ok := e.Data.(*incident.EndpointObserved); ok && o.State == models.HostNormal && !at["release_requested"].IsZero() {
			noteFirst("edr released", e.At)
		}
	}
	for _, entry := range d.journal["sendgrid"] {
		if strings.HasSuffix(entry.Path, "/mail/send") {
			noteFirst("mail request", entry.At)
		}
	}
	for _, entry := range d.journal["twilio"] {
		if entry.Method == "POST" && strings.HasSuffix(entry.Path, "/Calls.json") {
			noteFirst("call request", entry.At)
		}
	}
	for name, span := range map[string][2]string{
		"opened to published": {"opened", "published"}, "published to first mail handed over": {"published", "mail request"},
		"published to first call placed": {"published", "call request"}, "published to acknowledged by a human": {"published", "acknowledged"},
		"isolation requested to confirmed by the EDR": {"isolation_requested", "edr isolated"},
		"release requested to confirmed by the EDR":   {"release_requested", "edr released"},
		"closure requested to closed":                 {"closure_requested", "closed"}, "opened to closed": {"opened", "closed"},
	} {
		from, to := at[span[0]], at[span[1]]
		if !from.IsZero() && !to.IsZero() {
			d.durations[name] = to.Sub(from)
		}
	}
}

// printSummary tells how the incident ended and the measured durations, in the order of their names.
func (d *demo) printSummary(dir string) {
	fmt.Fprintf(d.out, "\n%s is %s after %d events.\n", d.ref, d.incident.Phase, len(d.events))
	for _, name := range slices.Sorted(maps.Keys(d.durations)) {
		fmt.Fprintf(d.out, "  %-46s %8.3f s\n", name, d.durations[name].Seconds())
	}
	fmt.Fprintf(d.out, "Simulated people and vendors ran faster than real ones; Watchfire's own part did not.\nDetails: %s/demo.json, %s/journal.json\n", dir, dir)
}
