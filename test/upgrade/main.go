// Command upgrade is the upgrade drill. It builds an earlier commit of this repository and the present tree, lets both
// run incidents on a real PostgreSQL and a real Temporal, side by side, and takes the upgrade back. It exits 1 unless
// every incident reached its end, every effect happened once and no workflow was stuck.
//
// from.txt holds the commit. It moves on when a change is incompatible on purpose. Without the history the drill fails.
//
// -prove shows that the drill is able to fail: with a seeded change of the workflow, and a version that was not raised for
// it, it must find stuck workflows; with the same change and a higher version it must not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/workflows"
)

var began = time.Now()

// say prints a line of the drill's story.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

func main() {
	prove := flag.Bool("prove", false, "also show that the drill is able to fail")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *prove); err != nil {
		say("FAILED: %v", err)
		os.Exit(1)
	}
	say("the upgrade drill passed")
}

func run(ctx context.Context, prove bool) error {
	dir, err := os.MkdirTemp("", "watchfire-upgrade-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	earlier, err := buildEarlier(ctx, dir)
	if err != nil {
		return err
	}
	for _, r := range runs(prove) {
		say("— %s —", r.name)
		present, err := buildPresent(ctx, dir, r)
		if err != nil {
			return err
		}
		err = drill(ctx, filepath.Join(dir, "stack"), earlier, present, r)
		switch {
		case r.wantStuck && errors.Is(err, errStuck):
			say("as it must: %v", err)
		case r.wantStuck:
			return fmt.Errorf("the drill did not notice that workflows are stuck: %w", errors.Join(errors.New(r.name), err))
		case err != nil:
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if err := errors.Join(devstack.RemovePostgres(filepath.Join(dir, "stack", "postgres")), os.RemoveAll(filepath.Join(dir, "stack"))); err != nil {
			return err
		}
	}
	return nil
}

// variant is one way to build the present tree for a run of the drill.
type variant struct {
	name      string
	seeded    bool // incidents take a new step, behind workflow.GetVersion
	forgotten bool // and whoever released it forgot to raise the version
	wantStuck bool
}

// version returns the version of the workers that are built.
func (v variant) version() int {
	if v.seeded && !v.forgotten {
		return workflows.Version + 1
	}
	return workflows.Version
}

func runs(prove bool) []variant {
	all := []variant{{name: "the present tree"}}
	if prove {
		all = append(all, variant{name: "a new step in the workflow", seeded: true},
			variant{name: "the same step, and the version is not raised", seeded: true, forgotten: true, wantStuck: true})
	}
	return all
}
