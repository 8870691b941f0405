package desk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/serviceerror"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// SignalFact tells a fact that a machine reports to the workflow with an id. It returns once the fact is durable: in the
// workflow's history or, while the engine does not answer or has lost the incident's own workflow, in the database, from
// where the reconciler tells it. NotFound: the workflow has ended.
func (d *Desk) SignalFact(ctx context.Context, fact string, arg any, workflow string) error {
	if !d.engineRests() {
		telling, cancel := context.WithTimeout(ctx, forOne*d.wait) // a person on the phone hears nothing meanwhile
		defer cancel()
		err := TellFact(telling, d.temporal, fact, arg, workflow)
		switch {
		case err == nil, models.KindOf(err) == models.NotFound && !d.isLost(ctx, workflow):
			return err
		case models.KindOf(err) != models.NotFound:
			d.noteFailure(ctx)
		}
		d.log.WarnContext(ctx, "the engine takes no fact", "fact", fact, "workflow", workflow, "error", err.Error())
	}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.wait) // also when the vendor has gone away
	defer cancel()
	return d.store.KeepFact(keeping, fact, arg, workflow)
}

// isLost reports whether a workflow that does not run is that of an incident that needs it: the reconciler starts it
// again.
func (d *Desk) isLost(ctx context.Context, workflow string) bool {
	r, err := models.ParseReference(strings.TrimPrefix(workflow, "incident/"))
	if err != nil { // another kind of workflow
		return false
	}
	i, err := store.Run(d.store.InEveryClient(ctx), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(r) })
	return err == nil && i.NeedsWorkflow()
}

// TellFact tells a fact to the workflow with an id. NotFound: it has ended.
func TellFact(ctx context.Context, t Temporal, fact string, arg any, workflow string) error {
	err := t.SignalWorkflow(ctx, workflow, "", fact, arg)
	var gone *serviceerror.NotFound
	switch {
	case errors.As(err, &gone):
		return models.Errorf(models.NotFound, "the workflow has ended")
	case err != nil:
		return fmt.Errorf("tell %s: %w", fact, err)
	}
	return nil
}
