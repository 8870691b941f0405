package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// containEndpoints tells each endpoint's workflow what is wanted of it, every time that changes.
func (w *incident) containEndpoints(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool {
		return w.untold() != nil || w.unruled() != nil || len(w.again) > 0 || w.run.Incident.Over()
	}) == nil {
		if e := w.unruled(); e != nil {
			if w.decide(ctx, *e) != nil {
				return
			}
			continue
		}
		if e := w.untold(); e != nil {
			w.tell(ctx, *e, 0)
			continue
		}
		if len(w.again) > 0 {
			if e := w.run.Incident.Endpoint(w.again[0]); e != nil {
				w.tell(ctx, *e, w.run.Incident.Seq)
			}
			w.again = w.again[1:]
			continue
		}
		for _, e := range w.run.Incident.Endpoints {
			w.letGo(ctx, e)
		}
		return
	}
}

// untold returns an endpoint whose workflow does not know yet what is wanted of it, or nil.
func (w *incident) untold() *models.Endpoint {
	n := slices.IndexFunc(w.run.Incident.Endpoints, func(e models.Endpoint) bool { return w.run.Wished[e.ID] < wishNumber(e) })
	if n < 0 {
		return nil
	}
	return &w.run.Incident.Endpoints[n]
}

// wishNumber grows with every wish for an endpoint, and once more when it is permitted.
func wishNumber(e models.Endpoint) int {
	if e.Permitted() {
		return 2*e.Generation + 1
	}
	return 2 * e.Generation
}

// tell passes a wish on: to the endpoint's workflow if it runs, else by starting it.
func (w *incident) tell(ctx workflow.Context, e models.Endpoint, again int) {
	i := w.run.Incident
	wish := models.EndpointWish{Desired: e.Desired, Generation: e.Generation, Permitted: e.Permitted(), Again: again}
	id := i.Reference.EndpointWorkflowID(e.ID)
	runs := w.run.Wished[e.ID] > 0
	w.run.Wished[e.ID] = wishNumber(e)
	if runs && workflow.SignalExternalWorkflow(ctx, id, "", models.SignalWanted, wish).Get(ctx, nil) == nil {
		return
	}
	w.startChild(ctx, id, string(i.Reference)+" · endpoint "+e.ID, models.EndpointWorkflow, models.EndpointRun{
		Reference: i.Reference, ClientID: i.ClientID, Endpoint: e.ID, Hostname: e.Hostname, AgentID: e.AgentID, Policy: w.run.Policy, Wish: wish,
		Touched: e.Standing != "",
	})
}

// tryAgain notes that a person ended the task about an endpoint: what stood in the way is put right.
func (w *incident) tryAgain(e models.Event) {
	d, ok := e.Data.(*models.TaskDone)
	if !ok || e.Actor.Side != models.SideSOC {
		return
	}
	for _, t := range w.run.Incident.Tasks {
		if t.ID == d.ID && (t.Kind == models.TaskUnconfirmed || t.Kind == models.TaskDrift) {
			w.again = append(w.again, t.Effect)
		}
	}
}

// letGo ends the workflow of an endpoint that the client keeps isolated after closure.
func (w *incident) letGo(ctx workflow.Context, e models.Endpoint) {
	if e.Kept == nil {
		return
	}
	wish := models.EndpointWish{Desired: e.Desired, Generation: e.Generation, Permitted: e.Permitted(), LetGo: true}
	id := w.run.Incident.Reference.EndpointWorkflowID(e.ID)
	if err := workflow.SignalExternalWorkflow(ctx, id, "", models.SignalWanted, wish).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("endpoint workflow is gone already", "id", id)
	}
}

// endpointObserved is the EDR's own word on an endpoint.
func (w *incident) endpointObserved(ctx workflow.Context, o models.EndpointObserved) {
	if p := w.run.Incident.EndpointOfAgent(o.AgentID); o.AgentID != "" && p != nil && p.ID != o.Endpoint {
		o = models.EndpointObserved{Endpoint: o.Endpoint, Generation: o.Generation, Problem: "it is the device of endpoint " + p.ID}
	}
	if err := w.note(ctx, models.System(), &o); err != nil {
		w.must(ctx, err)
		return
	}
	switch {
	case o.Problem != "":
		w.openTask(ctx, models.TaskUnconfirmed, o.Endpoint, "endpoint "+o.Endpoint+": "+o.Problem)
	case o.Drift:
		w.openTask(ctx, models.TaskDrift, o.Endpoint, "endpoint "+o.Endpoint+": it is "+string(o.State)+", and nobody asked for that here")
	case o.Late:
		w.openTask(ctx, models.TaskUnconfirmed, o.Endpoint, "endpoint "+o.Endpoint+": the EDR has not confirmed it for a long time")
	default:
		w.endTask(ctx, models.TaskUnconfirmed, o.Endpoint)
		w.endTask(ctx, models.TaskDrift, o.Endpoint)
	}
}
