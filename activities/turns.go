package activities

import (
	"time"

	"golang.org/x/time/rate"
)

// Turns bounds what a worker process asks of a vendor with activities of the incidents' own task queue, so that a vendor
// that is slow, or limits us, holds back nothing else there. What gets no turn goes to the vendor's queue, whose limit
// Temporal keeps over all workers. The zero Turns has no bound.
type Turns struct {
	places chan struct{}
	pace   *rate.Limiter
}

// NewTurns bounds the activities at a time, and the requests in a second.
func NewTurns(atOnce int, perSecond float64) Turns {
	return Turns{places: make(chan struct{}, atOnce), pace: rate.NewLimiter(rate.Limit(perSecond), int(perSecond))}
}

// takeTurns takes a turn for so many requests, until done is called. It does not wait for one.
func (t Turns) takeTurns(requests int) (done func(), ok bool) {
	if t.places == nil || requests == 0 {
		return func() {}, true
	}
	select {
	case t.places <- struct{}{}:
	default:
		return func() {}, false
	}
	if !t.pace.AllowN(time.Now(), requests) {
		<-t.places
		return func() {}, false
	}
	return func() { <-t.places }, true
}
