package workflows

import (
	"reflect"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// confirmFor is how long the EDR is given before the endpoint shows as queued, with its age; then it is waited for on.
const confirmFor = 10 * time.Minute

// reconcileEvery is how often a confirmed isolation is looked at: somebody may release it in the vendor's console.
const reconcileEvery = time.Hour

// personRetryInterval is how often something is tried again that only a person can put right.
const personRetryInterval = time.Hour

// endpointWorkflow is one run of an endpoint's containment.
type endpointWorkflow struct {
	state incident.EndpointState
	wish  workflow.ReceiveChannel
}

// Endpoint brings one endpoint to what its incident wants and may have, and reports what the EDR says. What was permitted
// last is pursued until something else is. It ends when the endpoint is released, or when the incident lets go of it.
// Opposite orders never overlap: the newest one is pursued, and only it.
func Endpoint(ctx workflow.Context, run incident.EndpointState) error {
	w := &endpointWorkflow{state: run, wish: workflow.GetSignalChannel(ctx, models.SignalDesiredState)}
	w.adoptState(run.Wanted)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var next incident.DesiredState
			w.wish.Receive(ctx, &next)
			if next.Generation >= w.state.Wanted.Generation {
				w.adoptState(next)
			}
		}
	})
	for ctx.Err() == nil {
		wish := w.state.Wanted
		pause := w.pursue(ctx, wish)
		changed := func() bool { return w.state.Wanted != wish }
		if w.wish.Len() > 0 || changed() {
			if err := workflow.Await(ctx, func() bool { return w.wish.Len() == 0 }); err != nil {
				return err
			}
			continue
		}
		if wish.Detach || w.isReleased() && wish.Permitted {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, Endpoint, w.state)
		}
		if err := w.waitForNext(ctx, pause, changed); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// adoptState takes a newer wish. When a person wants it tried again, everything is told anew, and a device that was as ordered
// once and is not any more gets another order.
func (w *endpointWorkflow) adoptState(next incident.DesiredState) {
	if next.RetryNumber > w.state.Wanted.RetryNumber {
		w.state.LastReport = incident.EndpointObserved{}
		if w.isConfirmed() {
			w.state.ConfirmedGeneration, w.state.FailedActions = 0, w.state.FailedActions+1
		}
	}
	w.state.Wanted = next
	if next.Permitted {
		if next.Generation != w.state.Permitted.Generation {
			w.state.FailedActions = 0
		}
		w.state.Permitted = next
	}
}

// isConfirmed reports whether the EDR confirmed the present order.
func (w *endpointWorkflow) isConfirmed() bool {
	return w.state.Permitted.Generation > 0 && w.state.ConfirmedGeneration == w.state.Permitted.Generation
}

func (w *endpointWorkflow) isReleased() bool {
	return w.isConfirmed() && w.state.Permitted.Desired == models.DesiredReleased
}

// waitForNext waits after an attempt: while the order stands confirmed it is looked after, else it is pursued again after a
// pause. A newer wish ends the wait.
func (w *endpointWorkflow) waitForNext(ctx workflow.Context, pause time.Duration, changed func() bool) error {
	switch {
	case w.isConfirmed() && !w.isReleased():
		return w.watchConfirmed(ctx, changed)
	case pause == 0: // nothing is permitted yet
		return workflow.Await(ctx, changed)
	}
	_, err := awaitFor(ctx, pause, "not confirmed: look again", changed)
	return err
}

// watchConfirmed looks after a confirmed isolation for a while: one that is not there any more was changed by somebody else, which
// is shown and not put right behind their back.
func (w *endpointWorkflow) watchConfirmed(ctx workflow.Context, changed func() bool) error {
	order := w.state.Permitted
	if moved, err := awaitFor(ctx, reconcileEvery, "look whether it is still "+string(order.Desired), changed); moved || err != nil {
		return err
	}
	seen, err := readState(ctx, confirmFor, w.actionInput(order))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		w.reportToIncident(ctx, unknownReport(err)) // looked at again in an hour
		return nil
	}
	o := observationOf(seen)
	o.Drift = !seen.IsAs(order.Desired)
	w.reportToIncident(ctx, o)
	return nil
}

