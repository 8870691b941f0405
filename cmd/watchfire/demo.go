package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
)

//go:embed fixture/finding.json
var demoFinding []byte

// demoClient is the number of the seeded client of the demo's incident.
const demoClient = 1042

// runDemo starts a whole stack on free ports, drives one critical incident from a finding to closure over the public
// API, and tells every event as it happens. It returns an error as soon as a step does not happen.
func runDemo(ctx context.Context, args []string, out io.Writer) (err error) {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	alert := f.String("alert", "", "file with an OCSF finding to begin with; without it, the project's own")
	pace := f.Float64("pace", 0.2, "speed of the simulated vendors and people: 1 is realistic")
	results := f.String("out", "out", "folder for demo.json and journal.json")
	if err := f.Parse(args); err != nil {
		return err
	}
	finding := demoFinding
	if *alert != "" {
		if finding, err = os.ReadFile(*alert); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "watchfire-demo-")
	if err != nil {
		return err
	}
	defer func() {
		removed := devstack.RemovePostgres(filepath.Join(dir, "postgres"))
		if err != nil {
			fmt.Fprintln(out, "logs are kept in", dir)
			return
		}
		err = errors.Join(removed, os.RemoveAll(dir))
	}()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := stack.Start(ctx, stack.Options{
		Dir: dir, Binary: binary, Pace: *pace, Policy: models.DefaultPolicy(), EDRPollEvery: 500 * time.Millisecond,
		Progress: func(line string) { fmt.Fprintln(out, "starting:", line) },
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	d := newDemo(s.Dev, out)
	d.printLine("the stack is up after %s; Temporal UI at %s", time.Since(began).Round(time.Second), s.Dev.TemporalUI)
	if err := d.play(ctx, finding); err != nil {
		return errors.Join(err, d.writeResults(context.WithoutCancel(ctx), *results))
	}
	if err := d.writeResults(ctx, *results); err != nil {
		return err
	}
	d.printSummary(*results)
	return nil
}
