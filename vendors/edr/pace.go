package edr

import (
	"fmt"
	"net/http"

	"golang.org/x/time/rate"
)

// paced sends requests to one client's EDR no faster than its vendor wants them.
type paced struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// Paced lets at most perSecond requests a second through to next on average, and as many at once; the rest wait for
// their turn, or fail at once when their time is over before it. 0 is no limit.
func Paced(next http.RoundTripper, perSecond float64) http.RoundTripper {
	if perSecond <= 0 {
		return next
	}
	return paced{next, rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// RoundTrip waits for the request's turn.
func (p paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.limit.Wait(r.Context()); err != nil {
		return nil, fmt.Errorf("wait for the vendor's pace: %w", err)
	}
	return p.next.RoundTrip(r)
}
