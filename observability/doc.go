// Package observability is how Watchfire is watched while it runs: logs, metrics and readiness.
//
// It knows nothing of incidents. Nothing that passes through it may hold secrets or personal data.
package observability
