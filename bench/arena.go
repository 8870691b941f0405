package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
)

// arena holds everything that a measurement runs on: a whole stack and, beside it, a worker of the bare side.
type arena struct {
	stack     *stack.Stack
	temporal  client.Client
	bare      *devstack.Process
	bareLog   *os.File
	floor     floorStage
	processes processes
	databases *databases
	people    []people
	shape     Shape
	run       string // part of the bare side's workflow ids, to make them unique
	turns     int
	limitless atomic.Bool         // nobody is refused because they ask too often
	ends      context.CancelFunc  // of what runs beside the measurement
	measured  []*devstack.Process // a measurement ends when one of them does
}

// people are the users who work on the incidents of one client, whose number is client.
type people struct {
	client                    int
	analyst, responder, admin stack.Person
}

// openArena starts all processes, warms both sides up and reads the shape of an incident's life.
func openArena(ctx context.Context, o Options) (a *arena, err error) {
	a = &arena{run: time.Now().UTC().Format("150405")}
	defer func() {
		if err != nil {
			a.close()
			a = nil
		}
	}()
	a.stack, err = stack.Start(ctx, stack.Options{
		Dir: o.Dir, Binary: o.Binary, Pace: pace, Policy: policy(), PostgresSettings: statisticsSettings(), Progress: func(line string) { o.Progress("starting: " + line) },
	})
	if err != nil {
		return a, err
	}
	if err := a.connect(); err != nil {
		return a, err
	}
	if a.databases, err = openDatabases(ctx, a.stack); err != nil {
		return a, err
	}
	if err := a.liftLimits(ctx); err != nil {
		return a, err
	}
	o.Progress("starting: the bare side's worker")
	if err := a.startBare(ctx, o); err != nil {
		return a, err
	}
	o.Progress("warming up")
	return a, a.warmUp(ctx)
}

// liftLimits forgets all the time who asked for how much, because the few people of a measurement send what hundreds
// send. The limits are counted all the same, so their cost is measured.
func (a *arena) liftLimits(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, a.stack.Postgres.URL(dbOurs))
	if err != nil {
		return fmt.Errorf("connect to lift the limits: %w", err)
	}
	a.limitless.Store(true)
	ctx, a.ends = context.WithCancel(ctx)
	go func() {
		defer conn.Close(context.WithoutCancel(ctx))
		for ctx.Err() == nil {
			if a.limitless.Load() {
				_, _ = conn.Exec(ctx, "delete from limits") // fails when the measurement ends
			}
			select {
			case <-ctx.Done():
			case <-time.After(lookEvery):
			}
		}
	}()
	return nil
}

// connect finds the seeded people and the processes of the stack, and connects to Temporal.
func (a *arena) connect() (err error) {
	d := a.stack.Dev
	for _, c := range d.Clients {
		a.people = append(a.people, people{
			client: c.Number, analyst: d.Person(models.RoleAnalyst, 0),
			responder: d.Person(models.RoleResponder, c.Number), admin: d.Person(models.RoleAdmin, c.Number),
		})
	}
	a.measured = append(a.measured, a.stack.API, a.stack.Workers[0])
	a.processes = processes{
		procTemporal: a.stack.Temporal.Process().PID(), procPostgres: a.stack.Postgres.Process().PID(), procAPI: a.stack.API.PID(),
		procWorker: a.stack.Workers[0].PID(), procLoad: os.Getpid(),
	}
	a.temporal, err = client.NewLazyClient(client.Options{HostPort: d.Temporal, Namespace: d.Namespace, Logger: silentLogger{}})
	return err
}

// startBare starts the bare side's worker, with vendors of its own.
func (a *arena) startBare(ctx context.Context, o Options) error {
	settings, err := a.prepareFloor(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(o.Dir, "bare.json")
	if err := writeJSON(path, settings); err != nil {
		return err
	}
	a.bareLog, err = os.Create(filepath.Join(o.Dir, "logs", "bare-worker.log"))
	if err != nil {
		return err
	}
	a.bare, err = devstack.StartProcess(ctx, "bare worker", o.Binary, o.BareArgs(path), nil, a.bareLog)
	if err != nil {
		return err
	}
	a.measured, a.processes[procBare] = append(a.measured, a.bare), a.bare.PID()
	return nil
}

// warmUp runs every operation of both sides, and reads from one of our lives the shape that the bare life takes.
func (a *arena) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for n := range 3 * len(a.people) {
		ref, _, err := a.runLife(ctx, n)
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

// close stops every process that was started and ends the connections.
func (a *arena) close() {
	if a.ends != nil {
		a.ends()
	}
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
	if a.floor.vendors != nil {
		_ = a.floor.vendors.Close(context.Background()) // nothing calls them any more
	}
	if a.stack != nil {
		a.stack.Stop()
	}
}

const (
	// idleShare is the share of one core that the processes use without load, with some room.
	idleShare = 0.12
	lookEvery = 150 * time.Millisecond
	quietWait = 2 * time.Second
)

// awaitQuiet waits until the work that a load left behind is done, that is until our processes are as good as idle, but
// no longer than quietWait.
func (a *arena) awaitQuiet(ctx context.Context) error {
	deadline := time.Now().Add(quietWait)
	before := a.processes.read()
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
		if err := a.checkAlive(); err != nil {
			return err
		}
		now := a.processes.read()
		var used time.Duration
		for _, d := range now.since(before) {
			used += d
		}
		if float64(used) < idleShare*float64(now.at.Sub(before.at)) {
			return nil
		}
		before = now
	}
	return nil
}

// checkAlive returns an error when a measured process has ended.
func (a *arena) checkAlive() error {
	for _, p := range a.measured {
		select {
		case <-p.Done():
			return errors.Join(errors.New("a measured process has ended: look into the logs"), p.Err())
		default:
		}
	}
	return nil
}

// newPrefix returns an unused beginning for the bare side's workflow ids.
func (a *arena) newPrefix() string {
	a.turns++
	return fmt.Sprintf("bare-%s-%d-", a.run, a.turns)
}

// silentLogger drops the client's log lines: every error reaches its caller.
type silentLogger struct{}

// Debug does nothing.
func (silentLogger) Debug(string, ...any) {}

// Info does nothing.
func (silentLogger) Info(string, ...any) {}

// Warn does nothing.
func (silentLogger) Warn(string, ...any) {}

// Error does nothing.
func (silentLogger) Error(string, ...any) {}

// policy returns the policy of the clients: the default, but released devices are not watched for an hour, because a
// life is measured to the end of its workflow.
func policy() models.Policy {
	p := models.DefaultPolicy()
	p.WatchReleases = models.Duration(time.Second)
	return p
}
