// Command prepare makes the servers of the development stack and of the
// whole-system tests ready ahead of time: it builds the Temporal server into the
// user's cache and checks that a PostgreSQL server is installed. It shows
// progress on standard error and prints both locations on standard output. With
// the argument temporal it does the first alone.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
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
	temporal, err := devstack.BuildTemporal(ctx, os.Stderr)
	if err != nil || slices.Equal(os.Args[1:], []string{"temporal"}) {
		return err
	}
	postgres, err := devstack.FindPostgres()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "PostgreSQL: %s\nTemporal:   %s\n", postgres, temporal)
	return err
}
