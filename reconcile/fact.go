package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

const (
	// tellEvery is the pause between two looks for facts that the engine did not take.
	tellEvery = 2 * time.Second
	// awaitedFor is how long a fact waits for a workflow that the engine does not know: it may be started again.
	awaitedFor = 2 * time.Minute
)

// TellKept tells workflows the facts that the engine did not take when they were reported, the oldest first. A fact may
// be told twice.
func (r *Reconciler) TellKept(ctx context.Context) error {
	kept, err := r.Store.KeptFacts(ctx)
	if err != nil {
		return err
	}
	telling, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var problems []error
	for _, f := range kept {
		err := desk.TellFact(telling, r.Temporal, f.Name, f.Arg, f.Workflow)
		var never *serviceerror.InvalidArgument
		switch {
		case telling.Err() != nil:
			return errors.Join(append(problems, err)...)
		case models.KindOf(err) == models.NotFound && f.Missed < awaitedFor:
			problems = append(problems, r.Store.NoteMissed(ctx, f.ID))
			continue
		case models.KindOf(err) == models.NotFound:
			r.Log.InfoContext(ctx, "no workflow waits for a fact any more", "fact", f.Name, "workflow", f.Workflow)
		case errors.As(err, &never):
			r.Log.ErrorContext(ctx, "the engine will never take a fact", "fact", f.Name, "workflow", f.Workflow, "error", err.Error())
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: %w", f.Workflow, err))
			continue
		}
		if err := r.Store.NoteTold(ctx, f.ID); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
