// Command restore is the restore drill. On a real PostgreSQL, a real Temporal and simulated vendors it lets incidents
// live, restores Watchfire's database or Temporal's from an older backup, does what docs/operations.md tells the
// operator, and exits 1 unless nothing that was answered is lost, no effect happened twice, store and engine agree about
// every incident, no reference was given twice and every device is in the state last wanted.
//
// The age of a backup is what happened since: "30 s" is a few steps of live incidents, "a day" a whole batch of
// incidents that were opened, isolated, released and closed. Nobody sleeps.
//
// -prove shows that the drill is able to fail: with a part of the product switched off it must.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
)

var began = time.Now()

// say prints a line of the drill's story.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// disaster is one way in which a database becomes older than the other.
type disaster struct {
	name  string
	store bool // Watchfire's database is the older one; else Temporal's
	batch int  // incidents that lived and ended since the backup
	hurry bool // the product is started before the differences are settled
	off   string
	wants string // what the drill must find with the switch, a part of its failure
}

// disasters are the cases of the drill. In two of them somebody starts the product before settling anything, which
// must not do harm.
func disasters() []disaster {
	return []disaster{
		{name: "Watchfire's database is 30 s older than Temporal's, and everything is started at once", store: true, hurry: true},
		{name: "Temporal's database is 30 s older than Watchfire's, and everything is started at once", hurry: true},
		{name: "Watchfire's database is a day older than Temporal's", store: true, batch: 4},
		{name: "Temporal's database is a day older than Watchfire's", batch: 4},
	}
}

func main() {
	prove := flag.Bool("prove", false, "show that the drill is able to fail, too")
	only := flag.String("only", "", "run only the cases whose name holds this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *prove, *only); err != nil {
		say("FAILED: %v", err)
		os.Exit(1)
	}
	say("the restore drill passed")
}

func run(ctx context.Context, prove bool, only string) error {
	dir, err := os.MkdirTemp("", "watchfire-restore-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := disasters()
	if prove {
		all = append(all, broken()...)
	}
	for _, d := range all {
		if !strings.Contains(d.name, only) {
			continue
		}
		say("— %s —", d.name)
		if d.off != "" {
			patience = 90 * time.Second
		}
		err := d.run(ctx, dir)
		switch {
		case d.off == "" && err != nil:
			return fmt.Errorf("%s: %w", d.name, err)
		case d.off != "" && (err == nil || !strings.Contains(err.Error(), d.wants)):
			return fmt.Errorf("%s: the drill did not find %q: %w", d.name, d.wants, errors.Join(err, errors.ErrUnsupported))
		case d.off != "":
			say("as it must: %v", err)
		}
	}
	return nil
}

// run lives through one disaster on a stack of its own.
func (d disaster) run(ctx context.Context, dir string) error {
	binary, err := build(ctx, dir, d.off)
	if err != nil {
		return err
	}
	home := filepath.Join(dir, "stack")
	w, err := startWorld(ctx, home, binary)
	if err != nil {
		return err
	}
	err = d.live(ctx, w)
	w.stop()
	if err != nil && d.off == "" {
		say("logs are kept in %s", keepLogs(home))
	}
	return errors.Join(err, devstack.RemovePostgres(filepath.Join(home, "postgres")), os.RemoveAll(home))
}

// keepLogs copies the logs out of what is removed, and returns where they are.
func keepLogs(home string) string {
	kept, err := os.MkdirTemp("", "watchfire-restore-logs-")
	if err != nil {
		return err.Error()
	}
	if err := os.CopyFS(kept, os.DirFS(filepath.Join(home, "logs"))); err != nil {
		return err.Error()
	}
	return kept
}
