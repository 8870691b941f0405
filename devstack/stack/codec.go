package stack

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
)

// mostPayloads bounds a page of the UI.
const mostPayloads = 64 << 20

// codec opens payloads for the pages of the stack's own Temporal UI, without a sign-in: it listens on loopback and answers
// no other page. Production has an operation of the API for it.
type codec struct {
	payloads *observability.Payloads
	server   *http.Server
	address  string
	ui       atomic.Pointer[url.URL] // nil until it runs
}

// startCodec listens on a free port.
func startCodec(p *observability.Payloads) (*codec, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the stack
	if err != nil {
		return nil, err
	}
	c := &codec{payloads: p, address: "http://" + listener.Addr().String()}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = c.server.Serve(listener) }()
	return c, nil
}

// ServeHTTP answers POST /decode of the UI's pages.
func (c *codec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin, ui := r.Header.Get("Origin"), c.ui.Load()
	if ui == nil || origin != ui.String() && origin != "http://localhost:"+ui.Port() || r.URL.Path != "/decode" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type, X-Namespace")
	w.Header().Set("Vary", "Origin")
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var page struct {
		Payloads []models.Payload `json:"payloads"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostPayloads)).Decode(&page); err != nil {
		http.Error(w, "the body is no list of payloads", http.StatusBadRequest)
		return
	}
	for n, sealed := range page.Payloads {
		if opened, _, _, err := c.payloads.Open(sealed); err == nil {
			page.Payloads[n] = opened
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page) // a page that was closed is no error of ours
}
