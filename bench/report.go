package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write writes the result as JSON to a file, whose folder it creates when missing.
func (r Result) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return writeJSON(path, r)
}

// writeJSON writes v to a file.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

// Print writes the result to out, as tables for people.
func (r Result) Print(out io.Writer) {
	fmt.Fprintf(out, "\nWatchfire against bare Temporal: %d cores, %d pairs of turns of %.1f s, medians (least–greatest)\n\n", r.Cores, r.Pairs, r.TurnSeconds)
	fmt.Fprintf(out, "%-10s %7s  %-22s %12s %12s  %-19s %-12s %s\n", "comparison", "clients", "metric", "bare", "ours", "ratio", "aim", "verdict")
	for _, c := range r.Comparisons {
		c.print(out)
	}
	fmt.Fprintln(out)
	for _, note := range r.Notes {
		fmt.Fprintln(out, " ", note)
	}
	fmt.Fprintf(out, "\np50/p99 in ms, and how busy the machine was with anything else\n")
	for _, c := range r.Comparisons {
		fmt.Fprintf(out, "%-10s %7d  bare %7.1f /%7.1f   ours %7.1f /%7.1f   other work %3.0f %% of the machine\n", c.Name, c.Clients,
			c.bare(func(t Turn) float64 { return t.P50 }), c.bare(func(t Turn) float64 { return t.P99 }),
			c.ours(func(t Turn) float64 { return t.P50 }), c.ours(func(t Turn) float64 { return t.P99 }), 100*c.Other)
	}
	r.printReach(out)
	r.Flood.print(out)
	r.Hooks.print(out)
	r.Crowd.print(out)
	r.Lists.print(out)
	r.printCosts(out)
	r.printIncident(out)
}

// print writes the lines of one comparison.
func (c Comparison) print(out io.Writer) {
	sign := "≤"
	if c.Metric == Rate {
		sign = "≥"
	}
	var aims []string
	for _, a := range c.Aims {
		aims = append(aims, fmt.Sprintf("%s %.4g", sign, a))
	}
	unit := "/s"
	if c.Metric == P50 {
		unit = "ms"
	}
	value := func(t Turn) float64 { return t.value(c.Metric) }
	fmt.Fprintf(out, "%-10s %7d  %-22s %9.1f %-2s %9.1f %-2s  %-19s %-12s %s\n", c.Name, c.Clients, c.Metric,
		c.bare(value), unit, c.ours(value), unit, c.Ratio, strings.Join(aims, ", "), c.Verdict)
	if c.CPUAim > 0 {
		fmt.Fprintf(out, "%-10s %7d  %-22s %9.1f %-2s %9.1f %-2s  %-19s %-12s %s\n", c.Name, c.Clients, "CPU per operation",
			c.bare(Turn.comparedCPU), "ms", c.ours(Turn.comparedCPU), "ms", c.CPURatio, fmt.Sprintf("≤ %.4g", c.CPUAim), c.CPU)
	}
}

// String writes a spread as 1.23 (1.20–1.31).
func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max) }

// bare returns the median of a value over the bare side's turns.
func (c Comparison) bare(of func(Turn) float64) float64 {
	return c.spread(func(p Pair) float64 { return of(p.Bare) }).Median
}

// ours returns the median of a value over our turns.
func (c Comparison) ours(of func(Turn) float64) float64 {
	return c.spread(func(p Pair) float64 { return of(p.Ours) }).Median
}

// printCosts writes the CPU time of every process, and the statements, for one operation.
func (r Result) printCosts(out io.Writer) {
	names := []string{procTemporal, procPostgres, procAPI, procWorker, procBare, procLoad}
	fmt.Fprintf(out, "\nCPU ms per operation; CPU ratios leave out the last column\n%-10s %7s %5s", "", "clients", "side")
	for _, n := range names {
		fmt.Fprintf(out, " %12s", strings.Fields(n)[0])
	}
	fmt.Fprintf(out, " %12s\n", "statements")
	for _, c := range r.Comparisons {
		for _, side := range []struct {
			name string
			of   func(func(Turn) float64) float64
		}{{"bare", c.bare}, {"ours", c.ours}} {
			fmt.Fprintf(out, "%-10s %7d %5s", c.Name, c.Clients, side.name)
			for _, n := range names {
				fmt.Fprintf(out, " %12.2f", side.of(func(t Turn) float64 { return t.CPU[n] }))
			}
			fmt.Fprintf(out, " %12s\n", strings.Join([]string{
				fmt.Sprintf("%.1f ours", side.of(func(t Turn) float64 { return t.Statements[dbOurs] })),
				fmt.Sprintf("%.1f Temporal's", side.of(func(t Turn) float64 { return t.Statements[dbTemporal] + t.Statements[dbVisibility] })),
			}, " + "))
		}
	}
}

// printIncident writes the costs of one whole life of an incident.
func (r Result) printIncident(out io.Writer) {
	s := r.Shape
	fmt.Fprintf(out, "\nOne life of an incident: %d updates, %d activities, %d local activities, %d timers, %d workflow tasks, %d search attribute updates\n",
		s.Updates, s.Activities, s.LocalActivities, s.Timers, s.WorkflowTasks, s.Attributes)
	if r.Incident.HistoryEvents > 0 {
		fmt.Fprintf(out, "  %.0f events in its history\n", r.Incident.HistoryEvents)
		for _, db := range slices.Sorted(maps.Keys(r.Incident.Bytes)) {
			fmt.Fprintf(out, "  database %-20s %6.0f statements, %7.1f KiB\n", db, r.Incident.Statements[db], r.Incident.Bytes[db]/1024)
		}
	}
	fmt.Fprintf(out, "  (%s)\n", r.Statements)
	fmt.Fprint(out, "Memory at the end:")
	for _, name := range slices.Sorted(maps.Keys(r.MemoryMB)) {
		fmt.Fprintf(out, " %s %.0f MB ·", name, r.MemoryMB[name])
	}
	fmt.Fprintln(out)
}
