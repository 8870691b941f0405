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

// tell puts an event into words; "" for one that is no news.
func (d *demo) tell(e incident.Event) string {
	switch x := e.Data.(type) {
	case *incident.Assessed:
		return "the analyst writes down what is known"
	case *incident.Recommended:
		return "recommendation " + x.ID + ": " + x.Text
	case *incident.ResponseTeamRecommended:
		return fmt.Sprintf("advice on an incident response team: engage %t. %s", x.Engage, x.Criteria)
	case *incident.IsolationRequested:
		return "isolation of " + x.Hostname + " is asked for"
	case *incident.Published:
		return "revision 1 of the report is published to the portal"
	case *incident.RecommendationSettled:
		return fmt.Sprintf("%s settles %s: %s, %s", d.who(e.Actor), x.Recommendation, x.Outcome, x.Evidence)
	case *incident.ReleaseRequested:
		return d.who(e.Actor) + " asks for the release of " + x.Endpoint
	case *incident.Verified:
		return fmt.Sprintf("the SOC verifies: threat gone %t. %s", x.Gone, x.Note)
	case *incident.ClosureRequested:
		return d.who(e.Actor) + " requests closure: " + x.Note
	case *incident.Closed:
		return "closed, on the word of " + d.who(e.Actor)
	case *incident.FeedbackGiven:
		return fmt.Sprintf("feedback: %d of 5, %q", x.Rating, x.Comment)
	case *incident.TaskOpened:
		return "task for the SOC: " + x.Detail
	default:
		return d.tellFact(e)
	}
}

// tellFact puts what machines and contacts did into words.
func (d *demo) tellFact(e incident.Event) string {
	switch x := e.Data.(type) {
	case *incident.ContactMessaged:
		verb := map[models.Channel]string{models.ChannelEmail: "mailed", models.ChannelSMS: "texted"}[x.Channel]
		return fmt.Sprintf("%s %s: %s", verb, d.name(x.Contact), x.Purpose)
	case *incident.CallRoundStarted:
		return fmt.Sprintf("call round %d begins", x.Round)
	case *incident.ContactCalled:
		return fmt.Sprintf("called %s: %s", d.name(x.Contact), strings.ReplaceAll(string(x.Outcome), "_", " "))
	case *incident.AcknowledgedBy:
		return d.who(e.Actor) + " acknowledged: " + x.Channel + ", " + x.How
	case *incident.EndpointObserved:
		return fmt.Sprintf("the EDR says endpoint %s is %s", x.Endpoint, x.State)
	default:
		return ""
	}
}

// measure takes the durations from the events' times and, for what left the house, from the simulators' clocks.
func (d *demo) measure() {
	at := map[string]time.Time{}
	first := func(name string, t time.Time) {
		if _, ok := at[name]; !ok {
			at[name] = t
		}
	}
	for _, e := range d.events {
		first(string(e.Type), e.At)
		if o, ok := e.Data.(*incident.EndpointObserved); ok {
			first("edr "+string(o.State), e.At)
		}
		if o, ok := e.Data.(*incident.EndpointObserved); ok && o.State == models.HostNormal && !at["release_requested"].IsZero() {
			first("edr released", e.At)
		}
	}
	for _, entry := range d.journal["sendgrid"] {
		if strings.HasSuffix(entry.Path, "/mail/send") {
			first("mail request", entry.At)
		}
	}
	for _, entry := range d.journal["twilio"] {
		if entry.Method == "POST" && strings.HasSuffix(entry.Path, "/Calls.json") {
			first("call request", entry.At)
		}
	}
	for name, span := range map[string][2]string{
		"opened to published": {"opened", "published"}, "published to first mail handed over": {"published", "mail request"},
		"published to first call placed": {"published", "call request"}, "published to acknowledged by a human": {"published", "acknowledged"},
		"isolation asked for to confirmed by the EDR": {"isolation_requested", "edr isolated"},
		"release asked for to confirmed by the EDR":   {"release_requested", "edr released"},
		"closure requested to closed":                 {"closure_requested", "closed"}, "opened to closed": {"opened", "closed"},
	} {
		from, to := at[span[0]], at[span[1]]
		if !from.IsZero() && !to.IsZero() {
			d.durations[name] = to.Sub(from)
		}
	}
}

// summary tells what was measured.
func (d *demo) summary(dir string) {
	fmt.Fprintf(d.out, "\n%s is %s after %d events.\n", d.ref, d.incident.Phase, len(d.events))
	for _, name := range slices.Sorted(maps.Keys(d.durations)) {
		fmt.Fprintf(d.out, "  %-46s %8.3f s\n", name, d.durations[name].Seconds())
	}
	fmt.Fprintf(d.out, "Simulated people and vendors ran faster than real ones; our own part did not.\nDetails: %s/demo.json, %s/journal.json\n", dir, dir)
}
