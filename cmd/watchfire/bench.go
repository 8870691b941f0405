package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/bench"
	"github.com/watchfire-mdr/watchfire/devstack"
)

// bareWorker is the first argument with which `watchfire bench` runs the bare side's worker.
const bareWorker = "bare-worker"

// runBench measures Watchfire against bare Temporal on a stack of its own. It returns an error when something did not
// run, never for a measured value.
func runBench(ctx context.Context, args []string, out io.Writer) (err error) {
	if len(args) == 2 && args[0] == bareWorker {
		settings, err := bench.ReadBareSettings(args[1])
		if err != nil {
			return err
		}
		return bench.BareWorker(ctx, settings)
	}
	o, result, err := benchOptions(args)
	if err != nil {
		return err
	}
	o.Progress = func(line string) { fmt.Fprintln(out, strings.TrimRight(line, "\n")) }
	if o.Binary, err = os.Executable(); err != nil {
		return err
	}
	if o.Dir, err = os.MkdirTemp("", "watchfire-bench-"); err != nil {
		return err
	}
	defer func() {
		removed := devstack.RemovePostgres(filepath.Join(o.Dir, "postgres"))
		if err != nil {
			fmt.Fprintln(out, "logs are kept in", o.Dir)
			return
		}
		err = errors.Join(removed, os.RemoveAll(o.Dir))
	}()
	r, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	r.Print(out)
	return r.Write(result)
}

// benchOptions reads the command line, and the path for the result. The default takes twelve minutes, -quick two.
func benchOptions(args []string) (o bench.Options, result string, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := f.Bool("quick", false, "measure one pair of short turns and small bursts, in about two minutes")
	f.IntVar(&o.Pairs, "pairs", 5, "how many turns each of the two sides takes")
	f.DurationVar(&o.For, "for", 2*time.Second, "how long a turn lasts")
	f.IntVar(&o.Most, "n", 0, "most operations in a turn; 0 is no bound")
	clients := f.String("clients", "1,16", "how many clients send requests at the same time")
	reach := f.String("reach", "1,500", "how many critical incidents are published at once; 1 is one after the other")
	f.IntVar(&o.Contacts, "contacts", 2000, "how many mails the vendor reports on at once")
	f.IntVar(&o.Crowd, "crowd", 10_000, "how many incidents are opened at once and stay open")
	only := f.String("only", "", "what to measure, with commas between: handover, open, command, critical, lifecycle, reach, flood, hooks, crowd, lists; without it, all")
	f.StringVar(&result, "out", filepath.Join("out", "bench.json"), "file for the result")
	if err := f.Parse(args); err != nil {
		return o, "", err
	}
	if *quick {
		o.Pairs, o.For, o.Contacts, o.Crowd, *reach = 1, 1500*time.Millisecond, 200, 500, "16"
	}
	if o.Clients, err = parseNumbers(*clients); err != nil {
		return o, "", fmt.Errorf("-clients: %w", err)
	}
	if o.Reach, err = parseNumbers(*reach); err != nil {
		return o, "", fmt.Errorf("-reach: %w", err)
	}
	if o.Contacts < 1 {
		return o, "", errors.New("-contacts is less than 1: give a greater number")
	}
	if o.Crowd < 1 {
		return o, "", errors.New("-crowd is less than 1: give a greater number")
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	o.BareArgs = func(settings string) []string { return []string{"bench", bareWorker, settings} }
	return o, result, nil
}

// parseNumbers reads whole numbers from 1 on, with commas between them.
func parseNumbers(list string) ([]int, error) {
	var out []int
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a list of numbers from 1 on: give one such as 1,16", list)
		}
		out = append(out, n)
	}
	return out, nil
}
