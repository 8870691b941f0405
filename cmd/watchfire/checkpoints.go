package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
)

// checkpointEvery is the pause between two rounds in which a worker signs event logs.
const checkpointEvery = time.Hour

// signLogs signs the event logs that changed, now and every hour until ctx ends, and returns a function that waits for
// the last round.
func (p *process) signLogs(ctx context.Context) (wait func(), err error) {
	signer, err := openSigner(p.config)
	if err != nil {
		return nil, err
	}
	return runEvery(ctx, checkpointEvery, func(ctx context.Context) {
		if _, err := writeCheckpoints(ctx, p.store, signer); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "not every event log was signed", "error", err.Error())
		}
	}), nil
}

func openSigner(c config.Config) (*secrets.Signer, error) {
	if err := useKMS(c); err != nil {
		return nil, fmt.Errorf("SECRETS_KMS_URI: %w", err)
	}
	signer, err := secrets.OpenSigner(c.CheckpointKeyset, c.SecretsKMSURI)
	if err != nil {
		return nil, fmt.Errorf("CHECKPOINT_KEYSET: %w", err)
	}
	return signer, nil
}

// writeCheckpoints signs the event logs that changed since the last time, and returns how many. It does not sign one that
// is not whole, or not what was signed before: its error names them, and the operator has an alarm about each until it is
// whole again.
func writeCheckpoints(ctx context.Context, db *store.Store, signer *secrets.Signer) (n int, err error) {
	var problems []error
	wrong := map[string]bool{}
	for last := (store.Checkpoint{}); ; {
		heads, err := db.UnsignedHeads(ctx, last)
		if err != nil {
			return n, errors.Join(append(problems, err)...)
		}
		if len(heads) == 0 {
			return n, errors.Join(append(problems, endLogAlarms(ctx, db, wrong))...)
		}
		for _, c := range heads {
			err := writeCheckpoint(ctx, db, signer, c)
			if err == nil {
				n++
				continue
			}
			problems = append(problems, err)
			wrong[string(c.Incident)] = true
			if store.IsAltered(err) {
				problems = append(problems, db.RaiseAlarm(ctx, models.Alarm{Kind: models.AlarmLogAltered, Subject: string(c.Incident), Detail: err.Error()}))
			}
		}
		last = heads[len(heads)-1]
	}
}

// endLogAlarms ends the alarms about event logs that are whole again: all but those about some incidents.
func endLogAlarms(ctx context.Context, db *store.Store, wrong map[string]bool) error {
	open, err := db.OpenAlarms(ctx)
	for _, a := range open {
		if a.Kind == models.AlarmLogAltered && !wrong[a.Subject] {
			err = errors.Join(err, db.EndAlarm(ctx, a.ID))
		}
	}
	return err
}

func writeCheckpoint(ctx context.Context, db *store.Store, signer *secrets.Signer, c store.Checkpoint) (err error) {
	if c.Signature, err = signer.Sign(c.Message()); err != nil {
		return fmt.Errorf("sign the events of %s: %w", c.Incident, err)
	}
	return db.ForClient(ctx, store.Worker, c.ClientID, func(tx *store.Tx) error {
		known, err := tx.Checkpoints(c.Incident)
		if err == nil {
			err = tx.VerifyEvents(c.Incident, append(known, c)...)
		}
		if err != nil {
			return err
		}
		return tx.SaveCheckpoint(c)
	})
}

