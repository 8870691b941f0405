package desk

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"

	"github.com/watchfire-mdr/watchfire/models"
)

// SignalFact tells a fact that a machine reports to the first of some workflows that has not ended. It returns once the
// fact is durable: in the workflow's history or, while the engine does not answer, in the database, from where the
// reconciler tells it. NotFound: all of the workflows have ended.
func (d *Desk) SignalFact(ctx context.Context, fact string, arg any, workflows ...string) error {
	if !d.engineRests() {
		telling, cancel := context.WithTimeout(ctx, forOne*d.wait) // a person on the phone hears nothing meanwhile
		defer cancel()
		err := TellFact(telling, d.temporal, fact, arg, workflows...)
		if err == nil || models.KindOf(err) == models.NotFound {
			return err
		}
		d.noteFailure(ctx)
		d.log.WarnContext(ctx, "the engine takes no fact", "fact", fact, "workflow", workflows[0], "error", err.Error())
	}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.wait) // also when the vendor has gone away
	defer cancel()
	return d.store.KeepFact(keeping, fact, arg, workflows...)
}

// TellFact tells a fact to the first of some workflows that has not ended. NotFound: all of them have.
func TellFact(ctx context.Context, t Temporal, fact string, arg any, workflows ...string) error {
	for _, id := range workflows {
		err := t.SignalWorkflow(ctx, id, "", fact, arg)
		var gone *serviceerror.NotFound
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &gone):
			return fmt.Errorf("tell %s: %w", fact, err)
		}
	}
	return models.Errorf(models.NotFound, "the workflow has ended")
}
