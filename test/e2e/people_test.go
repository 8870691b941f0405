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
	status := s.post(s.analyst, "/incidents", map[string]any{"client": s.number, "severity": severity, "title": title}, &i)
	if s.ref = i.Reference; status != http.StatusCreated && !s.retry {
		s.t.Errorf("the API answered the opening of an incident with %d, want 201", status)
	}
	printProgress("  %s opened, %s", s.ref, severity)
	if s.retry {
		s.until("the incident", func(i incident.Incident) bool { return i.Seq > 0 })
	}
}

// assess lets the analyst assess the incident and recommend.
func (s *scene) assess() {
	s.t.Helper()
	text := summary
	s.send(s.analyst, &incident.Assess{Summary: &text}, &incident.Recommend{Text: "Reset all passwords."})
	s.until("the assessment", func(i incident.Incident) bool { return i.Assessment.Summary == summary && len(i.Recommendations) == 1 })
}

// isolate requests the isolation of the scene's device.
func (s *scene) isolate() {
	s.t.Helper()
	s.send(s.analyst, &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."})
	s.until("the request to isolate", func(i incident.Incident) bool { return len(i.Endpoints) == 1 })
}

// publish lets the analyst publish the report.
func (s *scene) publish() {
	s.t.Helper()
	s.send(s.analyst, &incident.Publish{})
	s.until("the publication", incident.Incident.IsPublished)
}

// awaitAcknowledgement waits until a contact has acknowledged on the phone and the round has ended.
func (s *scene) awaitAcknowledgement() {
	s.t.Helper()
	s.until("the acknowledgement by phone", func(i incident.Incident) bool {
		return i.Acknowledged != nil && i.Acknowledged.Channel == "voice" && !i.CallRoundEnded.IsZero()
	})
}

// awaitContainment waits until the incident's containment is c.
func (s *scene) awaitContainment(c incident.Containment) {
	s.t.Helper()
	s.until("containment to be "+string(c), func(i incident.Incident) bool { return i.Containment() == c })
}

// settleAndRelease is the client's work: it settles the recommendation and releases the endpoint.
func (s *scene) settleAndRelease() {
	s.t.Helper()
	s.send(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "14 passwords reset."})
	s.until("the settlement", func(i incident.Incident) bool { return len(i.Unsettled()) == 0 })
	s.send(s.responder, &incident.Release{Endpoint: "e1", Reason: "Reinstalled."})
	s.awaitContainment(incident.ContainmentReleased)
}

// closeIncident lets the client request closure, the SOC verify and the client rate.
func (s *scene) closeIncident() {
	s.t.Helper()
	s.send(s.admin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Server restored."})
	s.until("the request to close", func(i incident.Incident) bool { return i.Closure != nil })
	s.send(s.analyst, &incident.Verify{Gone: true, Note: "Quiet for an hour."})
	s.until("the closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed })
	s.rate()
}

func (s *scene) rate() {
	s.t.Helper()
	s.send(s.admin, &incident.GiveFeedback{Rating: 5, Comment: "Well done."})
	s.until("the feedback", func(i incident.Incident) bool { return i.Feedback != nil })
}

// elapsed returns how long f takes.
func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
