package simulators

import (
	"context"
	"sync"
)

// outbox sends one thing after another, in the order they were posted.
type outbox struct {
	mu   sync.Mutex
	last chan struct{} // closed when the newest posted thing was sent
}

// post sends after everything posted before it.
func (o *outbox) post(s *stage, send func(ctx context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, done := o.last, make(chan struct{})
	o.last = done
	s.play(func(ctx context.Context) {
		defer close(done)
		if before != nil {
			select {
			case <-before:
			case <-ctx.Done():
				return
			}
		}
		send(ctx)
	})
}
