package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/serviceerror"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// SignalFact tells a fact that a machine reports to the first of some workflows that has not ended. It returns once the
// fact is durable: in the workflow's history or, while the engine does not answer or has lost the incident's own
// workflow, in the database, from where the reconciler tells it. NotFound: all of the workflows have ended.
func (d *Desk) SignalFact(ctx context.Context, fact string, arg any, workflows ...string) error {
	if !d.engineRests() {
		telling, cancel := context.WithTimeout(ctx, forOne*d.wait) // a person on the phone hears nothing meanwhile
		defer cancel()
		err := TellFact(telling, d.temporal, fact, arg, workflows...)
		switch {
		case err == nil, models.KindOf(err) == models.NotFound && !d.isLost(ctx, workflows):
			return err
		case models.KindOf(err) != models.NotFound:
			d.noteFailure(ctx)
		}
		d.log.WarnContext(ctx, "the engine takes no fact", "fact", fact, "workflow", workflows[0], "error", err.Error())
	}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.wait) // also when the vendor has gone away
	defer cancel()
	return d.store.KeepFact(keeping, fact, arg, workflows...)
}

// isLost reports whether one of some workflows that do not run is that of an incident that is not over: the reconciler
// starts it again.
func (d *Desk) isLost(ctx context.Context, workflows []string) bool {
	return slices.ContainsFunc(workflows, func(id string) bool {
		r, err := models.ParseReference(strings.TrimPrefix(id, "incident/"))
		if err != nil { // another kind of workflow
			return false
		}
		i, err := store.Run(d.store.InEveryClient(ctx), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(r) })
		return err == nil && !i.IsOver()
	})
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
