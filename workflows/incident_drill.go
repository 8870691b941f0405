package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// endDrill ends a fire drill once everybody was mailed and called, and what comes late has had its time.
func (w *incident) endDrill(ctx workflow.Context) {
	over := func() bool { return w.run.Incident.Over() }
	called := func() bool { return w.run.Incident.CallRound > 0 && !w.roundUnderway() && len(w.run.Notices) == 0 }
	if workflow.Await(ctx, func() bool { return over() || called() }) != nil {
		return
	}
	stop, err := awaitFor(ctx, time.Duration(w.run.Policy.RoundEvery), "late answers to the drill", over)
	if err == nil && !stop {
		w.must(ctx, w.note(ctx, models.System(), &models.Dismissed{Reason: "the fire drill is over"}))
	}
}
