// Command temporal is the Temporal server of the development stack, the
// whole-system tests and the bench: the real server and its web UI in one
// process, with PostgreSQL as persistence. It is a module of its own so that
// the server's dependencies stay out of the product's.
//
// Everything listens on 127.0.0.1 only, nothing is fetched from or reported to
// the internet. When clients can use the namespace and its search attributes and
// the UI answers, it prints one line on standard output:
//
//	ready address=127.0.0.1:7233 ui=http://127.0.0.1:8233 namespace=default pid=4711
//
// All other output goes to standard error. SIGTERM and SIGINT stop it orderly;
// after a SIGKILL it starts again on the same database.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.temporal.io/server/common/log"
)

// stopGrace bounds an orderly stop: the parent kills after ten seconds.
const stopGrace = 8 * time.Second

// passwordVariable is the environment variable with PostgreSQL's password; a
// flag would show it to every user of the machine.
const passwordVariable = "TEMPORAL_POSTGRES_PASSWORD"

// options are the values of the command line and the environment.
type options struct {
	port, uiPort     int
	codec            string
	pgHost           string
	pgPort           int
	pgUser           string
	pgPassword       string
	database         string
	namespace        string
	retention        time.Duration
	maxConns         int
	shards           int
	logLevel         string
	startWithin      time.Duration
	namespaceRefresh time.Duration
}

func main() {
	opts, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "temporal:", err)
		os.Exit(1)
	}
}

// parseOptions reads the flags and the password's environment variable.
func parseOptions(args []string) (options, error) {
	o := options{pgPassword: os.Getenv(passwordVariable), namespaceRefresh: time.Second}
	flags := flag.NewFlagSet("temporal", flag.ContinueOnError)
	flags.IntVar(&o.port, "port", 7233, "port of the frontend (gRPC)")
	flags.IntVar(&o.uiPort, "ui-port", 8233, "port of the web UI")
	flags.StringVar(&o.codec, "codec", "", "address that opens payloads for the UI's pages")
	flags.StringVar(&o.pgHost, "pg-host", "127.0.0.1", "PostgreSQL host")
	flags.IntVar(&o.pgPort, "pg-port", 5432, "PostgreSQL port")
	flags.StringVar(&o.pgUser, "pg-user", "postgres", "PostgreSQL user; may create databases; password in "+passwordVariable)
	flags.StringVar(&o.database, "database", "temporal", "database name; visibility uses <name>_visibility")
	flags.StringVar(&o.namespace, "namespace", "default", "namespace to create when missing")
	flags.DurationVar(&o.retention, "retention", 30*24*time.Hour, "how long a new namespace keeps closed workflows")
	flags.IntVar(&o.maxConns, "max-conns", 20, "PostgreSQL connections per service and store")
	flags.IntVar(&o.shards, "shards", 4, "history shards of a new database")
	flags.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error")
	flags.DurationVar(&o.startWithin, "start-within", 90*time.Second, "give up when not ready after this time")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: give flags only", flags.Arg(0))
	}
	return o, nil
}

// run starts the server and its UI, prints the ready line, and stops both when ctx ends.
func run(ctx context.Context, o options) error {
	for _, setting := range []struct {
		port int
		flag string
	}{{o.port, "-port"}, {o.uiPort, "-ui-port"}} {
		if !isFree(setting.port) {
			return fmt.Errorf("port %d is already in use: stop what listens there or choose another port with %s", setting.port, setting.flag)
		}
	}
	logger := log.NewZapLogger(log.BuildZapLogger(log.Config{Level: o.logLevel}))
	if err := prepareDatabases(ctx, o, logger); err != nil {
		return err
	}
	server, err := newServer(o, logger)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	starting, cancel := context.WithTimeout(ctx, o.startWithin)
	defer cancel()
	if err := prepareNamespace(starting, o); err != nil {
		return errors.Join(err, stopWithin(stopGrace, server.Stop))
	}
	stopUI, err := startUI(starting, o)
	if err != nil {
		return errors.Join(err, stopWithin(stopGrace, server.Stop))
	}
	fmt.Printf("ready address=%s ui=http://%s namespace=%s pid=%d\n",
		loopback(o.port), loopback(o.uiPort), o.namespace, os.Getpid())
	<-ctx.Done()
	stopUI()
	return stopWithin(stopGrace, server.Stop)
}

// stopWithin runs stop and returns its error, or an error after limit.
func stopWithin(limit time.Duration, stop func() error) error {
	done := make(chan error, 1)
	go func() { done <- stop() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("the server did not stop within %s", limit)
	}
}
