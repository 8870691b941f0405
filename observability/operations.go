package observability

import (
	"fmt"
	"net/http"
)

// Operations returns what a process answers its operator, and nobody else: /healthz (it runs), /readyz (it can do its
// job) and /metrics. Its headers keep a browser from reading more into an answer than it holds.
func Operations(ready *Readiness, m *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", ready.Handler())
	mux.Handle("GET /metrics", m.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	})
}
