package models

import (
	"time"

	"github.com/google/uuid"
)

// AlertSource is the origin of an alert.
type AlertSource string

// The sources of alerts.
const (
	SourceRealtime       AlertSource = "realtime"
	SourceHunting        AlertSource = "hunting"
	SourceIntegration    AlertSource = "integration"
	SourceGlobalIncident AlertSource = "global_incident"
	SourceClientReport   AlertSource = "client_report"
)

// AlertState says whether an alert belongs to an incident.
type AlertState string

// The states of an alert.
const (
	AlertNew    AlertState = "new"    // waits for an analyst
	AlertLinked AlertState = "linked" // belongs to an incident
)

// Alert is one finding from a source. Every text in it may have been written by an attacker.
// The desk bounds its fields, and what the source sent stays in its payload.
type Alert struct {
	ID         uuid.UUID   `json:"id"`
	ClientID   uuid.UUID   `json:"client_id"`
	Client     int         `json:"client"` // the client's number
	Source     AlertSource `json:"source"`
	FindingID  string      `json:"finding_id"` // the source's own id; with client and source it identifies the alert
	Title      string      `json:"title"`
	Detail     string      `json:"detail,omitempty"`
	Severity   Severity    `json:"severity"`
	Techniques []string    `json:"techniques,omitzero"` // ATT&CK ids
	Indicators []Indicator `json:"indicators,omitzero"`
	Hostnames  []string    `json:"hostnames,omitzero"`
	OccurredAt time.Time   `json:"occurred_at"`
	ReceivedAt time.Time   `json:"received_at"`
	UpdatedAt  time.Time   `json:"updated_at"`
	Version    int         `json:"version"`           // 1, and one more for every change the source sent
	Problem    string      `json:"problem,omitempty"` // why it could not be normalised; "" when it could
	State      AlertState  `json:"state"`
	Incident   Reference   `json:"incident,omitempty"`
	// Truncated says what the bounds of an alert left out, by the JSON name of the field: entries of a list, characters
	// of a text. The payload holds it all.
	Truncated map[string]int `json:"truncated,omitempty"`
	// ReportedBy is the user or the service token that handed the alert in, and ServiceToken the name of the latter.
	ReportedBy   uuid.UUID `json:"reported_by,omitzero"`
	ServiceToken string    `json:"service_token,omitempty"`
}

// SuspicionState says what became of a suspicion that the client reported.
type SuspicionState string

// The states of a report.
const (
	SuspicionOpen       SuspicionState = "open"        // an analyst looks at it, or will
	SuspicionInIncident SuspicionState = "in_incident" // an incident that the client can see is about it
	SuspicionDismissed  SuspicionState = "dismissed"   // there was nothing to it
)

// Suspicion is what a user of the client reported, as the client sees it.
type Suspicion struct {
	ID             uuid.UUID      `json:"id"` // of the alert
	Title          string         `json:"title"`
	ReportedBy     uuid.UUID      `json:"reported_by"`
	ReportedByName string         `json:"reported_by_name,omitempty"`
	ReportedAt     time.Time      `json:"reported_at"`
	State          SuspicionState `json:"state"`
	Incident       Reference      `json:"incident,omitempty"`
}

// Indicator is an indicator of compromise. Its value is written by attackers: defang it for people.
type Indicator struct {
	Type  string `json:"type"` // "ip", "domain", "url", "sha256", "email", "file_name", "other"
	Value string `json:"value"`
}
