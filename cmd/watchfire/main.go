// Command watchfire is the whole product in one binary: API, worker, migrations, and a complete stack for one machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // clients' time zones, whatever the machine has

	"github.com/watchfire-mdr/watchfire/config"
)

// command is a subcommand of the binary. run gets the arguments after its name and prints to out.
type command struct {
	name, help string
	run        func(ctx context.Context, args []string, out io.Writer) error
}

func commands() []command {
	return []command{
		{"api", "serve the API, the hooks and the pages", logged(config.API, runAPI)},
		{"worker", "run workflows and activities", logged(config.Worker, runWorker)},
		{"migrate", "bring the database to this version's schema, and make its logins; see watchfire migrate -h", runMigrate},
		{"user", "list, add, change and disable users and their tokens; see watchfire user -h", runUser},
		{"secrets", "keygen prints a keyset, public its public part, extend adds a key to it, rotate seals the credentials with its newest key", runSecrets},
		{"verify", "hold every event log against our signed checkpoints; see watchfire verify -h", runVerify},
		{"checkpoint", "sign the event logs that changed, or export all checkpoints; see watchfire checkpoint -h", runCheckpoint},
		{"reconcile", "list the differences between the database and the workflow engine, or settle one; see watchfire reconcile -h", runReconcile},
		{"order", "give an incident a command by hand, for when the API cannot be used; see watchfire order -h", runOrder},
		{"config", "list every setting, without secrets", func(_ context.Context, _ []string, out io.Writer) error {
			config.List(out, os.LookupEnv)
			return nil
		}},
		{"health", "ask a health address; exit with 0 when it answers 200", runHealth},
		{"dev", "start everything on this machine, with simulated vendors; see watchfire dev -h", runDev},
		{"simulators", "the parts of compose's profile dev: env prints its settings, serve plays the vendors, seed makes clients and users", runSimulators},
		{"demo", "run one critical incident from alert to closure and tell the story", runDemo},
		{"bench", "measure against bare Temporal", runBench},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := dispatch(ctx, os.Args[1:], os.Stdout); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errLogged):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "watchfire:", err)
		os.Exit(1)
	}
}

// dispatch runs the subcommand that args name, or prints the list of subcommands.
func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		for _, c := range commands() {
			if c.name == args[0] {
				return c.run(ctx, args[1:], out)
			}
		}
	}
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-8s %s\n", c.name, c.help)
	}
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" {
		return nil
	}
	return fmt.Errorf("command %q not found: use one of the list", args[0])
}
