package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/store"
)

// patience bounds every wait. A product that is broken on purpose gets less, because there the end of it is what is
// waited for.
var patience = 3 * time.Minute

// world is a stack with the incidents that live on it.
type world struct {
	*stack.Stack
	engine  *observability.Engine
	db      *store.Store
	dir     string
	binary  string
	tools   string // the folder with pg_dump and pg_restore
	mu      sync.Mutex
	stories []*story
	hosts   int
}

func startWorld(ctx context.Context, dir, binary string) (*world, error) {
	w := &world{dir: dir, binary: binary}
	p := models.DefaultPolicy()
	p.RingFor = models.Duration(8 * time.Second)
	p.BusyAgainAfter, p.BusyTries = models.Duration(time.Second), 1
	p.Rounds, p.RoundEvery, p.SlowRoundEvery = 2, models.Duration(time.Minute), models.Duration(time.Minute)
	p.TryAgainEvery, p.WatchReleases = models.Duration(time.Second), models.Duration(2*time.Second)
	p.IsolationsPer10Min = 1000
	var err error
	if w.tools, err = devstack.FindPostgres(); err != nil {
		return nil, err
	}
	w.Stack, err = stack.Start(ctx, stack.Options{
		Dir: dir, Binary: binary, Pace: 0.05, Policy: p, VendorTimeout: 2 * time.Second, Settle: 3 * time.Second,
		EDRPollEvery: 200 * time.Millisecond, EDRWorstDelay: 3 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	if w.db, err = store.Open(ctx, w.AppURL(), store.Options{MaxConns: 4}); err == nil {
		w.engine, err = w.Engine()
	}
	phones := map[string]string{}
	for _, c := range w.Dev.Clients {
		for _, contact := range c.Contacts {
			phones[contact.Phone], phones["sms:"+contact.Phone] = "acknowledges", "text-delivered"
		}
	}
	if err == nil {
		err = w.Dev.Steer(ctx, "twilio", "personas", map[string]any{"personas": phones})
	}
	if err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

func (w *world) stop() {
	if w.engine != nil {
		w.engine.Close()
	}
	if w.db != nil {
		_ = w.db.Close()
	}
	w.Stop()
}

// stopProduct stops the API and the worker, as an operator does.
func (w *world) stopProduct() {
	w.API.Stop()
	for _, p := range w.Workers {
		p.Stop()
	}
}

// startProduct starts the API and a worker.
func (w *world) startProduct(ctx context.Context) error {
	return errors.Join(w.StartAPI(ctx), w.StartWorker(ctx))
}

// databases are those of one side.
func databases(store bool) []string {
	if store {
		return []string{"watchfire"}
	}
	return []string{"temporal", "temporal_visibility"}
}

// backUp writes a backup of databases.
func (w *world) backUp(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := w.tool(ctx, "pg_dump", "--format=custom", "--file", w.backup(name), w.Postgres.URL(name)); err != nil {
			return err
		}
	}
	return nil
}

// restore replaces databases by their backups. Logins belong to the server, and stay.
func (w *world) restore(ctx context.Context, names []string) error {
	for _, name := range names {
		err := w.tool(ctx, "psql", "--quiet", "--command", `drop database "`+name+`" with (force)`, w.Postgres.URL("postgres"))
		if err == nil {
			err = w.tool(ctx, "pg_restore", "--create", "--exit-on-error", "--dbname", w.Postgres.URL("postgres"), w.backup(name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) backup(name string) string { return filepath.Join(w.dir, name+".backup") }

// tool runs a program of PostgreSQL. Its arguments hold the password, so no error shows them.
func (w *world) tool(ctx context.Context, name string, args ...string) error {
	command := exec.CommandContext(ctx, filepath.Join(w.tools, name), args...) // #nosec G204 -- our own arguments
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// reconcile runs the operator's command and returns what it prints.
func (w *world) reconcile(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, w.binary, append([]string{"reconcile"}, args...)...) // #nosec G204 -- our own arguments
	command.Env = append(os.Environ(), w.Env()...)
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("watchfire reconcile %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// settle does what the operator does: it lists the differences and runs the command that each of them names, until there
// are none.
func (w *world) settle(ctx context.Context) error {
	for range 5 {
		list, err := w.reconcile(ctx)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
			say("  %s", line)
		}
		commands := commandsIn(list)
		if len(commands) == 0 {
			if !strings.Contains(list, "0 differences") {
				return errors.New("there are differences without a command")
			}
			return nil
		}
		for _, args := range commands {
			done, err := w.reconcile(ctx, args...)
			if err != nil {
				return err
			}
			say("  %s", strings.TrimSpace(done))
		}
	}
	return errors.New("the differences do not end")
}

// commandsIn returns the arguments of the commands in a list of differences.
func commandsIn(list string) (all [][]string) {
	for _, line := range strings.Split(list, "\n") {
		if rest, is := strings.CutPrefix(strings.TrimSpace(line), "watchfire reconcile "); is {
			all = append(all, strings.Fields(rest))
		}
	}
	return all
}

// errFinal is the error for what no waiting helps.
var errFinal = errors.New("final")

// await waits until isSo, or its error is an errFinal.
func await(ctx context.Context, what string, isSo func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := isSo()
		if err == nil {
			return nil
		}
		if errors.Is(err, errFinal) || time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
