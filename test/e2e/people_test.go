package e2e

import (
	"net/http"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

const (
	title   = "Ransomware on <b>FILESRV</b> from http://evil.example/a"
	summary = "An unsigned process encrypts two shares; the summary-canary-7731 stays in the portal."
)

// open opens an incident without an alert.
func (s *scene) open(severity models.Severity) {
	s.t.Helper()
	var i incident.Incident
	status := s.send(s.analyst, "/incidents", map[string]any{"client": s.number, "severity": severity, "title": title}, &i)
	if s.ref = i.Reference; status != http.StatusCreated && !s.rough {
		s.t.Errorf("opening an incident was answered with %d", status)
	}
	tell("  %s opened, %s", s.ref, severity)
	if s.rough {
		s.until("the incident to be there", func(i incident.Incident) bool { return i.Seq > 0 })
	}
}

// assess writes down what is known and advises.
func (s *scene) assess() {
	s.t.Helper()
	text := summary
	s.give(s.analyst, &incident.Assess{Summary: &text}, &incident.Recommend{Text: "Reset all passwords."})
	s.until("the assessment", func(i incident.Incident) bool { return i.Assessment.Summary == summary && len(i.Recommendations) == 1 })
}

func (s *scene) isolate() {
	s.t.Helper()
	s.give(s.analyst, &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."})
	s.until("the wish to isolate", func(i incident.Incident) bool { return len(i.Endpoints) == 1 })
}

func (s *scene) publish() {
	s.t.Helper()
	s.give(s.analyst, &incident.Publish{})
	s.until("the publication", incident.Incident.IsPublished)
}

func (s *scene) reached() {
	s.t.Helper()
	s.until("the acknowledgement by phone", func(i incident.Incident) bool {
		return i.Acknowledged != nil && i.Acknowledged.Channel == "voice" && !i.CallRoundEnded.IsZero()
	})
}

func (s *scene) contained(c incident.Containment) {
	s.t.Helper()
	s.until("containment to be "+string(c), func(i incident.Incident) bool { return i.Containment() == c })
}

// settle is the client's work: the recommendation and the release.
func (s *scene) settle() {
	s.t.Helper()
	s.give(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "14 passwords reset."})
	s.until("the settlement", func(i incident.Incident) bool { return len(i.Unsettled()) == 0 })
	s.give(s.responder, &incident.Release{Endpoint: "e1", Reason: "Reinstalled."})
	s.contained(incident.ContainmentReleased)
}

// closeIt lets the client close and rate.
func (s *scene) closeIt() {
	s.t.Helper()
	s.give(s.admin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Server restored."})
	s.until("the request to close", func(i incident.Incident) bool { return i.Closure != nil })
	s.give(s.analyst, &incident.Verify{Gone: true, Note: "Quiet for an hour."})
	s.until("the closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed })
	s.give(s.admin, &incident.GiveFeedback{Rating: 5, Comment: "Well done."})
	s.until("the feedback", func(i incident.Incident) bool { return i.Feedback != nil })
}

// within measures how long something takes.
func within(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
