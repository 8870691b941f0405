package observability

import (
	"fmt"
	"net/http"
)

// Operations returns what a process answers its operator, and nobody else: /healthz (it runs), /readyz (it can do its
// job) and /metrics.
func Operations(ready *Readiness, m *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", ready.Handler())
	mux.Handle("GET /metrics", m.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return mux
}
