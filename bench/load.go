package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// load is how one side is driven: so many clients, each with one operation under way, for a time.
type load struct {
	clients int
	during  time.Duration
	most    int           // operations; 0 is no bound
	pause   time.Duration // 0: every client goes on at once; else all begin together, this far apart
}

// taken is what a load came to.
type taken struct {
	each   []time.Duration
	failed []error
	lasted time.Duration
}

// tolerated is the part of operations that may fail, as under any load.
const tolerated = 0.02

// err is not nil when what happened is no measurement.
func (t taken) err() error {
	if all := len(t.each) + len(t.failed); len(t.each) == 0 || float64(len(t.failed)) > tolerated*float64(all) {
		return fmt.Errorf("%d of %d operations failed: %w", len(t.failed), all, errors.Join(t.failed[:min(3, len(t.failed))]...))
	}
	return nil
}

// note takes down one operation; failures are counted, and those for which ctx is to blame are kept too.
func (t *taken) note(took time.Duration, err error) {
	if err != nil {
		t.failed = append(t.failed, err)
		return
	}
	t.each = append(t.each, took)
}

// run does operations until the time or their number is up, and waits for those under way.
func (l load) run(ctx context.Context, do func(ctx context.Context, n int) (time.Duration, error)) taken {
	begin := time.Now()
	var t taken
	var mu sync.Mutex
	next := 0
	more := func() (int, bool) {
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
		t.note(took, err)
	}
	if l.pause > 0 {
		l.rounds(ctx, more, once)
	} else {
		l.freely(more, once)
	}
	t.lasted = time.Since(begin)
	if len(t.each) == 0 && len(t.failed) == 0 {
		t.failed = append(t.failed, context.Cause(ctx))
	}
	return t
}

// freely lets every client go on as soon as it has its answer.
func (l load) freely(more func() (int, bool), once func(int)) {
	var clients sync.WaitGroup
	for range l.clients {
		clients.Go(func() {
			for n, ok := more(); ok; n, ok = more() {
				once(n)
			}
		})
	}
	clients.Wait()
}

// rounds lets all clients begin at the same moment, round by round.
func (l load) rounds(ctx context.Context, more func() (int, bool), once func(int)) {
	tick := time.NewTicker(l.pause)
	defer tick.Stop()
	for {
		var clients sync.WaitGroup
		for range l.clients {
			n, ok := more()
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

// quantile is the p-th part (0 to 1) of the sorted durations, in milliseconds.
func quantile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(p*float64(len(sorted)-1))].Microseconds()) / 1000
}

// middle is the median of numbers, their least and their greatest.
func middle(numbers []float64) Spread {
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
