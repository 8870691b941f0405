package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
)

// arena is everything a measurement runs on: a whole stack, and beside it a worker that knows only the bare side.
type arena struct {
	stack     *stack.Stack
	temporal  client.Client
	bare      *devstack.Process
	bareLog   *os.File
	processes processes
	databases *databases
	people    []people
	shape     Shape
	run       string // makes the workflow ids of the bare side unique
	turns     int
	vital     []*devstack.Process // without which nothing is measured
}

// people are those who work on one client's incidents.
type people struct {
	client                    int
	analyst, responder, admin stack.Person
}

// openArena starts everything, lets both sides warm up and learns the shape of an incident's life.
func openArena(ctx context.Context, o Options) (a *arena, err error) {
	a = &arena{run: time.Now().UTC().Format("150405")}
	defer func() {
		if err != nil {
			a.close()
			a = nil
		}
	}()
	a.stack, err = stack.Start(ctx, stack.Options{
		Dir: o.Dir, Binary: o.Binary, Pace: 0.01, PostgresSettings: settingsFor(), Progress: func(line string) { o.Progress("starting: " + line) },
	})
	if err != nil {
		return a, err
	}
	if err := a.enter(); err != nil {
		return a, err
	}
	if a.databases, err = openDatabases(ctx, a.stack); err != nil {
		return a, err
	}
	o.Progress("starting: the bare side's worker")
	if err := a.startBare(ctx, o); err != nil {
		return a, err
	}
	o.Progress("warming up")
	return a, a.warmUp(ctx)
}

// enter finds the seeded people and connects to Temporal.
func (a *arena) enter() (err error) {
	d := a.stack.Dev
	for _, c := range d.Clients {
		a.people = append(a.people, people{
			client: c.Number, analyst: d.Person(models.RoleAnalyst, 0),
			responder: d.Person(models.RoleResponder, c.Number), admin: d.Person(models.RoleAdmin, c.Number),
		})
	}
	a.vital = append(a.vital, a.stack.API, a.stack.Workers[0])
	a.processes = processes{
		procTemporal: a.stack.Temporal.Process().PID(), procPostgres: a.stack.Postgres.Process().PID(), procAPI: a.stack.API.PID(),
		procWorker: a.stack.Workers[0].PID(), procLoad: os.Getpid(),
	}
	a.temporal, err = client.NewLazyClient(client.Options{HostPort: d.Temporal, Namespace: d.Namespace, Logger: silent{}})
	return err
}

func (a *arena) startBare(ctx context.Context, o Options) (err error) {
	a.bareLog, err = os.Create(filepath.Join(o.Dir, "logs", "bare-worker.log"))
	if err != nil {
		return err
	}
	d := a.stack.Dev
	a.bare, err = devstack.StartProcess(ctx, "bare worker", o.Binary, o.BareArgs(d.Temporal, d.Namespace), nil, a.bareLog)
	if err != nil {
		return err
	}
	a.vital, a.processes[procBare] = append(a.vital, a.bare), a.bare.PID()
	return nil
}

// warmUp runs every operation of both sides, and takes the shape of the bare life from one of ours.
func (a *arena) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for n := range 3 * len(a.people) {
		ref, _, err := a.live(ctx, n)
		if err != nil {
			return fmt.Errorf("one life of an incident: %w", err)
		}
		if a.shape, err = shapeOf(ctx, a.temporal, ref.WorkflowID()); err != nil {
			return err
		}
	}
	for _, c := range comparisons() {
		for _, s := range []side{c.bare, c.ours} {
			l := load{clients: 4, during: time.Second, most: 20, pause: c.pause(1)}
			op, err := s(ctx, a, l)
			if err != nil {
				return err
			}
			if err := l.run(ctx, op.do).err(); err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
	}
	return nil
}

// close stops everything that was started.
func (a *arena) close() {
	if a.databases != nil {
		a.databases.close()
	}
	if a.bare != nil {
		a.bare.Stop()
	}
	if a.bareLog != nil {
		_ = a.bareLog.Close()
	}
	if a.temporal != nil {
		a.temporal.Close()
	}
	if a.stack != nil {
		a.stack.Stop()
	}
}

const (
	// idle is the part of one core that the parts take when nobody asks anything of them, with some room.
	idle      = 0.12
	quietLook = 150 * time.Millisecond
	quietWait = 2 * time.Second
)

// quiet waits until the work that a load left behind is done: until our processes are as good as idle.
func (a *arena) quiet(ctx context.Context) error {
	deadline := time.Now().Add(quietWait)
	before := a.processes.read()
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietLook):
		}
		if err := a.alive(); err != nil {
			return err
		}
		now := a.processes.read()
		var used time.Duration
		for _, d := range now.since(before) {
			used += d
		}
		if float64(used) < idle*float64(now.at.Sub(before.at)) {
			return nil
		}
		before = now
	}
	return nil
}

// alive is an error once a process that is measured has ended.
func (a *arena) alive() error {
	for _, p := range a.vital {
		select {
		case <-p.Done():
			return errors.Join(errors.New("a process that is measured has ended"), p.Err())
		default:
		}
	}
	return nil
}

// prefix returns an unused beginning for the bare side's workflow ids.
func (a *arena) prefix() string {
	a.turns++
	return fmt.Sprintf("bare-%s-%d-", a.run, a.turns)
}

// silent drops the client's log lines: every error reaches its caller.
type silent struct{}

// Debug does nothing.
func (silent) Debug(string, ...any) {}

// Info does nothing.
func (silent) Info(string, ...any) {}

// Warn does nothing.
func (silent) Warn(string, ...any) {}

// Error does nothing.
func (silent) Error(string, ...any) {}
