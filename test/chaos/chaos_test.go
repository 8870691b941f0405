package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds the time from the last blow until every request is answered, and from then until everything is right.
// An attempt that died with its worker is made again only after half a minute.
const patience = 90 * time.Second

// TestChaos is the run itself; the package's documentation says what it does.
func TestChaos(t *testing.T) {
	p, err := planOf()
	if err != nil {
		t.Fatal(err)
	}
	newWorld(t, p).run("").report(t)
}

// report fails the test for each problem.
func (v *verdict) report(t *testing.T) {
	t.Helper()
	for kind, all := range v.problems {
		for _, problem := range all {
			t.Errorf("%s: %s", kind, problem)
		}
	}
}

// run lets the incidents live while things break, waits until everything runs again, and judges. The vendors go on
// spoiling answers: no incident may need a perfect one. A problem of the kind enough ends it early.
func (w *world) run(enough string) *verdict {
	supervisors, endSupervision := context.WithCancel(context.Background())
	defer func() { endSupervision(); w.supervised.Wait() }()
	w.supervise(supervisors)
	w.newLives()
	w.openScenes()
	w.began = time.Now()
	living, giveUp := context.WithCancel(w.t.Context())
	defer giveUp()
	var lives sync.WaitGroup
	for _, l := range w.lives {
		lives.Go(func() { l.play(living) })
	}
	w.breakThings(w.t.Context())
	w.say("nothing breaks any more")
	close(w.calm)
	ended := make(chan struct{})
	go func() { lives.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		w.say("some requests are not answered")
		giveUp()
		<-ended
	}
	w.say("judging")
	v := w.awaitVerdict(w.t.Context(), patience, enough)
	w.say("judged: %s", v)
	if !v.isGood() {
		w.keepRecords(w.t.Context())
	}
	return v
}

// String tells what was counted and what was found, as a table.
func (v *verdict) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(v.counts)) {
		fmt.Fprintf(&b, "\n  %-20s %5d", what, v.counts[what])
	}
	for _, kind := range problemKinds() {
		fmt.Fprintf(&b, "\n  %-20s %5d", kind, len(v.problems[kind]))
	}
	return b.String()
}
