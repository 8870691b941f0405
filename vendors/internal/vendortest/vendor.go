// Package vendortest plays the vendor in the tests of its adapter and judges what the adapter says
// of a failure. No vendor's wire format belongs here.
package vendortest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Serve starts a pretended vendor that lives as long as the test.
func Serve(t *testing.T, api http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(api)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// Nobody returns an address at which nobody listens.
func Nobody() string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.URL
}

// Answer answers one request.
func Answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// Answering answers every request in the same way.
func Answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { Answer(w, status, body) }
}

// Cut takes a request and cuts the connection.
func Cut(w http.ResponseWriter, _ *http.Request) {
	conn, _, _ := http.NewResponseController(w).Hijack()
	_ = conn.Close()
}

// Hanging takes a request, calls then and keeps silent until the client is gone.
func Hanging(then func()) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only after it does the server notice that the client left
		then()
		<-r.Context().Done()
	}
}
