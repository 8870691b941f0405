// Command prepare makes the servers of the development stack and of the
// whole-system tests ready ahead of time: it checks that a PostgreSQL server is
// installed and builds the Temporal server into the user's cache. It shows
// progress on standard error and prints both locations on standard output.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/watchfire-mdr/watchfire/devstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	postgres, err := devstack.FindPostgres()
	if err != nil {
		return err
	}
	temporal, err := devstack.BuildTemporal(ctx, os.Stderr)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "PostgreSQL: %s\nTemporal:   %s\n", postgres, temporal)
	return err
}
