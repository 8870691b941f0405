package workflows

import (
	"reflect"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// confirmWithin is how long the EDR has to confirm before the endpoint shows as late. The workflow goes on waiting
// then.
const confirmWithin = 10 * time.Minute

// reconcileEvery is how often the state of a confirmed isolation is read: somebody may release it in the vendor's
// console.
const reconcileEvery = time.Hour

// personRetryInterval is how often an attempt is repeated whose obstacle only a person can remove.
const personRetryInterval = time.Hour

// looksAfterRelease is how often a device whose release was confirmed is looked at again: an isolation that was sent
// before may still come through.
const looksAfterRelease = 4

// pauseBeforeLook returns the pause before a look at a released device, from 0 on. The looks fill the policy's time and
// are close at first: after 1, 5, 15 and 60 minutes by default.
func pauseBeforeLook(p models.Policy, look int) time.Duration {
	whole := p.ReleaseWatch()
	return []time.Duration{whole / 60, whole / 15, whole / 6, 3 * whole / 4}[look]
}

// endpointWorkflow is one run of an endpoint's containment.
type endpointWorkflow struct {
	state      incident.EndpointState
	desired    workflow.ReceiveChannel // signals with a newer desired state
	renewing   bool                    // an operator asks to go on in a new run
	releasedBy models.Reference        // another incident that has released the device for all, until the device is looked at
}

// Endpoint brings one endpoint to the state that its incident desires and may have, and reports the EDR's own word. It
// pursues the state that was permitted last until another one is. A released device is watched for a while. The
// workflow ends when the incident detaches it. Opposite actions never overlap: only the newest permitted state is
// pursued.
func Endpoint(ctx workflow.Context, state incident.EndpointState) error {
	if err := requireOwn(ctx, state.WorkflowID()); err != nil {
		return err
	}
	w := &endpointWorkflow{state: state, desired: workflow.GetSignalChannel(ctx, models.SignalDesiredState)}
	w.adoptState(state.Wanted)
	if goesOn(ctx) {
		workflow.Go(ctx, func(ctx workflow.Context) { w.signalIncident(ctx, models.SignalEndpointAnew, w.state.Endpoint) })
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var next incident.DesiredState
			if w.receive(ctx, models.SignalDesiredState, &next) && next.Generation >= w.state.Wanted.Generation {
				w.adoptState(next)
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var by models.Reference
			if w.receive(ctx, models.SignalDeviceReleased, &by) {
				w.releasedBy = by
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			if w.receive(ctx, models.SignalRenew, nil) {
				w.renewing = true
			}
		}
	})
	for ctx.Err() == nil {
		wanted := w.state.Wanted
		pause := w.pursue(ctx, wanted)
		changed := func() bool { return w.state.Wanted != wanted }
		renews := func() bool { return w.renewing && w.releasedBy == "" }
		if w.desired.Len() > 0 || changed() {
			if err := workflow.Await(ctx, func() bool { return w.desired.Len() == 0 }); err != nil {
				return err
			}
			continue
		}
		if w.hasEnded(ctx, wanted) {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() || renews() {
			return workflow.NewContinueAsNewError(ctx, Endpoint, w.state)
		}
		if err := w.waitForNext(ctx, pause, func() bool { return changed() || renews() }); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// receive takes the next message of a signal, and reports whether it is to be believed. One that is not is the incident's
// to record.
func (w *endpointWorkflow) receive(ctx workflow.Context, name string, to any) bool {
	c := workflow.GetSignalChannel(ctx, name)
	if receive(ctx, c, to) != nil {
		w.signalIncident(ctx, models.SignalRefused, refusedBy(ctx, name))
		return false
	}
	return true
}

// signalIncident signals a report to the incident.
func (w *endpointWorkflow) signalIncident(ctx workflow.Context, signal string, arg any) {
	if err := workflow.SignalExternalWorkflow(ctx, w.state.Reference.WorkflowID(), "", signal, arg).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the incident did not take a report", "endpoint", w.state.Endpoint, "signal", signal, "error", err)
	}
}

// adoptState takes a newer desired state. When a person wants it tried again, everything is reported anew, and a device
// that was confirmed once and has drifted since gets another action, and so does one whose EDR took the action and never
// confirmed it.
func (w *endpointWorkflow) adoptState(next incident.DesiredState) {
	if next.RetryNumber > w.state.Wanted.RetryNumber {
		if w.isConfirmed() || w.state.LastReport.Late {
			w.state.ConfirmedGeneration, w.state.FailedActions, w.state.Looks = 0, w.state.FailedActions+1, 0
		}
		w.state.LastReport = incident.EndpointObserved{}
	}
	if next.Successions > w.state.Wanted.Successions { // nothing is known of the device that is meant now
		w.state.AgentID, w.state.ActionSent, w.state.Permitted, w.state.ConfirmedGeneration = "", false, incident.DesiredState{}, 0
		w.state.LastReport = incident.EndpointObserved{}
	}
	w.state.Wanted = next
	if next.Permitted {
		if next.Generation != w.state.Permitted.Generation {
			w.state.FailedActions, w.state.Looks, w.state.HeldBy = 0, 0, nil
		}
		w.state.Permitted = next
	}
}

// isConfirmed reports whether the EDR confirmed the state that is permitted now.
func (w *endpointWorkflow) isConfirmed() bool {
	return w.state.Permitted.Generation > 0 && w.state.ConfirmedGeneration == w.state.Permitted.Generation
}

// isReleased reports whether the EDR confirmed a release, or other incidents hold the device.
func (w *endpointWorkflow) isReleased() bool {
	return w.isConfirmed() && w.state.Permitted.Desired == models.DesiredReleased
}

// hasEnded reports whether nothing is left to do or to watch.
func (w *endpointWorkflow) hasEnded(ctx workflow.Context, wanted incident.DesiredState) bool {
	return wanted.Detach && !(w.isReleased() && wanted.Permitted && w.isWatched())
}

// isWatched reports whether a released device is still to be looked at.
func (w *endpointWorkflow) isWatched() bool {
	return w.state.ActionSent && len(w.state.HeldBy) == 0 && (w.state.Looks < looksAfterRelease || w.state.LastReport.Drift)
}

// waitForNext waits after an attempt: a confirmed isolation is watched, anything else is pursued again after a pause. A
// newer desired state ends the wait.
func (w *endpointWorkflow) waitForNext(ctx workflow.Context, pause time.Duration, changed func() bool) error {
	switch {
	case w.state.Wanted.Look > w.state.Looked && pause > 0: // it could not be looked at
	case w.isReleased() && w.isWatched():
		every := personRetryInterval
		switch {
		case w.state.LastReport.Problem != "": // it could not be looked at
			every = max(pauseBeforeLook(w.state.Policy, 0), time.Duration(w.state.LookAfter))
		case w.state.Looks < looksAfterRelease:
			every = pauseBeforeLook(w.state.Policy, w.state.Looks)
		}
		w.state.Looks++
		err := w.watchConfirmed(ctx, every, changed)
		if w.renewing {
			w.state.Looks = max(w.state.Looks-1, 0) // the next run looks
		}
		return err
	case w.isConfirmed() && !w.isReleased():
		return w.watchConfirmed(ctx, reconcileEvery, changed)
	case pause == 0: // nothing is permitted yet, or nothing is left to do
		return workflow.Await(ctx, changed)
	}
	_, err := awaitFor(ctx, pause, "not confirmed: try again", changed)
	return err
}

// watchConfirmed reads the state of a confirmed isolation or release after a while. A state that is gone was changed by
// somebody else, or by an action that came late: that is shown, and not undone behind their back.
func (w *endpointWorkflow) watchConfirmed(ctx workflow.Context, every time.Duration, changed func() bool) error {
	permitted := w.state.Permitted
	early := func() bool { return changed() || w.releasedBy != "" }
	if _, err := awaitFor(ctx, every, "check that it is still "+string(permitted.Desired), early); err != nil || changed() {
		return err
	}
	by := w.releasedBy
	w.releasedBy, w.state.LookAfter = "", 0
	seen, err := readState(ctx, confirmWithin, w.actionInput(permitted))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		o := w.compared(seen)
		if o.Drift {
			o.ReleasedBy = by
		}
		w.reportToIncident(ctx, o)
	case w.isReleased() && classOf(err) == models.Rejected: // it is gone from the EDR: the last word stands
	case w.isReleased(): // this was no look
		w.state.Looks, w.state.LookAfter = max(w.state.Looks-1, 0), models.Duration(againAfter(w.state.Policy, err))
		w.reportToIncident(ctx, incident.EndpointObserved{Problem: failureText(err)})
	default:
		w.reportToIncident(ctx, unknownReport(err)) // read again in an hour
	}
	return nil
}

// look reads the state of a device because its incident asks. A device that the EDR does not know any more cannot be
// looked at: then the last word stands.
func (w *endpointWorkflow) look(ctx workflow.Context, wanted incident.DesiredState) time.Duration {
	seen, err := readState(ctx, time.Duration(w.state.Policy.TellAfter), w.actionInput(w.state.Permitted))
	if err != nil && classOf(err) != models.Rejected {
		w.reportToIncident(ctx, incident.EndpointObserved{Problem: failureText(err)})
		return w.pauseAfter(err)
	}
	w.state.Looked = wanted.Look
	o := incident.EndpointObserved{}
	if err == nil {
		o = w.compared(seen)
	}
	o.Look = wanted.Look
	w.reportToIncident(ctx, o)
	return 0
}

// compared returns the report of a device that was in the permitted state: somebody else may have changed it since, and
// a released device may be isolated for another incident by now.
func (w *endpointWorkflow) compared(seen endpointReport) incident.EndpointObserved {
	o := observationOf(seen)
	o.Drift = !seen.IsAs(w.state.Permitted.Desired)
	if o.Drift && len(seen.Others) > 0 {
		o.Drift, o.HeldBy, w.state.HeldBy = false, incidentsOf(seen.Others), seen.Others
	}
	return o
}

// incidentsOf returns the incidents of endpoints.
func incidentsOf(endpoints []incident.EndpointID) (all []models.Reference) {
	for _, e := range endpoints {
		all = append(all, e.Incident)
	}
	return all
}

// pursue finds the device, makes one attempt at the permitted state and reports the result. It returns how long to wait
// before the next attempt, 0 when none is needed.
func (w *endpointWorkflow) pursue(ctx workflow.Context, wanted incident.DesiredState) time.Duration {
	permitted := w.state.Permitted
	if wanted.Look > w.state.ToldAgain { // the incident may have lost what it was told
		w.state.ToldAgain, w.state.LastReport = wanted.Look, incident.EndpointObserved{}
		if permitted.Generation == 0 {
			w.state.AgentID = ""
		}
	}
	if wanted.Look > w.state.Looked && w.isConfirmed() {
		return w.look(ctx, wanted)
	}
	if wanted.Detach {
		return 0
	}
	if w.isConfirmed() || permitted.Desired == models.DesiredReleased && !w.state.ActionSent { // nothing was ever done to it
		w.state.ConfirmedGeneration = permitted.Generation
		if w.state.AgentID != "" || wanted.Permitted {
			return 0
		}
	}
	in := w.actionInput(permitted)
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
	if permitted.Generation == 0 || w.isConfirmed() || w.isSuperseded(permitted) {
		return 0
	}
	w.state.ActionSent = true
	sent, err := sendAction(ctx, patience, in)
	if isSettling(err) {
		return w.pauseAfter(err)
	}
	if err != nil {
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
	w.state.HeldBy = nil
	if sent.Held {
		w.letOthersHold(ctx, permitted, sent.Others)
		return 0
	}
	pause := w.awaitConfirmation(ctx, permitted, in)
	if w.isReleased() {
		w.tellOthers(ctx, sent.Others)
	}
	return pause
}

// letOthersHold ends the release of a device that stays isolated for other incidents.
func (w *endpointWorkflow) letOthersHold(ctx workflow.Context, permitted incident.DesiredState, others []incident.EndpointID) {
	w.state.ConfirmedGeneration, w.state.HeldBy = permitted.Generation, others
	w.reportToIncident(ctx, incident.EndpointObserved{AgentID: w.state.AgentID, HeldBy: incidentsOf(others)})
}

// tellOthers lets the endpoints of other incidents look at the device that was released for all of them.
func (w *endpointWorkflow) tellOthers(ctx workflow.Context, others []incident.EndpointID) {
	for _, o := range others {
		id := o.Incident.EndpointWorkflowID(o.Endpoint)
		if err := workflow.SignalExternalWorkflow(ctx, id, "", models.SignalDeviceReleased, w.state.Reference).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("another incident was not told of a release", "workflow", id, "error", err)
		}
	}
}

// isSuperseded reports whether a permitted state is no longer the newest.
func (w *endpointWorkflow) isSuperseded(permitted incident.DesiredState) bool {
	return w.state.Wanted.Detach || w.state.Permitted != permitted
}

// pauseAfter returns how long to wait after a failure: long, when only a person can remove the obstacle.
func (w *endpointWorkflow) pauseAfter(err error) time.Duration {
	if classOf(err) == models.Transient {
		return againAfter(w.state.Policy, err)
	}
	return personRetryInterval
}

// countFailedAction notes that an action came to nothing for good: the next attempt is another action. It returns how
// long to wait for it, a day in the long run, because only a person can remove the obstacle, and says so by completing
// the task.
func (w *endpointWorkflow) countFailedAction() time.Duration {
	w.state.FailedActions++
	return personRetryInterval * time.Duration(min(w.state.FailedActions, 24))
}

// awaitConfirmation waits for the EDR's own word, but not longer than the state is permitted. It returns how long to
// wait before the next attempt. An action that the EDR itself calls failed is over: the next attempt sends another.
func (w *endpointWorkflow) awaitConfirmation(ctx workflow.Context, permitted incident.DesiredState, in endpointInput) time.Duration {
	waiting, cancel := workflow.WithCancel(ctx)
	defer cancel()
	var seen endpointReport
	var err error
	done := false
	workflow.Go(waiting, func(ctx workflow.Context) {
		seen, err = confirmState(ctx, confirmWithin, in)
		done = true
	})
	pause := time.Duration(w.state.Policy.TryAgainEvery)
	if workflow.Await(ctx, func() bool { return done || w.isSuperseded(permitted) }) != nil || !done || w.isSuperseded(permitted) {
		return pause
	}
	o := observationOf(seen)
	switch {
	case err == nil:
		w.state.ConfirmedGeneration = permitted.Generation
	case actionFailed(err):
		o.Problem, pause = failureText(err), w.countFailedAction()
	case isOvertaken(err): // another action puts it right
		w.state.FailedActions++
		o.Problem, pause = failureText(err), pause*time.Duration(min(w.state.FailedActions, 60))
	case seen.State != "":
		o.Late = true
	default:
		o, pause = unknownReport(err), w.pauseAfter(err)
	}
	w.reportToIncident(ctx, o)
	return pause
}

// actionInput returns the input of the activities about an action towards a desired state.
func (w *endpointWorkflow) actionInput(d incident.DesiredState) endpointInput {
	purpose := notify.PurposeIsolate
	if d.Desired == models.DesiredReleased {
		purpose = notify.PurposeRelease
	}
	effect := notify.EndpointEffect(w.state.Reference, w.state.ClientID, purpose, w.state.Endpoint, d.Generation, w.state.FailedActions+1)
	return endpointInput{Effect: effect, Hostname: w.state.Hostname, AgentID: w.state.AgentID, Desired: d.Desired, ForAll: d.ForAll}
}

// unknownReport returns the report of a device whose state the EDR does not tell.
func unknownReport(err error) incident.EndpointObserved {
	return incident.EndpointObserved{State: models.HostUnknown, Problem: failureText(err), Successor: successorIn(err)}
}

// observationOf returns the report of a device whose state was read.
func observationOf(seen endpointReport) incident.EndpointObserved {
	return incident.EndpointObserved{AgentID: seen.AgentID, DeviceName: seen.Hostname, State: seen.State, Online: seen.Online, Class: seen.Class, Tags: seen.Tags, MayBeController: seen.MayBeController, TagsUnknown: seen.TagsUnknown}
}

// reportToIncident signals a report to the incident, unless it is the same as the last one and nobody asked for it.
func (w *endpointWorkflow) reportToIncident(ctx workflow.Context, o incident.EndpointObserved) {
	o.Endpoint, o.Generation = w.state.Endpoint, w.state.Wanted.Generation
	if o.Look == 0 && reflect.DeepEqual(o, w.state.LastReport) {
		return
	}
	w.state.LastReport = o
	w.state.LastReport.Look = 0
	w.signalIncident(ctx, models.SignalEndpointObserved, o)
}
