package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestAVerdictNeedsAQuietMachineAndASteadyBareSide(t *testing.T) {
	for _, c := range []struct {
		name        string
		metric      Metric
		aims        []float64
		bare        []float64
		ratio       float64
		other       float64
		wantVerdict string
	}{
		{"both aims reached", Rate, []float64{.6, .85}, []float64{100, 110}, .9, .1, "met, next aim met"},
		{"the first aim only", Rate, []float64{.6, .85}, []float64{100, 110}, .7, .1, "met, next aim missed"},
		{"too slow", Rate, []float64{.6, .85}, []float64{100, 110}, .5, .1, missed},
		{"a latency is better when less", P50, []float64{2.5, 1.5}, []float64{10, 11}, 1.4, .1, "met, next aim met"},
		{"a latency too long", P50, []float64{3}, []float64{10, 11}, 3.1, .1, missed},
		{"other work took the machine", Rate, []float64{.6}, []float64{100, 110}, .9, .3, notMeasurable},
		{"the bare side is unsteady", Rate, []float64{.6}, []float64{100, 210}, .9, .1, notMeasurable},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := Comparison{Metric: c.metric, Aims: c.aims}
			for _, v := range c.bare {
				p := Pair{Ratio: c.ratio, Bare: Turn{PerSecond: v, Latency: Latency{P50: v}, Other: c.other}, Ours: Turn{Other: c.other}}
				made.Pairs = append(made.Pairs, p)
			}
			made.judge()
			if made.Verdict != c.wantVerdict {
				t.Errorf("the verdict is %q, want %q", made.Verdict, c.wantVerdict)
			}
		})
	}
}

func TestALoadThatFailsIsNoMeasurement(t *testing.T) {
	failure := errors.New("no answer")
	some := load{clients: 4, during: time.Minute, most: 100}.run(t.Context(), func(_ context.Context, n int) (time.Duration, error) {
		if n == 7 {
			return 0, failure
		}
		return time.Millisecond, nil
	})
	if err := some.err(); err != nil || len(some.each) != 99 || len(some.failed) != 1 {
		t.Errorf("one failure of 100 operations: the error is %v, %d succeeded, want none and 99", err, len(some.each))
	}
	all := load{clients: 4, during: time.Minute, most: 10}.run(t.Context(), func(context.Context, int) (time.Duration, error) { return 0, failure })
	if err := all.err(); !errors.Is(err, failure) {
		t.Errorf("failures only: the error is %v, want the operations'", err)
	}
}

func TestRoundsBeginTogetherAndKeepTheirDistance(t *testing.T) {
	l := load{clients: 3, during: time.Minute, most: 9, pause: 20 * time.Millisecond}
	begin := time.Now()
	if got := len(l.run(t.Context(), func(context.Context, int) (time.Duration, error) { return 0, nil }).each); got != 9 {
		t.Errorf("%d operations, want 9", got)
	}
	if took := time.Since(begin); took < 2*l.pause {
		t.Errorf("three rounds took %s, want two pauses of %s at least", took, l.pause)
	}
}

func TestWorkOfOursIsNotWorkOfOthers(t *testing.T) {
	p := processes{procLoad: os.Getpid()}
	before := p.read()
	x := 0.0
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; {
		x += math.Sqrt(x + 1)
	}
	after := p.read()
	if mine := after.since(before)[procLoad]; mine <= 0 {
		t.Errorf("300 ms of work count as %s (%v)", mine, x)
	}
	if other := after.other(before); other < 0 || other > 1 {
		t.Errorf("others took %v of the machine", other)
	}
}

func TestTheMedianOfAnEvenCountLiesBetweenTheMiddleTwo(t *testing.T) {
	if got := spreadOf([]float64{4, 1, 3, 2}); got != (Spread{Median: 2.5, Min: 1, Max: 4}) {
		t.Errorf("the spread is %v", got)
	}
}

func TestTheVerdictOnReachJudgesTheSlowestHundredth(t *testing.T) {
	for _, c := range []struct {
		mail, call, other float64
		want              string
	}{
		{1000, 1000, .1, met},
		{1001, 10, .1, missed},
		{10, 1001, .1, missed},
		{10, 10, .3, notMeasurable},
	} {
		r := Reach{Ours: Turn{Latency: Latency{P99: c.mail}, Other: c.other}, Call: Latency{P99: c.call}}
		if r.judge(); r.Verdict != c.want {
			t.Errorf("mail after %v ms, call after %v ms, other load %v: the verdict is %q, want %q", c.mail, c.call, c.other, r.Verdict, c.want)
		}
	}
}

func TestAnIncidentThatNeverReachedTheVendorIsLost(t *testing.T) {
	begin := time.Now()
	requested := map[models.Reference]time.Time{"SI-1-1": begin, "SI-1-2": begin}
	arrived := map[models.Reference]time.Time{"SI-1-1": begin.Add(30 * time.Millisecond)}
	if _, err := waitTimes(requested, arrived); err == nil {
		t.Error("one of two incidents never reached the vendor, and that is no error")
	}
	arrived["SI-1-2"] = begin.Add(10 * time.Millisecond)
	each, err := waitTimes(requested, arrived)
	if got := newLatency(each); err != nil || got.Max != 30 || got.P50 != 10 {
		t.Errorf("the waits are %v (error %v), want 10 ms and 30 ms", got, err)
	}
}
