package desk

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"

	"github.com/watchfire-mdr/watchfire/models"
)

// SignalFact tells a workflow a fact that a machine reports. It returns once the fact is durable. NotFound: the
// workflow has ended.
func (d *Desk) SignalFact(ctx context.Context, workflow, fact string, arg any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*d.wait) // a carrier wants its answer within five seconds
	defer cancel()
	err := d.temporal.SignalWorkflow(ctx, workflow, "", fact, arg)
	var gone *serviceerror.NotFound
	switch {
	case errors.As(err, &gone):
		return models.Errorf(models.NotFound, "the workflow has ended")
	case err != nil:
		return fmt.Errorf("tell %s: %w", fact, err)
	}
	return nil
}
