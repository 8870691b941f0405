package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.temporal.io/api/serviceerror"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
)

// renewPlain asks the incidents and endpoints whose histories have plain payloads to go on in new runs, whose histories
// have none, and prints how many workflows are left.
func renewPlain(ctx context.Context, c config.Config, out io.Writer) error {
	if c.Payloads == string(observability.WritePlain) {
		return errors.New("PAYLOADS is write-plain: the new runs would be plain, too; set it to accept-plain, in every process, first")
	}
	engine, err := connectEngine(c, observability.Logger(slog.LevelError, out), nil)
	if err != nil {
		return err
	}
	defer engine.Close()
	left, err := engine.PlainRuns(ctx)
	if err != nil {
		return err
	}
	for _, w := range left {
		what := "ends by itself"
		if w.Type == models.IncidentWorkflow || w.Type == models.EndpointWorkflow {
			what = "asked to go on in a new run"
			err := engine.SignalWorkflow(ctx, w.WorkflowID, w.RunID, models.SignalRenew, nil)
			var gone *serviceerror.NotFound
			if err != nil && !errors.As(err, &gone) {
				return fmt.Errorf("ask %s to go on in a new run: %w", w.WorkflowID, err)
			}
		}
		fmt.Fprintf(out, "%s: %s\n", w.WorkflowID, what)
	}
	fmt.Fprintf(out, "%d workflows have plain payloads\n", len(left))
	return nil
}
