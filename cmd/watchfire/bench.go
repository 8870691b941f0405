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

// bareWorker is the first argument that makes `watchfire bench` the bare side's worker.
const bareWorker = "bare-worker"

// runBench measures Watchfire against bare Temporal on a stack of its own. It fails when something did not run, not
// for what was measured.
func runBench(ctx context.Context, args []string, out io.Writer) (err error) {
	if len(args) == 3 && args[0] == bareWorker {
		return bench.BareWorker(ctx, args[1], args[2])
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
	r.Tell(out)
	return r.Write(result)
}

// benchOptions reads the command line. The default takes twelve minutes, -quick two.
func benchOptions(args []string) (o bench.Options, result string, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := f.Bool("quick", false, "one pair of short turns and small bursts: about two minutes, for a look")
	f.IntVar(&o.Pairs, "pairs", 5, "how often bare and ours take turns")
	f.DurationVar(&o.For, "for", 2*time.Second, "how long a turn lasts")
	f.IntVar(&o.Most, "n", 0, "operations in a turn at most; 0 is no bound")
	clients := f.String("clients", "1,16", "how many ask at a time")
	reach := f.String("reach", "1,500", "how many critical incidents are published at once; 1 is one after the other")
	f.IntVar(&o.Contacts, "contacts", 2000, "mails on which the vendor reports at once")
	only := f.String("only", "", "what to measure: handover, open, command, lifecycle, reach, hooks; all without it")
	f.StringVar(&result, "out", filepath.Join("out", "bench.json"), "where everything measured is written")
	if err := f.Parse(args); err != nil {
		return o, "", err
	}
	if *quick {
		o.Pairs, o.For, o.Contacts, *reach = 1, 1500*time.Millisecond, 200, "16"
	}
	if o.Clients, err = numbers(*clients); err != nil {
		return o, "", fmt.Errorf("-clients: %w", err)
	}
	if o.Reach, err = numbers(*reach); err != nil {
		return o, "", fmt.Errorf("-reach: %w", err)
	}
	if o.Contacts < 1 {
		return o, "", errors.New("-contacts must be 1 at least")
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	o.BareArgs = func(address, namespace string) []string { return []string{"bench", bareWorker, address, namespace} }
	return o, result, nil
}

// numbers reads numbers from 1 on with commas between them.
func numbers(list string) ([]int, error) {
	var out []int
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a list of numbers", list)
		}
		out = append(out, n)
	}
	return out, nil
}
