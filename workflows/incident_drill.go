package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// endDrill ends a fire drill once everybody was messaged and called, and late answers have had their time.
func (w *incidentWorkflow) endDrill(ctx workflow.Context) {
	over := func() bool { return w.state.Incident.IsOver() }
	called := func() bool {
		return w.state.Incident.CallRound > 0 && !w.isRoundUnderway() && !w.isMessaging()
	}
	if workflow.Await(ctx, func() bool { return over() || called() }) != nil {
		return
	}
	stop, err := awaitFor(ctx, time.Duration(w.state.Policy.RoundEvery), "late answers to the drill", over)
	if err == nil && !stop {
		w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.Dismissed{Reason: "the fire drill is over"}))
	}
}
