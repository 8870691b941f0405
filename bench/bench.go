// Package bench measures Watchfire against bare Temporal: the same server, the same database, the same machine, in
// turns. It holds the measurement, the bare side's workflows and the report. It starts the product through package
// devstack/stack and does not know it from inside.
//
// A measurement never fails because something took long, only when something did not run or was lost. Tests gate on
// counts, not on time.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Options say what to measure, and how long.
type Options struct {
	Dir      string                         // an empty folder for data and logs
	Binary   string                         // the product's binary, whose subcommand bench also runs the bare side's worker
	BareArgs func(settings string) []string // for the file with BareSettings
	Pairs    int                            // turns of each side
	Clients  []int                          // how many clients send requests at the same time
	For      time.Duration                  // length of a turn
	Most     int                            // most operations in a turn; 0 is no bound
	Reach    []int                          // critical incidents published at the same moment; 1 is one after the other
	Crowd    int                            // incidents that are opened at once and stay open; 0: none
	Contacts int                            // of the client on whose mails the vendor reports all at once
	Only     []string                       // names of comparisons, "reach", "flood", "hooks", "crowd", "lists"; empty is all
	Progress func(line string)
}

// Run starts a stack of its own, measures on it and stops it. It returns an error when something did not run or was
// lost, never for a measured value.
func Run(ctx context.Context, o Options) (r Result, err error) {
	a, err := openArena(ctx, o)
	if err != nil {
		return r, err
	}
	defer a.close()
	r = Result{
		At: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), Pairs: o.Pairs, TurnSeconds: o.For.Seconds(),
		Statements: a.databases.method(), Shape: a.shape, Notes: notes(),
	}
	for _, c := range comparisons() {
		if !o.wants(c.Name) {
			continue
		}
		for _, clients := range o.Clients {
			done, err := a.compare(ctx, c, clients, o)
			if err != nil {
				return r, fmt.Errorf("%s at %d clients: %w", c.Name, clients, err)
			}
			r.Comparisons = append(r.Comparisons, done)
		}
	}
	if err := a.measureBursts(ctx, o, &r); err != nil {
		return r, err
	}
	if len(r.Comparisons) == 0 && len(r.Reach) == 0 && r.Hooks == nil && r.Flood == nil && r.Crowd == nil && r.Lists == nil {
		return r, errors.New("nothing was measured: choose among the comparisons, reach, flood, hooks, crowd and lists")
	}
	r.Incident = costsOfALife(r)
	r.MemoryMB = a.processes.memory()
	return r, nil
}

// wants reports whether a comparison or a burst is to be measured.
func (o Options) wants(name string) bool { return len(o.Only) == 0 || slices.Contains(o.Only, name) }

// measureBursts measures many publications at the same moment, a flood of requests, and many reports on mails.
func (a *arena) measureBursts(ctx context.Context, o Options, r *Result) error {
	for _, n := range o.Reach {
		if !o.wants("reach") {
			break
		}
		done, err := a.measureReach(ctx, n)
		if err != nil {
			return fmt.Errorf("reach, %d at once: %w", n, err)
		}
		r.Reach = append(r.Reach, done)
		o.Progress(fmt.Sprintf("reach, %d at once: p99 of the first mail %.0f ms, of the first call %.0f ms", n, done.Ours.P99, done.Call.P99))
	}
	if o.wants("flood") {
		done, err := a.measureFlood(ctx)
		if err != nil {
			return fmt.Errorf("flood: %w", err)
		}
		r.Flood = done
		o.Progress(fmt.Sprintf("flood: p99 of another client's reads %.1f times, of its commands %.1f times", done.Reads.Ratio, done.Commands.Ratio))
	}
	if o.wants("hooks") {
		done, err := a.measureHooks(ctx, o.Contacts)
		if err != nil {
			return fmt.Errorf("hooks: %w", err)
		}
		r.Hooks = done
		o.Progress(fmt.Sprintf("hooks, %d contacts: %.0f reports per second", o.Contacts, done.PerSecond))
	}
	if o.wants("lists") {
		done, err := a.measureLists(ctx, o)
		if err != nil {
			return fmt.Errorf("lists: %w", err)
		}
		r.Lists = done
	}
	if !o.wants("crowd") {
		return nil
	}
	done, err := a.measureCrowd(ctx, o.Crowd) // last, because the reconciler looks at each of them from then on
	if err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	r.Crowd = done
	o.Progress(fmt.Sprintf("crowd, %d incidents: the oldest first task waited %.0f ms", done.Incidents, done.Wait.Max))
	return nil
}

// compare lets the two sides take turns at a number of clients and judges the result.
func (a *arena) compare(ctx context.Context, c comparison, clients int, o Options) (Comparison, error) {
	out := Comparison{Name: c.Name, What: c.What, Clients: clients, Metric: c.Metric, Aims: c.Aims, CPUAim: c.CPUAim}
	for n := range o.Pairs {
		var p Pair
		for _, turn := range []struct {
			side side
			into *Turn
		}{{c.bare, &p.Bare}, {c.ours, &p.Ours}} {
			t, err := a.takeTurn(ctx, turn.side, load{clients: clients, during: o.For, most: o.Most, pause: c.pause(clients)})
			if err != nil {
				return out, fmt.Errorf("pair %d: %w", n+1, err)
			}
			*turn.into = t
		}
		p.Ratio, p.CPURatio = c.ratio(p), p.Ours.comparedCPU()/p.Bare.comparedCPU()
		out.Pairs = append(out.Pairs, p)
		o.Progress(fmt.Sprintf("%s, %d clients, pair %d: ratio %.2f", c.Name, clients, n+1, p.Ratio))
	}
	out.judge()
	return out, nil
}

// idleLook is how long a turn looks at what the processes use without load, if the load has pauses.
const idleLook = 2 * time.Second

// takeTurn prepares one side, waits until our processes are quiet, puts the load on, waits until they are quiet again,
// and reads the costs of all that. What the processes use in the pauses of a load is no cost of it.
func (a *arena) takeTurn(ctx context.Context, s side, l load) (t Turn, err error) {
	op, err := s(ctx, a, l)
	if err != nil {
		return t, fmt.Errorf("prepare: %w", err)
	}
	if err := a.awaitQuiet(ctx); err != nil {
		return t, err
	}
	idle := map[string]float64{}
	if l.pause > 0 {
		if idle, err = a.processes.idle(ctx, idleLook); err != nil {
			return t, err
		}
	}
	before, err := a.readBefore(ctx)
	if err != nil {
		return t, err
	}
	took := l.run(ctx, op.do)
	loaded := a.processes.read()
	if err := took.err(); err != nil {
		return t, err
	}
	if op.finish != nil {
		if took.each, err = op.finish(ctx); err != nil {
			return t, err
		}
	}
	if err := a.awaitQuiet(ctx); err != nil {
		return t, err
	}
	after, err := a.readAfter(ctx)
	if err != nil {
		return t, err
	}
	t = newTurn(took, before, loaded, after, idle)
	if op.history != nil {
		t.HistoryEvents, err = op.history(ctx)
	}
	return t, err
}
