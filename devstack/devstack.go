// Package devstack starts the parts a whole Watchfire needs on a bare machine:
// a private PostgreSQL from the installed server binaries, a real Temporal
// server with its UI (built once from the module devstack/temporal), and any
// other process that must not outlive its parent.
//
// The package finds, builds, starts, stops and kills processes. It knows nothing
// of the work inside them (migrations, workers, simulators, seeds): callers put
// that together. Everything listens on 127.0.0.1 only.
package devstack
