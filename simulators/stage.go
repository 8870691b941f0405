package simulators

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// stage is what every simulator stands on: the clock and its pace, the goroutines that
// play calls and mails until the stage closes, and a web client that cannot leave the machine.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	pace   float64
	now    func() time.Time
	log    *slog.Logger
	web    *http.Client

	mu     sync.Mutex
	closed bool
	plays  sync.WaitGroup
}

func newStage(ctx context.Context, o Options) *stage {
	s := &stage{pace: o.Pace, now: time.Now, log: o.Log}
	if s.pace == 0 {
		s.pace = 1
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: dialLoopbackOnly}
	s.web = &http.Client{
		Timeout:       15 * time.Second, // what the vendors allow a webhook, never scaled
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// play runs f in the background until it returns; after close nothing new is started.
func (s *stage) play(f func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.plays.Go(func() { f(s.ctx) })
}

// scaled is how long d lasts at the stage's pace.
func (s *stage) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.pace)
}

// wait lets d of simulated time pass; false when ctx ended first.
func (s *stage) wait(ctx context.Context, d time.Duration) bool {
	return s.waitExactly(ctx, s.scaled(d))
}

// waitExactly lets d of real time pass; false when ctx ended first.
func (s *stage) waitExactly(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (s *stage) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
}

func (s *stage) drained(ctx context.Context) error {
	done := make(chan struct{})
	go func() { s.plays.Wait(); close(done) }()
	select {
	case <-done:
		s.web.CloseIdleConnections()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("simulators still busy: %w", ctx.Err())
	}
}

var errNotLoopback = errors.New("not a loopback address")

func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if !isLoopback(host) {
		return fmt.Errorf("address %q: %w", addr, errNotLoopback)
	}
	return nil
}

// dialLoopbackOnly refuses every connection that would leave the machine.
func dialLoopbackOnly(_, address string, _ syscall.RawConn) error {
	return loopbackOnly(address)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// randomHex returns n random hexadecimal digits; n is even.
func randomHex(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}

// hexOf returns 32 hexadecimal digits that depend on nothing but s.
func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:32]
}

func isHex(s string) bool {
	for _, c := range s {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return s != ""
}