// runCheckpoint signs the event logs that changed, or prints all checkpoints, to be kept elsewhere.
func runCheckpoint(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("checkpoint", flag.ContinueOnError)
	export := f.Bool("export", false, "print all checkpoints, one JSON object a line, and sign nothing")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, db, err := openByHand(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if *export {
		lines := json.NewEncoder(out)
		return eachIncident(ctx, db, func(tx *store.Tx, _ uuid.UUID, r models.Reference) error {
			all, err := tx.Checkpoints(r)
			for _, c := range all {
				err = errors.Join(err, lines.Encode(c))
			}
			return err
		})
	}
	signer, err := openSigner(c)
	if err != nil {
		return err
	}
	n, err := writeCheckpoints(ctx, db, signer)
	fmt.Fprintf(out, "%d event logs were signed\n", n)
	return err
}

// runVerify holds every event log against the checkpoints, and prints what does not fit.
func runVerify(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("verify", flag.ContinueOnError)
	public := f.String("keyset", "", "the public keyset of the checkpoints, as watchfire secrets -for checkpoints public prints it")
	kept := f.String("checkpoints", "", "a file with checkpoints that watchfire checkpoint -export printed, which count besides those in the database")
	if err := f.Parse(args); err != nil {
		return err
	}
	verifier, err := secrets.OpenVerifier(*public)
	if err != nil {
		return fmt.Errorf("-keyset: %w", err)
	}
	_, db, err := openByHand(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	v := verification{verifier: verifier, out: out}
	if *kept != "" {
		file, err := os.Open(*kept)
		if err != nil {
			return fmt.Errorf("-checkpoints: %w", err)
		}
		defer file.Close()
		if v.outside, err = readCheckpoints(file); err != nil {
			return fmt.Errorf("-checkpoints: %w", err)
		}
	}
	return v.run(ctx, db)
}

// openByHand connects a command that an operator gives by hand.
func openByHand(ctx context.Context) (config.Config, *store.Store, error) {
	c, err := config.FromEnvironment(config.Keys)
	if err != nil {
		return c, nil, err
	}
	db, err := store.Open(ctx, c.DatabaseURL, store.Options{MaxConns: 2})
	if err != nil {
		return c, nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return c, db, nil
}

// readCheckpoints reads exported checkpoints, by their incidents.
func readCheckpoints(r io.Reader) (map[models.Reference][]store.Checkpoint, error) {
	all := map[models.Reference][]store.Checkpoint{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var c store.Checkpoint
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("line %d is no checkpoint", n)
		}
		all[c.Incident] = append(all[c.Incident], c)
	}
	return all, lines.Err()
}

// verification is one run of watchfire verify.
type verification struct {
	verifier                      *secrets.Verifier
	outside                       map[models.Reference][]store.Checkpoint // those kept elsewhere
	out                           io.Writer
	incidents, checkpoints, wrong int
}

func (v *verification) run(ctx context.Context, db *store.Store) error {
	err := eachIncident(ctx, db, func(tx *store.Tx, client uuid.UUID, r models.Reference) error {
		v.incidents++
		inside, err := tx.Checkpoints(r)
		if err != nil {
			return err
		}
		signed := v.signed(client, append(inside, v.outside[r]...))
		delete(v.outside, r)
		if err := tx.VerifyEvents(r, signed...); err != nil {
			v.report(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range slices.Sorted(maps.Keys(v.outside)) {
		if signed := v.signed(uuid.Nil, v.outside[r]); len(signed) > 0 {
			v.report(fmt.Errorf("%s is gone, which was there at %s", r, signed[0].At.Format(time.RFC3339)))
		}
	}
	fmt.Fprintf(v.out, "%d incidents, %d checkpoints, %d do not fit\n", v.incidents, v.checkpoints, v.wrong)
	if v.wrong > 0 {
		return errors.New("the event logs are not those that were signed")
	}
	return nil
}

func (v *verification) report(problem error) {
	v.wrong++
	fmt.Fprintln(v.out, problem)
}

// signed returns the checkpoints that a key of ours has signed, for a client unless that is zero, and reports the others.
func (v *verification) signed(client uuid.UUID, all []store.Checkpoint) (ours []store.Checkpoint) {
	for _, c := range all {
		v.checkpoints++
		if err := v.verifier.Verify(c.Message(), c.Signature); err != nil || client != uuid.Nil && c.ClientID != client {
			v.report(fmt.Errorf("the checkpoint of event %d of %s is not signed by us", c.Seq, c.Incident))
			continue
		}
		ours = append(ours, c)
	}
	return ours
}

// eachIncident runs fn for every incident of every client, each in a transaction of the SOC for its client.
func eachIncident(ctx context.Context, db *store.Store, fn func(*store.Tx, uuid.UUID, models.Reference) error) error {
	for after := 0; ; {
		clients, err := store.Run(db.InEveryClient(ctx), func(tx *store.Tx) ([]models.Client, error) { return tx.Clients(after, 100) })
		if err != nil || len(clients) == 0 {
			return err
		}
		for _, c := range clients {
			after = c.Number
			if err := eachIncidentOf(db.InClient(ctx, store.SOC, c.ID), c.ID, fn); err != nil {
				return fmt.Errorf("client %d: %w", c.Number, err)
			}
		}
	}
}

func eachIncidentOf(in store.Scope, client uuid.UUID, fn func(*store.Tx, uuid.UUID, models.Reference) error) error {
	for last := models.Reference(""); ; {
		page, err := store.Run(in, func(tx *store.Tx) ([]models.Reference, error) { return tx.References(last) })
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			if err := in(func(tx *store.Tx) error { return fn(tx, client, r) }); err != nil {
				return err
			}
		}
		last = page[len(page)-1]
	}
}
