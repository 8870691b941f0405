package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// load says how to drive one side: so many clients, each with one operation under way, for a time.
type load struct {
	clients int
	during  time.Duration
	most    int           // most operations; 0 is no bound
	pause   time.Duration // 0: every client goes on at once; else all begin together, this far apart
}

// outcome is the result of a load.
type outcome struct {
	each   []time.Duration // of the operations that succeeded
	failed []error
	lasted time.Duration
}

// toleratedFailures is the share of operations that may fail, as under any load.
const toleratedFailures = 0.02

// err returns an error when no operation succeeded, or more failed than tolerated: then there is no measurement.
func (t outcome) err() error {
	if all := len(t.each) + len(t.failed); len(t.each) == 0 || float64(len(t.failed)) > toleratedFailures*float64(all) {
		return fmt.Errorf("%d of %d operations failed: %w", len(t.failed), all, errors.Join(t.failed[:min(3, len(t.failed))]...))
	}
	return nil
}

// add records one operation, also one that failed because its context ended.
func (t *outcome) add(took time.Duration, err error) {
	if err != nil {
		t.failed = append(t.failed, err)
		return
	}
	t.each = append(t.each, took)
}

// run calls do until the time is up or their number is reached, and waits for the calls under way.
func (l load) run(ctx context.Context, do func(ctx context.Context, n int) (time.Duration, error)) outcome {
	begin := time.Now()
	var t outcome
	var mu sync.Mutex
	next := 0
	nextNumber := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || time.Since(begin) >= l.during || l.most > 0 && next >= l.most {
			return 0, false
		}
		next++
		return next - 1, true
	}
	once := func(n int) {
		took, err := do(ctx, n)
		mu.Lock()
		defer mu.Unlock()
		t.add(took, err)
	}
	if l.pause > 0 {
		l.runRounds(ctx, nextNumber, once)
	} else {
		l.runFreely(nextNumber, once)
	}
	t.lasted = time.Since(begin)
	if len(t.each) == 0 && len(t.failed) == 0 {
		t.failed = append(t.failed, context.Cause(ctx))
	}
	return t
}

// runFreely lets every client go on as soon as it has its answer.
func (l load) runFreely(nextNumber func() (int, bool), once func(int)) {
	var clients sync.WaitGroup
	for range l.clients {
		clients.Go(func() {
			for n, ok := nextNumber(); ok; n, ok = nextNumber() {
				once(n)
			}
		})
	}
	clients.Wait()
}

// runRounds lets all clients begin at the same moment, round by round.
func (l load) runRounds(ctx context.Context, nextNumber func() (int, bool), once func(int)) {
	tick := time.NewTicker(l.pause)
	defer tick.Stop()
	for {
		var clients sync.WaitGroup
		for range l.clients {
			n, ok := nextNumber()
			if !ok {
				clients.Wait()
				return
			}
			clients.Go(func() { once(n) })
		}
		clients.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// requests remember when each was sent, by what it is about.
type requests[K comparable] struct {
	mu sync.Mutex
	at map[K]time.Time
}

// send notes the time, sends a request and returns how long that took.
func (r *requests[K]) send(about K, request func() error) (time.Duration, error) {
	r.mu.Lock()
	if r.at == nil {
		r.at = map[K]time.Time{}
	}
	r.at[about] = time.Now()
	r.mu.Unlock()
	return measure(request)
}

// quantile returns the p-quantile (p from 0 to 1) of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(p*float64(len(sorted)-1))].Microseconds()) / 1000
}

// spreadOf returns the median of numbers, their least and their greatest.
func spreadOf(numbers []float64) Spread {
	if len(numbers) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(numbers))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (m + s[len(s)/2-1]) / 2
	}
	return Spread{Median: m, Min: s[0], Max: s[len(s)-1]}
}
