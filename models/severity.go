package models

import "slices"

// Severity says how bad an incident is for the client.
type Severity string

// The severities, from "severe impact now or imminent" down.
const (
	SeverityCritical Severity = "critical"
	SeverityHigh     Severity = "high"
	SeverityMedium   Severity = "medium"
	SeverityLow      Severity = "low"
)

// Severities lists all severities, the worst first.
func Severities() []Severity {
	return []Severity{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow}
}

// IsValid reports whether s is one of the four severities.
func (s Severity) IsValid() bool { return slices.Contains(Severities(), s) }
