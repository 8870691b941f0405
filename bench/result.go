package bench

import (
	"maps"
	"slices"
	"time"
)

// Result holds everything that was measured.
type Result struct {
	At          time.Time          `json:"at"`
	Cores       int                `json:"cores"`
	Go          string             `json:"go"`
	Pairs       int                `json:"pairs"`
	TurnSeconds float64            `json:"turn_seconds"`
	Statements  string             `json:"statements_are"`
	Shape       Shape              `json:"shape"` // of one life of an incident
	Notes       []string           `json:"notes"` // how to read the comparisons
	Comparisons []Comparison       `json:"comparisons"`
	Reach       []*Reach           `json:"reach,omitempty"`
	Flood       *Flood             `json:"flood,omitempty"`
	Hooks       *Hooks             `json:"hooks,omitempty"`
	Crowd       *Crowd             `json:"crowd,omitempty"`
	Lists       *Lists             `json:"lists,omitempty"`
	Incident    Costs              `json:"per_incident"`
	MemoryMB    map[string]float64 `json:"memory_mb"` // resident at the end
}

// Comparison is one question at one number of clients.
type Comparison struct {
	Name     string    `json:"name"`
	What     string    `json:"what"`
	Clients  int       `json:"clients"`
	Metric   Metric    `json:"metric"`
	Aims     []float64 `json:"aims"` // the aim, then the next one
	CPUAim   float64   `json:"cpu_aim,omitempty"`
	Pairs    []Pair    `json:"pairs"`
	Ratio    Spread    `json:"ratio"`
	CPURatio Spread    `json:"cpu_ratio"`
	Other    float64   `json:"other_load"` // share of the machine that other work took, 0 to 1
	Verdict  string    `json:"verdict"`
	CPU      string    `json:"cpu_verdict,omitempty"`
}

// Pair is a turn of each side, one after the other. The ratios are ours divided by bare.
type Pair struct {
	Bare     Turn    `json:"bare"`
	Ours     Turn    `json:"ours"`
	Ratio    float64 `json:"ratio"`
	CPURatio float64 `json:"cpu_ratio"`
}

// Turn is one side under load. Every value per operation also covers the work that the load left to be done after it.
type Turn struct {
	Operations int     `json:"operations"`
	Failed     int     `json:"failed"`
	PerSecond  float64 `json:"per_second"`
	Latency
	CPU           map[string]float64 `json:"cpu_ms_per_operation"` // by process
	Statements    map[string]float64 `json:"statements_per_operation"`
	Bytes         map[string]float64 `json:"bytes_per_operation"` // of growth, by database
	HistoryEvents float64            `json:"history_events,omitempty"`
	Other         float64            `json:"other_load"`
}

// Latency tells how long operations took, in ms.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// newLatency summarises how long operations took.
func newLatency(each []time.Duration) Latency {
	each = slices.Sorted(slices.Values(each))
	return Latency{P50: quantile(each, .5), P99: quantile(each, .99), Max: quantile(each, 1)}
}

// Spread is a median with its least and greatest.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Costs are the costs of one whole life of an incident, as medians over the turns; Statements and Bytes by database.
type Costs struct {
	HistoryEvents float64            `json:"history_events"`
	Statements    map[string]float64 `json:"statements"`
	Bytes         map[string]float64 `json:"bytes"`
}

// The limits beyond which nothing can be measured.
const (
	maxOther  = 0.25 // of the machine
	maxSpread = 2.0  // of the bare side, greatest divided by least
)

// The verdicts.
const (
	met           = "met"
	missed        = "missed"
	notMeasurable = "not measurable"
)

