package workflows

import (
	"reflect"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// confirmFor is how long the EDR is given before the endpoint shows as queued, with its age; then it is waited for on.
const confirmFor = 10 * time.Minute

// reconcileEvery is how often a confirmed isolation is looked at: somebody may release it in the vendor's console.
const reconcileEvery = time.Hour

// seldom is how often something is tried again that only a person can put right.
const seldom = time.Hour

// endpoint is one run of an endpoint's containment.
type endpoint struct {
	run  models.EndpointRun
	wish workflow.ReceiveChannel
}

// Endpoint brings one endpoint to what its incident wants and reports what the EDR says. It ends when the endpoint is
// released, or when the incident lets go of it. Opposite wishes never overlap: the newest one is pursued, and only it.
func Endpoint(ctx workflow.Context, run models.EndpointRun) error {
	w := &endpoint{run: run, wish: workflow.GetSignalChannel(ctx, models.SignalWanted)}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var next models.EndpointWish
			w.wish.Receive(ctx, &next)
			if next.Generation > w.run.Wish.Generation {
				w.run.Failed = 0
			}
			if next.Generation >= w.run.Wish.Generation {
				w.run.Wish = next
			}
		}
	})
	for ctx.Err() == nil {
		wish := w.run.Wish
		retry := w.pursue(ctx, wish)
		changed := func() bool { return w.run.Wish != wish }
		released := w.run.Reached == wish.Generation && wish.Desired == models.DesiredReleased
		if wish.LetGo || released && !changed() {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && w.wish.Len() == 0 {
			return workflow.NewContinueAsNewError(ctx, Endpoint, w.run)
		}
		if err := w.rest(ctx, wish, retry, changed); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rest waits after a wish was pursued: for the next wish once it is reached, else for at most a pause before it is
// pursued again.
func (w *endpoint) rest(ctx workflow.Context, wish models.EndpointWish, pause time.Duration, changed func() bool) error {
	if w.run.Reached == wish.Generation {
		return w.watch(ctx, wish, changed)
	}
	if pause == 0 { // nothing more is permitted yet
		return workflow.Await(ctx, changed)
	}
	_, err := awaitFor(ctx, pause, "not confirmed: look again", changed)
	return err
}

// watch looks after a confirmed isolation for a while: one that is not there any more was changed by somebody else, which
// is shown and not put right behind their back.
func (w *endpoint) watch(ctx workflow.Context, wish models.EndpointWish, changed func() bool) error {
	if moved, err := awaitFor(ctx, reconcileEvery, "look whether it is still "+string(wish.Desired), changed); moved || err != nil {
		return err
	}
	in := endpointInput{Effect: w.effect(wish), Hostname: w.run.Hostname, AgentID: w.run.AgentID, Desired: wish.Desired}
	seen, err := look(ctx, confirmFor, in)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		w.report(ctx, wish, unknown(err)) // looked at again in an hour
		return nil
	}
	o := observed(seen)
	o.Drift = !seen.As(wish.Desired)
	w.report(ctx, wish, o)
	return nil
}

// pursue makes one attempt at a wish, reports what came of it, and says how long to wait before the next.
func (w *endpoint) pursue(ctx workflow.Context, wish models.EndpointWish) time.Duration {
	if wish.LetGo || w.run.Reached == wish.Generation {
		return 0
	}
	in := endpointInput{Effect: w.effect(wish), Hostname: w.run.Hostname, AgentID: w.run.AgentID, Desired: wish.Desired}
	patience := time.Duration(w.run.Policy.TellAfter)
	if !w.run.Touched && wish.Desired == models.DesiredReleased { // nothing was ever done to it
		w.run.Reached = wish.Generation
		w.report(ctx, wish, models.EndpointObserved{State: models.HostNormal})
		return 0
	}
	if in.AgentID == "" {
		seen, err := resolve(ctx, patience, in)
		if err != nil {
			w.report(ctx, wish, models.EndpointObserved{Problem: words(err)})
			return w.pauseAfter(err)
		}
		in.AgentID, w.run.AgentID = seen.AgentID, seen.AgentID
		w.report(ctx, wish, observed(seen))
	}
	if !wish.Permitted {
		return 0
	}
	w.run.Touched = true
	if err := change(ctx, patience, in); err != nil {
		o := unknown(err)
		if !unsure(err) {
			o.State = "" // nothing was changed: it is as it was last seen
		}
		w.report(ctx, wish, o)
		if classOf(err) == models.Rejected {
			return w.nextOrder()
		}
		return w.pauseAfter(err)
	}
	return w.await(ctx, wish, in)
}

// pauseAfter is how long to wait after a failure. What a person must put right is looked at seldom.
func (w *endpoint) pauseAfter(err error) time.Duration {
	if classOf(err) == models.Transient {
		return time.Duration(w.run.Policy.TryAgainEvery)
	}
	return seldom
}

// nextOrder notes that an order came to nothing, for good: what follows is another order. It says when: every day in the
// long run, because only a person can put it right, and they say so by ending the task.
func (w *endpoint) nextOrder() time.Duration {
	w.run.Failed++
	return seldom * time.Duration(min(w.run.Failed, 24))
}

// await waits for the EDR's own word, but not longer than the wish stands, and says how long to wait before the next
// attempt. An order that the EDR itself calls failed is over: the next attempt gives another.
func (w *endpoint) await(ctx workflow.Context, wish models.EndpointWish, in endpointInput) time.Duration {
	waiting, cancel := workflow.WithCancel(ctx)
	defer cancel()
	var seen endpointSeen
	var err error
	done := false
	workflow.Go(waiting, func(ctx workflow.Context) {
		seen, err = confirm(ctx, confirmFor, in)
		done = true
	})
	pause := time.Duration(w.run.Policy.TryAgainEvery)
	if workflow.Await(ctx, func() bool { return done || w.run.Wish != wish }) != nil || !done {
		return pause
	}
	o := observed(seen)
	switch {
	case err == nil:
		w.run.Reached = wish.Generation
	case orderFailed(err):
		o.Problem, pause = words(err), w.nextOrder()
	case seen.State != "":
		o.Late = true
	default:
		o, pause = unknown(err), w.pauseAfter(err)
	}
	w.report(ctx, wish, o)
	return pause
}

func (w *endpoint) effect(wish models.EndpointWish) models.Effect {
	purpose := models.PurposeIsolate
	if wish.Desired == models.DesiredReleased {
		purpose = models.PurposeRelease
	}
	return models.EndpointEffect(w.run.Reference, w.run.ClientID, purpose, w.run.Endpoint, wish.Generation, w.run.Failed+1)
}

// unknown is what there is to report when the EDR does not say how a device stands.
func unknown(err error) models.EndpointObserved {
	return models.EndpointObserved{State: models.HostUnknown, Problem: words(err)}
}

func observed(seen endpointSeen) models.EndpointObserved {
	return models.EndpointObserved{AgentID: seen.AgentID, DeviceName: seen.Hostname, State: seen.State, Online: seen.Online, Class: seen.Class, Tags: seen.Tags, MayBeController: seen.MayBeController, TagsUnknown: seen.TagsUnknown}
}

// report tells the incident what was seen, unless it is what was told last.
func (w *endpoint) report(ctx workflow.Context, wish models.EndpointWish, o models.EndpointObserved) {
	o.Endpoint, o.Generation = w.run.Endpoint, wish.Generation
	if reflect.DeepEqual(o, w.run.Told) {
		return
	}
	w.run.Told = o
	if err := workflow.SignalExternalWorkflow(ctx, w.run.Reference.WorkflowID(), "", models.SignalObserved, o).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the incident did not take a report", "endpoint", w.run.Endpoint, "error", err)
	}
}