// pursue makes one attempt at what is permitted, after the device was found, reports what came of it, and says how long
// to wait before the next.
func (w *endpointWorkflow) pursue(ctx workflow.Context, wish incident.DesiredState) time.Duration {
	order := w.state.Permitted
	if wish.Detach || w.isConfirmed() {
		return 0
	}
	if order.Desired == models.DesiredReleased && !w.state.ActionSent { // nothing was ever done to it
		w.state.ConfirmedGeneration = order.Generation
		return 0
	}
	in := w.actionInput(order)
	patience := time.Duration(w.state.Policy.TellAfter)
	if in.AgentID == "" {
		seen, err := findDevice(ctx, patience, in)
		if err != nil {
			w.reportToIncident(ctx, incident.EndpointObserved{Problem: failureText(err)})
			return w.pauseAfter(err)
		}
		in.AgentID, w.state.AgentID = seen.AgentID, seen.AgentID
		w.reportToIncident(ctx, observationOf(seen))
	}
	if order.Generation == 0 || w.isSuperseded(order) {
		return 0
	}
	w.state.ActionSent = true
	if err := sendAction(ctx, patience, in); err != nil {
		o := unknownReport(err)
		if !mayHaveChanged(err) {
			o.State = "" // nothing was changed: it is as it was last seen
		}
		w.reportToIncident(ctx, o)
		if classOf(err) == models.Rejected {
			return w.countFailedAction()
		}
		return w.pauseAfter(err)
	}
	return w.awaitConfirmation(ctx, order, in)
}

// isSuperseded reports whether an order is not the newest any more.
func (w *endpointWorkflow) isSuperseded(order incident.DesiredState) bool {
	return w.state.Wanted.Detach || w.state.Permitted != order
}

// pauseAfter is how long to wait after a failure. What a person must put right is looked at seldom.
func (w *endpointWorkflow) pauseAfter(err error) time.Duration {
	if classOf(err) == models.Transient {
		return time.Duration(w.state.Policy.TryAgainEvery)
	}
	return personRetryInterval
}

// countFailedAction notes that an order came to nothing, for good: what follows is another order. It says when: every day in the
// long run, because only a person can put it right, and they say so by ending the task.
func (w *endpointWorkflow) countFailedAction() time.Duration {
	w.state.FailedActions++
	return personRetryInterval * time.Duration(min(w.state.FailedActions, 24))
}

// awaitConfirmation waits for the EDR's own word, but not longer than the order stands, and says how long to wait before the next
// attempt. An order that the EDR itself calls failed is over: the next attempt gives another.
func (w *endpointWorkflow) awaitConfirmation(ctx workflow.Context, order incident.DesiredState, in endpointInput) time.Duration {
	waiting, cancel := workflow.WithCancel(ctx)
	defer cancel()
	var seen endpointReport
	var err error
	done := false
	workflow.Go(waiting, func(ctx workflow.Context) {
		seen, err = confirmState(ctx, confirmFor, in)
		done = true
	})
	pause := time.Duration(w.state.Policy.TryAgainEvery)
	if workflow.Await(ctx, func() bool { return done || w.isSuperseded(order) }) != nil || !done || w.isSuperseded(order) {
		return pause
	}
	o := observationOf(seen)
	switch {
	case err == nil:
		w.state.ConfirmedGeneration = order.Generation
	case actionFailed(err):
		o.Problem, pause = failureText(err), w.countFailedAction()
	case seen.State != "":
		o.Late = true
	default:
		o, pause = unknownReport(err), w.pauseAfter(err)
	}
	w.reportToIncident(ctx, o)
	return pause
}

// actionInput is what the activities need to know about an order.
func (w *endpointWorkflow) actionInput(order incident.DesiredState) endpointInput {
	purpose := notify.PurposeIsolate
	if order.Desired == models.DesiredReleased {
		purpose = notify.PurposeRelease
	}
	effect := notify.EndpointEffect(w.state.Reference, w.state.ClientID, purpose, w.state.Endpoint, order.Generation, w.state.FailedActions+1)
	return endpointInput{Effect: effect, Hostname: w.state.Hostname, AgentID: w.state.AgentID, Desired: order.Desired}
}

// unknownReport is what there is to report when the EDR does not say how a device stands.
func unknownReport(err error) incident.EndpointObserved {
	return incident.EndpointObserved{State: models.HostUnknown, Problem: failureText(err)}
}

func observationOf(seen endpointReport) incident.EndpointObserved {
	return incident.EndpointObserved{AgentID: seen.AgentID, DeviceName: seen.Hostname, State: seen.State, Online: seen.Online, Class: seen.Class, Tags: seen.Tags, MayBeController: seen.MayBeController, TagsUnknown: seen.TagsUnknown}
}

// reportToIncident tells the incident what was seen, unless it is what was told last.
func (w *endpointWorkflow) reportToIncident(ctx workflow.Context, o incident.EndpointObserved) {
	o.Endpoint, o.Generation = w.state.Endpoint, w.state.Wanted.Generation
	if reflect.DeepEqual(o, w.state.LastReport) {
		return
	}
	w.state.LastReport = o
	if err := workflow.SignalExternalWorkflow(ctx, w.state.Reference.WorkflowID(), "", models.SignalEndpointObserved, o).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the incident did not take a report", "endpoint", w.state.Endpoint, "error", err)
	}
}
