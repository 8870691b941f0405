// Package stage is the ground under every simulated vendor: the clock and its pace, the HTTP
// servers, the journal of requests, faults on request, the personas at the other end, and steering
// below /_sim/.
//
// No vendor lives here: each simulator has a package of its own, which imports nothing of this
// project but this package.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"sync"
	"time"
)

// Stage gives every simulator the same ground: the clock and its pace, the goroutines that play
// calls and mails, the HTTP servers, and a web client that cannot leave the machine.
type Stage struct {
	Log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	pace   float64
	web    *http.Client

	mu      sync.Mutex
	closed  bool
	plays   sync.WaitGroup
	servers []*http.Server
	endings []func()
}

// New makes a stage that lasts until Close or the end of ctx. Pace scales every delay of a
// simulated vendor or person: 1 is realistic, 0.05 is twenty times faster; 0 means 1. A nil log
// discards everything.
func New(ctx context.Context, pace float64, log *slog.Logger) *Stage {
	s := &Stage{pace: pace, Log: log}
	if s.pace == 0 {
		s.pace = 1
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: refuseForeignAddress}
	s.web = &http.Client{
		Timeout:       15 * time.Second, // as long as the vendors wait for a webhook, never scaled
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// Context ends when the stage closes.
func (s *Stage) Context() context.Context { return s.ctx }

// Now is the time in the simulators' journals, callbacks and effects. The pace does not change it.
func (s *Stage) Now() time.Time { return time.Now() }

// Play runs f in the background until f returns; Close waits for it. A closed stage starts nothing.
func (s *Stage) Play(f func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.plays.Go(func() { f(s.ctx) })
}

// Scale returns how long d lasts at the stage's pace.
func (s *Stage) Scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.pace)
}

// Wait lets d of simulated time pass; false when ctx ended first.
func (s *Stage) Wait(ctx context.Context, d time.Duration) bool {
	return s.WaitExactly(ctx, s.Scale(d))
}

// WaitExactly lets d of real time pass; false when ctx ended first.
func (s *Stage) WaitExactly(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Reply is an answer of the product to a vendor's request.
type Reply struct {
	Status    int
	MediaType string
	Body      []byte // the first 64 KiB
}

// Fetch sends a request to the product. The request fails when it would leave the machine.
func (s *Stage) Fetch(req *http.Request) (*Reply, error) {
	res, err := s.web.Do(req) //nolint:gosec // G704: calling the configured address is the purpose, and the dialer stays on loopback
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return &Reply{Status: res.StatusCode, MediaType: kind, Body: body}, nil
}

// Serve answers HTTP requests to a vendor until Close, and returns the base URL without a trailing
// slash. An empty address picks a free port.
func (s *Stage) Serve(v Vendor, addr string, j *Journal) (string, error) {
	l, err := s.Listen(v, addr)
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler:           NewHandler(s, v, j),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	s.mu.Lock()
	s.servers = append(s.servers, server)
	s.mu.Unlock()
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), nil
}

// Listen opens a port of a vendor on a loopback address. An empty address picks a free port.
func (s *Stage) Listen(v Vendor, addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if err := checkLoopback(addr); err != nil {
		return nil, fmt.Errorf("%s simulator: %w", v.Name(), err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(s.ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s simulator: %w", v.Name(), err)
	}
	return l, nil
}

// OnClose registers f, which Close calls once the HTTP servers are down, and again when Close is
// called again.
func (s *Stage) OnClose(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings = append(s.endings, f)
}

// Close ends every play that is under way, stops listening and waits until nothing is left running
// or ctx ends. Closing twice is harmless.
func (s *Stage) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	servers, endings := s.servers, s.endings
	s.mu.Unlock()
	s.cancel()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, server.Close())
		}
	}
	for _, end := range endings {
		end()
	}
	return errors.Join(append(errs, s.waitUntilIdle(ctx))...)
}

func (s *Stage) waitUntilIdle(ctx context.Context) error {
	done := make(chan struct{})
	go func() { s.plays.Wait(); close(done) }()
	select {
	case <-done:
		s.web.CloseIdleConnections()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("simulators are still busy, wait longer for them: %w", ctx.Err())
	}
}
