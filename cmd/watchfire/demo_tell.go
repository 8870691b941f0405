package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// tell puts an event into words; "" for one that is no news.
func (d *demo) tell(e models.Event) string {
	switch x := e.Data.(type) {
	case *models.Assessed:
		return "the analyst writes down what is known"
	case *models.Recommended:
		return "recommendation " + x.ID + ": " + x.Text
	case *models.ResponseTeamRecommended:
		return fmt.Sprintf("advice on an incident response team: engage %t. %s", x.Engage, x.Criteria)
	case *models.IsolationRequested:
		return "isolation of " + x.Hostname + " is asked for"
	case *models.Published:
		return "revision 1 of the report is published to the portal"
	case *models.RecommendationSettled:
		return fmt.Sprintf("%s settles %s: %s, %s", d.who(e.Actor), x.Recommendation, x.Outcome, x.Evidence)
	case *models.ReleaseRequested:
		return d.who(e.Actor) + " asks for the release of " + x.Endpoint
	case *models.Verified:
		return fmt.Sprintf("the SOC verifies: threat gone %t. %s", x.Gone, x.Note)
	case *models.ClosureRequested:
		return d.who(e.Actor) + " requests closure: " + x.Note
	case *models.Closed:
		return "closed, on the word of " + d.who(e.Actor)
	case *models.FeedbackGiven:
		return fmt.Sprintf("feedback: %d of 5, %q", x.Rating, x.Comment)
	case *models.TaskOpened:
		return "task for the SOC: " + x.Detail
	default:
		return d.tellFact(e)
	}
}

// tellFact puts what machines and contacts did into words.
func (d *demo) tellFact(e models.Event) string {
	switch x := e.Data.(type) {
	case *models.ContactMailed:
		return fmt.Sprintf("mailed %s: %s", d.name(x.Contact), x.Purpose)
	case *models.CallRoundStarted:
		return fmt.Sprintf("call round %d begins", x.Round)
	case *models.ContactCalled:
		return fmt.Sprintf("called %s: %s", d.name(x.Contact), strings.ReplaceAll(string(x.Outcome), "_", " "))
	case *models.AcknowledgedBy:
		return d.who(e.Actor) + " acknowledged: " + x.Channel + ", " + x.How
	case *models.EndpointObserved:
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
		if o, ok := e.Data.(*models.EndpointObserved); ok {
			first("edr "+string(o.State), e.At)
		}
		if o, ok := e.Data.(*models.EndpointObserved); ok && o.State == models.HostNormal && !at["release_requested"].IsZero() {
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
