package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/reconcile"
	"github.com/watchfire-mdr/watchfire/store"
)

// runReconcile lists the differences between store and engine, or settles one of them.
func runReconcile(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("reconcile", flag.ContinueOnError)
	recoverIt := f.String("recover", "", "reference of an incident, to bring back from the engine what an older database lost of it")
	restart := f.String("restart", "", "reference of an incident, to end its workflow and start it again from the database")
	discard := f.String("discard", "", "reference of an incident, to start it again and drop what the engine has and the database lost")
	end := f.String("end", "", "reference of an incident that the database does not know, to end its workflows")
	plain := f.Bool("plain", false, "list the running workflows that have payloads which are not sealed, and ask them to go on in new runs")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := config.FromEnvironment(config.Command)
	if err != nil {
		return err
	}
	if *plain {
		return renewPlain(ctx, c, out)
	}
	db, err := store.Open(ctx, c.DatabaseURL, store.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	log := observability.Logger(slog.LevelError, out)
	engine, err := connectEngine(c, log, nil)
	if err != nil {
		return err
	}
	defer engine.Close()
	o := &reconcile.Operator{Reconciler: reconcile.Reconciler{Store: db, Temporal: engine, Log: log}}
	for _, settle := range []struct {
		reference string
		do        func(models.Reference) (done string, err error)
	}{
		{*recoverIt, func(r models.Reference) (string, error) {
			n, err := o.Recover(ctx, r)
			return fmt.Sprintf("recovered, %d events", n), err
		}},
		{*restart, func(r models.Reference) (string, error) { return "started again", o.Restart(ctx, r) }},
		{*discard, func(r models.Reference) (string, error) {
			return "started again; what the database lost of it is dropped", o.Discard(ctx, r)
		}},
		{*end, func(r models.Reference) (string, error) { return "ended", o.End(ctx, r) }},
	} {
		if settle.reference == "" {
			continue
		}
		r, err := models.ParseReference(settle.reference)
		if err != nil {
			return err
		}
		done, err := settle.do(r)
		if err == nil {
			fmt.Fprintf(out, "%s %s\n", r, done)
		}
		return err
	}
	return listDifferences(ctx, o, out)
}

// listDifferences prints one difference a line, with the command that settles it.
func listDifferences(ctx context.Context, o *reconcile.Operator, out io.Writer) error {
	all, err := o.Differences(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		fmt.Fprintf(out, "%s: %s\n", d.Reference, d.What)
		if d.Settle != "" {
			fmt.Fprintf(out, "    watchfire reconcile -%s %s\n", d.Settle, d.Reference)
		}
	}
	fmt.Fprintf(out, "%d differences\n", len(all))
	return nil
}
