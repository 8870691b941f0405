// Package observability is how Watchfire is watched while it runs: logs, metrics and readiness; and how it speaks to
// Temporal, which is watched most: the connection, and the sealing of what Temporal keeps.
//
// The package knows nothing of incidents. Callers pass no secrets and no personal data through it.
package observability
