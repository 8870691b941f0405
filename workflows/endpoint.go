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

// Endpoint brings one endpoint to what its incident wants and may have, and reports what the EDR says. What was permitted
// last is pursued until something else is. It ends when the endpoint is released, or when the incident lets go of it.
// Opposite orders never overlap: the newest one is pursued, and only it.
func Endpoint(ctx workflow.Context, run models.EndpointRun) error {
	w := &endpoint{run: run, wish: workflow.GetSignalChannel(ctx, models.SignalWanted)}
	w.adopt(run.Wish)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var next models.EndpointWish
			w.wish.Receive(ctx, &next)
			if next.Generation >= w.run.Wish.Generation {
				w.adopt(next)
			}
		}
	})
	for ctx.Err() == nil {
		wish := w.run.Wish
		pause := w.pursue(ctx, wish)
		changed := func() bool { return w.run.Wish != wish }
		if w.wish.Len() > 0 || changed() {
			if err := workflow.Await(ctx, func() bool { return w.wish.Len() == 0 }); err != nil {
				return err
			}
			continue
		}
		if wish.LetGo || w.released() && wish.Permitted {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, Endpoint, w.run)
		}
		if err := w.rest(ctx, pause, changed); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// adopt takes a newer wish. When a person wants it tried again, everything is told anew, and a device that was as ordered
// once and is not any more gets another order.
func (w *endpoint) adopt(next models.EndpointWish) {
	if next.Again > w.run.Wish.Again {
		w.run.Told = models.EndpointObserved{}
		if w.reached() {
			w.run.Reached, w.run.Spent = 0, w.run.Spent+1
		}
	}
	w.run.Wish = next
	if next.Permitted {
		if next.Generation != w.run.Order.Generation {
			w.run.Spent = 0
		}
		w.run.Order = next
	}
}

// reached reports whether the EDR confirmed the present order.
func (w *endpoint) reached() bool {
	return w.run.Order.Generation > 0 && w.run.Reached == w.run.Order.Generation
}

func (w *endpoint) released() bool {
	return w.reached() && w.run.Order.Desired == models.DesiredReleased
}

// rest waits after an attempt: while the order stands confirmed it is looked after, else it is pursued again after a
// pause. A newer wish ends the wait.
func (w *endpoint) rest(ctx workflow.Context, pause time.Duration, changed func() bool) error {
	switch {
	case w.reached() && !w.released():
		return w.watch(ctx, changed)
	case pause == 0: // nothing is permitted yet
		return workflow.Await(ctx, changed)
	}
	_, err := awaitFor(ctx, pause, "not confirmed: look again", changed)
	return err
}

// watch looks after a confirmed isolation for a while: one that is not there any more was changed by somebody else, which
// is shown and not put right behind their back.
func (w *endpoint) watch(ctx workflow.Context, changed func() bool) error {
	order := w.run.Order
	if moved, err := awaitFor(ctx, reconcileEvery, "look whether it is still "+string(order.Desired), changed); moved || err != nil {
		return err
	}
	seen, err := look(ctx, confirmFor, w.input(order))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		w.report(ctx, unknown(err)) // looked at again in an hour
		return nil
	}
	o := observed(seen)
	o.Drift = !seen.As(order.Desired)
	w.report(ctx, o)
	return nil
}

// pursue makes one attempt at what is permitted, after the device was found, reports what came of it, and says how long
// to wait before the next.
func (w *endpoint) pursue(ctx workflow.Context, wish models.EndpointWish) time.Duration {
	order := w.run.Order
	if wish.LetGo || w.reached() {
		return 0
	}
	if order.Desired == models.DesiredReleased && !w.run.Touched { // nothing was ever done to it
		w.run.Reached = order.Generation
		return 0
	}
	in := w.input(order)
	patience := time.Duration(w.run.Policy.TellAfter)
	if in.AgentID == "" {
		seen, err := resolve(ctx, patience, in)
		if err != nil {
			w.report(ctx, models.EndpointObserved{Problem: words(err)})
			return w.pauseAfter(err)
		}
		in.AgentID, w.run.AgentID = seen.AgentID, seen.AgentID
		w.report(ctx, observed(seen))
	}
	if order.Generation == 0 || w.superseded(order) {
		return 0
	}
	w.run.Touched = true
	if err := change(ctx, patience, in); err != nil {
		o := unknown(err)
		if !unsure(err) {
			o.State = "" // nothing was changed: it is as it was last seen
		}
		w.report(ctx, o)
		if classOf(err) == models.Rejected {
			return w.nextOrder()
		}
		return w.pauseAfter(err)
	}
	return w.await(ctx, order, in)
}

// superseded reports whether an order is not the newest any more.
func (w *endpoint) superseded(order models.EndpointWish) bool {
	return w.run.Wish.LetGo || w.run.Order != order
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
	w.run.Spent++
	return seldom * time.Duration(min(w.run.Spent, 24))
}

// await waits for the EDR's own word, but not longer than the order stands, and says how long to wait before the next
// attempt. An order that the EDR itself calls failed is over: the next attempt gives another.
func (w *endpoint) await(ctx workflow.Context, order models.EndpointWish, in endpointInput) time.Duration {
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
	if workflow.Await(ctx, func() bool { return done || w.superseded(order) }) != nil || !done || w.superseded(order) {
		return pause
	}
	o := observed(seen)
	switch {
	case err == nil:
		w.run.Reached = order.Generation
	case orderFailed(err):
		o.Problem, pause = words(err), w.nextOrder()
	case seen.State != "":
		o.Late = true
	default:
		o, pause = unknown(err), w.pauseAfter(err)
	}
	w.report(ctx, o)
	return pause
}

// input is what the activities need to know about an order.
func (w *endpoint) input(order models.EndpointWish) endpointInput {
	purpose := models.PurposeIsolate
	if order.Desired == models.DesiredReleased {
		purpose = models.PurposeRelease
	}
	effect := models.EndpointEffect(w.run.Reference, w.run.ClientID, purpose, w.run.Endpoint, order.Generation, w.run.Spent+1)
	return endpointInput{Effect: effect, Hostname: w.run.Hostname, AgentID: w.run.AgentID, Desired: order.Desired}
}

// unknown is what there is to report when the EDR does not say how a device stands.
func unknown(err error) models.EndpointObserved {
	return models.EndpointObserved{State: models.HostUnknown, Problem: words(err)}
}

func observed(seen endpointSeen) models.EndpointObserved {
	return models.EndpointObserved{AgentID: seen.AgentID, DeviceName: seen.Hostname, State: seen.State, Online: seen.Online, Class: seen.Class, Tags: seen.Tags, MayBeController: seen.MayBeController, TagsUnknown: seen.TagsUnknown}
}

// report tells the incident what was seen, unless it is what was told last.
func (w *endpoint) report(ctx workflow.Context, o models.EndpointObserved) {
	o.Endpoint, o.Generation = w.run.Endpoint, w.run.Wish.Generation
	if reflect.DeepEqual(o, w.run.Told) {
		return
	}
	w.run.Told = o
	if err := workflow.SignalExternalWorkflow(ctx, w.run.Reference.WorkflowID(), "", models.SignalObserved, o).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the incident did not take a report", "endpoint", w.run.Endpoint, "error", err)
	}
}
