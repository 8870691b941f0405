package bench

import (
	"context"
	"fmt"
	"time"
)

// Metric is the value that a comparison divides, ours by bare.
type Metric string

// The metrics. Of a rate more is better, of a latency less.
const (
	Rate Metric = "operations per second"
	P50  Metric = "p50"
)

// side prepares one side's turn.
type side func(ctx context.Context, a *arena, l load) (operation, error)

// operation is the work of one side, done again and again.
type operation struct {
	// do does it once and returns how long it took. n counts from 0 over all clients.
	do func(ctx context.Context, n int) (time.Duration, error)
	// finish, when not nil, returns how long each operation took once all are over.
	finish func(ctx context.Context) ([]time.Duration, error)
	// history, when not nil, returns the number of events in the history of a workflow of the turn.
	history func(ctx context.Context) (float64, error)
}

// comparison is one question: how does an operation of Watchfire compare with the simplest one of bare Temporal?
type comparison struct {
	Name, What string
	Metric     Metric
	Aims       []float64 // the aim, then the next one
	CPUAim     float64   // 0: none
	bare, ours side
	pauseFor   time.Duration // when not 0, all clients send at the same moment, and then pause so long for each of them
}

// comparisons lists the comparisons, in the order of the report.
func comparisons() []comparison {
	return []comparison{
		{Name: "handover", What: "publish → mail handed to the vendor, against an update → its activity starts", Metric: P50, Aims: []float64{3},
			bare: bareHandover, ours: oursHandover, pauseFor: mailsPerIncident * time.Second / mailsPerSecond},
		{Name: "critical", What: "publish a critical incident → its call is placed, and all until a key acknowledges it, against the same written by hand", Metric: P50, Aims: []float64{2.5}, CPUAim: 2,
			bare: floorCritical, ours: oursCritical, pauseFor: 150 * time.Millisecond},
		{Name: "open", What: "open an incident over HTTP, against the start of an empty workflow", Metric: Rate, Aims: []float64{.6, .85},
			bare: bareOpen, ours: oursOpen},
		{Name: "command", What: "a command over HTTP, against an empty update", Metric: P50, Aims: []float64{2.5, 1.5},
			bare: bareCommand, ours: oursCommand},
		{Name: "lifecycle", What: "an incident from opening to closure, against a workflow of the same shape", Metric: Rate, Aims: []float64{.6}, CPUAim: 1.7,
			bare: bareLifecycle, ours: oursLifecycle},
	}
}

// mailsPerSecond paces the rounds: it lies well below the limit of the mail queue, which the comparison would otherwise
// measure.
const mailsPerSecond = 64

// pause returns the time from one round to the next, or 0 when the clients do not wait for one another.
func (c comparison) pause(clients int) time.Duration {
	if c.pauseFor == 0 {
		return 0
	}
	return max(100*time.Millisecond, time.Duration(clients)*c.pauseFor)
}

// ratio divides a pair's values, ours by bare.
func (c comparison) ratio(p Pair) float64 {
	if c.Metric == Rate {
		return p.Ours.PerSecond / p.Bare.PerSecond
	}
	return p.Ours.P50 / p.Bare.P50
}

// notes returns lines that tell a person how to read the comparisons.
func notes() []string {
	var out []string
	for _, c := range comparisons() {
		out = append(out, c.Name+": "+c.What)
	}
	return append(out,
		fmt.Sprintf("handover: all clients at the same moment, then a pause, so that mails stay below %d a second", mailsPerSecond),
		"handover, critical: what the processes use without load is taken off their CPU",
		"lifecycle: a low severity, so neither calls nor isolations; bare has the same number of updates, activities and local activities, which do nothing",
		"bare activities run on their workflow's own queue, the engine's fastest way; ours run on a queue per vendor",
		fmt.Sprintf("not measurable: other work took more than %.0f %% of the machine, or the bare side varied by more than a factor of %.0f", 100*maxOther, maxSpread),
	)
}
