package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
)

// runDev starts the whole stack and keeps it up until Ctrl-C. It stops the parts that it started and nothing else.
func runDev(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("dev", flag.ContinueOnError)
	dir := f.String("dir", ".watchfire", "folder for data, logs and dev.json")
	fresh := f.Bool("fresh", false, "remove the data of earlier starts first")
	pace := f.Float64("pace", 1, "speed of the simulated vendors and people: 0.1 is ten times faster")
	p := stack.DefaultPorts()
	f.IntVar(&p.App, "port", p.App, "API and pages; 0 takes a free port, for this and all others")
	f.IntVar(&p.Ops, "ops-port", p.Ops, "the API's health and metrics")
	f.IntVar(&p.Worker, "worker-port", p.Worker, "the worker's health and metrics")
	f.IntVar(&p.Temporal, "temporal-port", p.Temporal, "Temporal's frontend")
	f.IntVar(&p.TemporalUI, "temporal-ui-port", p.TemporalUI, "Temporal's UI")
	f.IntVar(&p.Postgres, "postgres-port", p.Postgres, "PostgreSQL")
	addSimulatorPorts(f, &p)
	if err := f.Parse(args); err != nil {
		return err
	}
	if *fresh {
		if err := devstack.RemovePostgres(filepath.Join(*dir, "postgres")); err != nil {
			return err
		}
		if err := os.RemoveAll(*dir); err != nil {
			return err
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := stack.Start(ctx, stack.Options{
		Dir: *dir, Binary: binary, Ports: p, Pace: *pace, Policy: models.DefaultPolicy(),
		Progress: func(line string) { fmt.Fprintln(out, "starting:", line) },
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	printAddresses(out, s.Dev, *dir)
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "stopping")
		return nil
	case <-s.API.Done():
		return fmt.Errorf("the API ended: see %s: %w", filepath.Join(*dir, "logs"), s.API.Err())
	case <-s.Workers[0].Done():
		return fmt.Errorf("the worker ended: see %s: %w", filepath.Join(*dir, "logs"), s.Workers[0].Err())
	}
}

// addSimulatorPorts adds a flag for the port of each simulator, with the port that is set as its default.
func addSimulatorPorts(f *flag.FlagSet, p *stack.Ports) {
	f.IntVar(&p.Twilio, "twilio-port", p.Twilio, "the Twilio simulator")
	f.IntVar(&p.SendGrid, "sendgrid-port", p.SendGrid, "the SendGrid simulator")
	f.IntVar(&p.SMTP, "smtp-port", p.SMTP, "the SMTP simulator")
	f.IntVar(&p.CrowdStrike, "crowdstrike-port", p.CrowdStrike, "the CrowdStrike simulator")
	f.IntVar(&p.SMTPSteering, "smtp-steering-port", p.SMTPSteering, "the SMTP simulator's steering")
	f.IntVar(&p.EDR, "edr-port", p.EDR, "the first of the other simulated EDRs, which follow each other")
}

// printAddresses tells a person where the parts of the stack listen.
func printAddresses(out io.Writer, d stack.Dev, dir string) {
	fmt.Fprintf(out, "\nWatchfire is up.\n")
	fmt.Fprintf(out, "  API           %s/api/v1   (tokens in %s)\n", d.App, filepath.Join(dir, "dev.json"))
	fmt.Fprintf(out, "  Temporal UI   %s\n", d.TemporalUI)
	fmt.Fprintf(out, "  simulators    twilio %s · sendgrid %s · crowdstrike %s\n", d.Simulators["twilio"], d.Simulators["sendgrid"], d.Simulators["crowdstrike"])
	for _, c := range d.Clients {
		fmt.Fprintf(out, "  client        %d %s\n", c.Number, c.LegalName)
	}
	fmt.Fprintf(out, "\nCtrl-C stops it; the next start finds its data again.\n")
}
