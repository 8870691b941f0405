package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/simulators"
)

// runSimulators is what profile dev of docker-compose.yml needs besides the product: its settings, the simulated vendors
// and the seeds.
func runSimulators(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("simulators", flag.ContinueOnError)
	p := stack.DefaultPorts()
	addSimulatorPorts(f, &p)
	if err := f.Parse(args); err != nil {
		return err
	}
	part := f.Arg(0)
	if part == "env" {
		return printComposeSettings(out)
	}
	if os.Getenv("WATCHFIRE_PROFILE") != "dev" {
		return errors.New("WATCHFIRE_PROFILE is not dev: simulated vendors and made-up clients are for development only")
	}
	switch part {
	case "serve":
		return serveSimulators(ctx, p, out)
	case "seed":
		return seedCompose(ctx, out)
	}
	return errors.New("simulators got no command that it knows: give env, serve or seed")
}

// printComposeSettings prints the lines of a .env, which compose and a shell read alike.
func printComposeSettings(out io.Writer) error {
	settings, err := stack.ComposeSettings()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "# Profile dev of docker-compose.yml: this product with simulated vendors. SEED_TOKENS holds a token of each user.")
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		fmt.Fprintf(out, "%s='%s'\n", name, value)
	}
	return nil
}

// serveSimulators plays the vendors on 127.0.0.1 until ctx ends. API and worker must share that address with it.
func serveSimulators(ctx context.Context, p stack.Ports, out io.Writer) error {
	o, err := stack.ComposeSimulators(p, os.Getenv)
	if err != nil {
		return err
	}
	vendors, err := simulators.Start(context.WithoutCancel(ctx), o)
	if err != nil {
		return err
	}
	at := map[string]string{"twilio": vendors.TwilioURL, "sendgrid": vendors.SendGridURL, "smtp": "smtp://" + vendors.SMTPAddr, "smtp's steering": vendors.SMTPURL}
	maps.Copy(at, vendors.EDR)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(at)) {
		fmt.Fprintf(table, "%s\t%s\n", name, at[name])
	}
	_ = table.Flush()
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return vendors.Close(closing)
}

// seedCompose makes the clients and users that `watchfire dev` has, and lists them without their tokens.
func seedCompose(ctx context.Context, out io.Writer) error {
	users, clients, err := stack.Seed(ctx, os.Getenv("DATABASE_URL"), os.Getenv("SEED_TOKENS"))
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range clients {
		fmt.Fprintf(table, "client %d\t%s\n", c.Number, c.LegalName)
	}
	for _, u := range users {
		of := "the SOC"
		if u.Client != 0 {
			of = fmt.Sprintf("client %d", u.Client)
		}
		fmt.Fprintf(table, "%s\t%s of %s\n", u.Email, u.Role, of)
	}
	_ = table.Flush()
	fmt.Fprintln(out, "their tokens are in SEED_TOKENS of .env")
	return nil
}
