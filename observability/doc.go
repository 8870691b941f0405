// Package observability is how Watchfire is watched while it runs: logs, metrics and readiness.
//
// The package knows nothing of incidents. Callers pass no secrets and no personal data through it.
package observability