// newTurn divides the costs between two readings by the operations of a load. loaded is the usage at the end of the
// load, and idle the share of a core that each process uses without it.
func newTurn(t outcome, before reading, loaded usage, after reading, idle map[string]float64) Turn {
	ops := float64(len(t.each))
	out := Turn{
		Operations: len(t.each), Failed: len(t.failed), PerSecond: ops / t.lasted.Seconds(), Latency: newLatency(t.each),
		CPU: map[string]float64{}, Statements: map[string]float64{}, Bytes: map[string]float64{}, Other: loaded.other(before.usage),
	}
	for name, d := range after.since(before.usage) {
		out.CPU[name] = max(0, d.Seconds()-idle[name]*after.at.Sub(before.at).Seconds()) * 1000 / ops
	}
	for name := range after.statements {
		out.Statements[name] = float64(after.statements[name]-before.statements[name]) / ops
	}
	for name := range after.bytes {
		out.Bytes[name] = float64(after.bytes[name]-before.bytes[name]) / ops
	}
	return out
}

// comparedCPU returns the CPU time for one operation, in ms, of the server, the database, the API and the workers,
// without the load.
func (t Turn) comparedCPU() float64 {
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(t.CPU)) { // sums of fractions depend on their order
		if name != procLoad {
			sum += t.CPU[name]
		}
	}
	return sum
}

// value returns the value that a comparison divides.
func (t Turn) value(m Metric) float64 {
	if m == Rate {
		return t.PerSecond
	}
	return t.P50
}

// judge sets the medians and the verdicts.
func (c *Comparison) judge() {
	c.Ratio = c.spread(func(p Pair) float64 { return p.Ratio })
	c.CPURatio = c.spread(func(p Pair) float64 { return p.CPURatio })
	c.Other = (c.spread(func(p Pair) float64 { return p.Bare.Other }).Median + c.spread(func(p Pair) float64 { return p.Ours.Other }).Median) / 2
	c.Verdict = c.verdict(c.Ratio.Median, c.Aims, c.Metric == Rate, c.spread(func(p Pair) float64 { return p.Bare.value(c.Metric) }))
	if c.CPUAim > 0 {
		c.CPU = c.verdict(c.CPURatio.Median, []float64{c.CPUAim}, false, c.spread(func(p Pair) float64 { return p.Bare.comparedCPU() }))
	}
}

// spread returns the median, the least and the greatest of a value over the pairs.
func (c *Comparison) spread(of func(Pair) float64) Spread {
	var all []float64
	for _, p := range c.Pairs {
		all = append(all, of(p))
	}
	return spreadOf(all)
}

// verdict tells whether a ratio reaches its aims, unless the machine was too busy or the bare side too unsteady to
// judge. With more, a greater ratio is better.
func (c *Comparison) verdict(ratio float64, aims []float64, more bool, bare Spread) string {
	if c.Other > maxOther || bare.Min <= 0 || bare.Max/bare.Min > maxSpread {
		return notMeasurable
	}
	reached := func(aim float64) string {
		if more && ratio >= aim || !more && ratio <= aim {
			return met
		}
		return missed
	}
	out := reached(aims[0])
	if len(aims) > 1 && out == met {
		out += ", next aim " + reached(aims[1])
	}
	return out
}

// costsOfALife returns the costs of a life from our turns of the comparison lifecycle.
func costsOfALife(r Result) Costs {
	c := Costs{Statements: map[string]float64{}, Bytes: map[string]float64{}}
	var turns []Turn
	for _, done := range r.Comparisons {
		for _, p := range done.Pairs {
			if done.Name == "lifecycle" {
				turns = append(turns, p.Ours)
			}
		}
	}
	median := func(of func(Turn) float64) float64 {
		var all []float64
		for _, t := range turns {
			all = append(all, of(t))
		}
		return spreadOf(all).Median
	}
	c.HistoryEvents = median(func(t Turn) float64 { return t.HistoryEvents })
	for _, db := range databaseNames() {
		c.Statements[db] = median(func(t Turn) float64 { return t.Statements[db] })
		c.Bytes[db] = median(func(t Turn) float64 { return t.Bytes[db] })
	}
	return c
}
