package stage

import (
	"context"
	"sync"
)

// Outbox sends one thing after another, in the sequence of their posting.
type Outbox struct {
	mu   sync.Mutex
	last chan struct{} // closed when the newest posted thing is sent
}

// Post sends in the background, after everything posted before.
func (o *Outbox) Post(s *Stage, send func(ctx context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, done := o.last, make(chan struct{})
	o.last = done
	s.Play(func(ctx context.Context) {
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
