package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// Flood is the result of one client's users sending all they can, for the users of another.
type Flood struct {
	Connections int     `json:"connections"`      // over which the flood comes
	PerSecond   float64 `json:"flood_per_second"` // answers to it
	Reads       Calmed  `json:"reads"`            // of the other client: an incident, its events, the list of incidents
	Commands    Calmed  `json:"commands"`         // comments
	Other       float64 `json:"other_load"`
}

// Calmed is a latency in ms while all is calm, and in the flood.
type Calmed struct {
	Calm  Latency `json:"calm"`
	Flood Latency `json:"flood"`
	Ratio float64 `json:"ratio_of_p99"`
}

const (
	floodConnections = 64
	floodEvents      = 60                    // comments in the incident that the flood reads again and again
	floodHosts       = 20_000                // in each alert: as many as one may hold
	floodTurns       = 4                     // calm and flood, in turns
	floodTurn        = 10 * time.Second      // how long each lasts
	floodPause       = 20 * time.Millisecond // between two requests of the other client
	floodAim         = 2.0                   // of the ratio
	floodBegins      = time.Second           // until all of the flood is there: the load itself takes the processors until then
)

// measureFlood lets the other client's responder read and comment, one request at a time, in calm and in the flood of a
// client's people and of a machine of theirs.
func (a *arena) measureFlood(ctx context.Context) (*Flood, error) {
	f := &Flood{Connections: floodConnections}
	var refs [2]models.Reference
	for n := range refs {
		ref, err := a.publishFor(ctx, a.people[n])
		if err != nil {
			return f, fmt.Errorf("prepare: %w", err)
		}
		refs[n] = ref
	}
	var made struct{ Secret string }
	engine := fmt.Sprintf("/clients/%d/service-tokens", a.people[0].client)
	if err := a.people[0].admin.Post(ctx, engine, map[string]any{"name": "Flood " + a.run, "operations": []string{"receive-alert"}}, &made); err != nil {
		return f, fmt.Errorf("prepare: %w", err)
	}
	machine := a.stack.Dev.Holder(made.Secret)
	a.limitless.Store(false)
	defer a.limitless.Store(true)
	var calm, flooded [2][]time.Duration // reads, commands
	before := a.processes.read()
	var answers int64
	for range floodTurns {
		for _, turn := range []struct {
			flood bool
			into  *[2][]time.Duration
		}{{false, &calm}, {true, &flooded}} {
			stop := func() int64 { return 0 }
			if turn.flood {
				stop = startFlood(ctx, a.people[0], machine, refs[0])
				select {
				case <-ctx.Done():
				case <-time.After(floodBegins):
				}
			}
			err := workCalmly(ctx, a.people[1], refs[1], turn.into)
			answers += stop()
			if err != nil {
				return f, err
			}
			if err := a.awaitQuiet(ctx); err != nil {
				return f, err
			}
		}
	}
	f.PerSecond = float64(answers) / (floodTurns * floodTurn.Seconds())
	f.Reads, f.Commands = calmed(calm[0], flooded[0]), calmed(calm[1], flooded[1])
	f.Other = a.processes.read().other(before)
	return f, nil
}

// publishFor opens and publishes an incident of a client, with comments in it.
func (a *arena) publishFor(ctx context.Context, p people) (models.Reference, error) {
	o, err := a.openBy(ctx, p, models.SeverityLow, 0)
	if err != nil {
		return "", err
	}
	_, err = p.analyst.Command(ctx, o.ref, &incident.Publish{})
	for n := 0; n < floodEvents && err == nil; n++ {
		_, err = p.responder.Command(ctx, o.ref, &incident.Comment{Text: fmt.Sprintf("Comment %d, long enough to be one that somebody writes at night.", n)})
	}
	return o.ref, err
}

// startFlood sends the heaviest reads of a client over a third of many connections, commands over a third and a machine's
// largest alerts over the rest, whatever the answers are, until stop is called, which returns the number of answers.
func startFlood(ctx context.Context, p people, machine stack.Person, ref models.Reference) (stop func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	var answers atomic.Int64
	reads := []func() error{
		func() error { return p.responder.Get(ctx, "/incidents?limit=200", nil) },
		func() error { return p.admin.Get(ctx, "/incidents/"+string(ref)+"/events?limit=200", nil) },
		func() error { return p.responder.Get(ctx, fmt.Sprintf("/clients/%d/go-live", p.client), nil) },
		func() error { return p.responder.Get(ctx, "/incidents/"+string(ref)+"/deliveries?limit=200", nil) },
	}
	hosts := strings.TrimSuffix(strings.Repeat(`"ws.corp",`, floodHosts), ",")
	floods := []func(k int) error{
		func(int) error {
			_, err := p.responder.Command(ctx, ref, &incident.Comment{Text: "flood"})
			return err
		},
		func(k int) error { return reads[k%len(reads)]() },
		func(int) error {
			alert := fmt.Appendf(nil, `{"client":%d,"source":"integration","finding_id":%q,"title":"Flood","severity":"low","hostnames":[%s]}`, p.client, uuid.New(), hosts)
			return machine.Post(ctx, "/alerts", alert, nil)
		},
	}
	for n := range floodConnections {
		all.Go(func() {
			for k := n; ctx.Err() == nil; k++ {
				_ = floods[n%len(floods)](k)
				answers.Add(1)
			}
		})
	}
	return func() int64 { cancel(); all.Wait(); return answers.Load() }
}

// workCalmly reads and comments for a turn and adds how long each request took.
func workCalmly(ctx context.Context, p people, ref models.Reference, took *[2][]time.Duration) error {
	read := []string{"/incidents/" + string(ref), "/incidents/" + string(ref) + "/events", "/incidents"}
	for n, begin := 0, time.Now(); time.Since(begin) < floodTurn; n++ {
		d, err := measure(func() error { return p.responder.Get(ctx, read[n%len(read)], nil) })
		if err != nil {
			return fmt.Errorf("a read of the other client: %w", err)
		}
		took[0] = append(took[0], d)
		if n%12 == 0 { // no oftener than one person may
			if d, err = measure(func() error {
				_, err := p.responder.Command(ctx, ref, &incident.Comment{Text: "Somebody else's comment."})
				return err
			}); err != nil {
				return fmt.Errorf("a command of the other client: %w", err)
			}
			took[1] = append(took[1], d)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(floodPause):
		}
	}
	return nil
}

func calmed(calm, flooded []time.Duration) Calmed {
	c := Calmed{Calm: newLatency(calm), Flood: newLatency(flooded)}
	c.Ratio = c.Flood.P99 / c.Calm.P99
	return c
}

// print writes the result.
func (f *Flood) print(out io.Writer) {
	if f == nil {
		return
	}
	fmt.Fprintf(out, "\nA flood by one client over %d connections, %.0f answers a second; p50 / p99 / greatest in ms of another client\n", f.Connections, f.PerSecond)
	for _, m := range []struct {
		what string
		Calmed
	}{{"reads", f.Reads}, {"commands", f.Commands}} {
		fmt.Fprintf(out, "  %-9s calm %18s   in the flood %18s   p99 %.1f times, aim ≤ %.0f\n", m.what, m.Calm, m.Calmed.Flood, m.Ratio, floodAim)
	}
	fmt.Fprintf(out, "  other work %.0f %% of the machine\n", 100*f.Other)
}
