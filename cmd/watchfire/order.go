package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
)

// mostOrder bounds the body of a command that is given by hand.
const mostOrder = 1 << 20

// runOrder leaves a command of the SOC with an incident, as a Signal. It needs Temporal and the keyset, and neither the
// API nor the database.
func runOrder(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("order", flag.ContinueOnError)
	reference := f.String("incident", "", "reference of the incident, such as SI-1042-0007")
	name := f.String("command", "", "name of the command, such as comment")
	user := f.String("user", "", "id of the user of the SOC in whose name it is given")
	role := f.String("role", "", "that user's role: analyst, lead or operator")
	request := f.String("request", "", "your own id of this order, the same for a repeat, another one after a rejection; a new one if you give none")
	body := f.String("body", "-", "file with the fields of the command as JSON; - is standard input")
	if err := f.Parse(args); err != nil {
		return err
	}
	order, err := readOrder(*reference, *name, *user, *role, *request, *body)
	if err != nil {
		return err
	}
	c, err := config.FromEnvironment(config.Command)
	if err != nil {
		return err
	}
	engine, err := connectEngine(c, observability.Logger(slog.LevelError, out), nil)
	if err != nil {
		return err
	}
	defer engine.Close()
	if err := engine.SignalWorkflow(ctx, models.Reference(*reference).WorkflowID(), "", *name, order); err != nil {
		return fmt.Errorf("temporal: %w", err)
	}
	fmt.Fprintf(out, "%s is left with %s as request %s; if it is rejected, the incident's events say why\n", *name, *reference, order.RequestID)
	return nil
}

// readOrder checks what a person typed, and returns the command request.
func readOrder(reference, name, user, role, request, file string) (order incident.CommandRequest, err error) {
	if _, err := models.ParseReference(reference); err != nil {
		return order, errors.New("-incident is no reference: give one such as SI-1042-0007")
	}
	id, err := uuid.Parse(user)
	if err != nil {
		return order, errors.New("-user is no id of a user")
	}
	if models.Role(role).Side() != models.SideSOC {
		return order, errors.New("-role is none of the SOC's: give analyst, lead or operator; nobody speaks for a client by hand")
	}
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return order, fmt.Errorf("-body: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, mostOrder+1))
	if err != nil {
		return order, fmt.Errorf("-body: %w", err)
	}
	if len(raw) > mostOrder {
		return order, fmt.Errorf("-body is longer than %d bytes", mostOrder)
	}
	command, err := incident.ParseCommand(name, raw)
	if err != nil {
		return order, fmt.Errorf("-command %s: %w", name, err)
	}
	if err := cmp.Or(models.CheckTexts(command), incident.CheckNew(command)); err != nil { // as at the desk's door
		return order, fmt.Errorf("-command %s: %w", name, err)
	}
	if !slices.Contains(incident.RolesOf(command), models.Role(role)) {
		return order, fmt.Errorf("-command %s is not for the role %s", name, role)
	}
	if request == "" {
		request = uuid.NewString()
	}
	fields, err := json.Marshal(command) // as the desk writes them, so that they stay as they are on their way
	if err != nil {
		return order, fmt.Errorf("-body: %w", err)
	}
	return incident.CommandRequest{
		CommandContext: incident.CommandContext{
			RequestID: request, Actor: models.Actor{Side: models.SideSOC, ID: id.String(), Role: models.Role(role)}, Via: "order",
		},
		Fingerprint: incident.Fingerprint(name, fields), Body: fields,
	}, nil
}
