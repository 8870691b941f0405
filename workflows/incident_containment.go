package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// containing is the transient state of containEndpoints.
type containing struct {
	retries []string // endpoints that a person wants tried again
}

// containEndpoints asks the response authority about every desired state and signals it to the endpoint's workflow each
// time it changes.
func (w *incidentWorkflow) containEndpoints(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool {
		return w.nextUnsignalled() != nil || w.nextWithoutRuling() != nil || len(w.containing.retries) > 0 || w.state.Incident.IsOver()
	}) == nil {
		if e := w.nextWithoutRuling(); e != nil {
			if w.evaluateAuthority(ctx, *e) != nil {
				return
			}
			continue
		}
		if e := w.nextUnsignalled(); e != nil {
			w.signalEndpoint(ctx, *e, 0)
			continue
		}
		if len(w.containing.retries) > 0 {
			if e := w.state.Incident.Endpoint(w.containing.retries[0]); e != nil {
				w.signalEndpoint(ctx, *e, w.state.Incident.Seq)
			}
			w.containing.retries = w.containing.retries[1:]
			continue
		}
		for _, e := range w.state.Incident.Endpoints {
			w.detachEndpoint(ctx, e)
		}
		return
	}
}

// nextUnsignalled returns an endpoint whose workflow does not know the desired state yet, or nil.
func (w *incidentWorkflow) nextUnsignalled() *incident.Endpoint {
	n := slices.IndexFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool { return w.state.EndpointVersions[e.ID] < endpointVersion(e) })
	if n < 0 {
		return nil
	}
	return &w.state.Incident.Endpoints[n]
}

// endpointVersion returns a number that grows with every desired state of an endpoint, and once more when that is
// permitted.
func endpointVersion(e incident.Endpoint) int {
	if e.IsPermitted() {
		return 2*e.Generation + 1
	}
	return 2 * e.Generation
}

// signalEndpoint passes the desired state on: to the endpoint's workflow if it runs, else by starting it. retry is
// above 0 when a person wants it tried again at once.
func (w *incidentWorkflow) signalEndpoint(ctx workflow.Context, e incident.Endpoint, retry int) {
	i := w.state.Incident
	desired := incident.DesiredState{Desired: e.Desired, Generation: e.Generation, Permitted: e.IsPermitted(), RetryNumber: retry}
	id := i.Reference.EndpointWorkflowID(e.ID)
	runs := w.state.EndpointVersions[e.ID] > 0
	w.state.EndpointVersions[e.ID] = endpointVersion(e)
	if runs && workflow.SignalExternalWorkflow(ctx, id, "", models.SignalDesiredState, desired).Get(ctx, nil) == nil {
		return
	}
	w.startChild(ctx, id, string(i.Reference)+" · endpoint "+e.ID, models.EndpointWorkflow, incident.EndpointState{
		Reference: i.Reference, ClientID: i.ClientID, Endpoint: e.ID, Hostname: e.Hostname, AgentID: e.AgentID, Policy: w.state.Policy, Wanted: desired,
		ActionSent: e.Permitted != "",
	})
}

// noteRetry notes that a person ended the task about an endpoint: they have put the obstacle right.
func (w *incidentWorkflow) noteRetry(e incident.Event) {
	d, ok := e.Data.(*incident.TaskDone)
	if !ok || e.Actor.Side != models.SideSOC {
		return
	}
	for _, t := range w.state.Incident.Tasks {
		if t.ID == d.ID && (t.Kind == incident.TaskUnconfirmed || t.Kind == incident.TaskDrift) {
			w.containing.retries = append(w.containing.retries, t.Effect)
		}
	}
}

// detachEndpoint ends the workflow of an endpoint that the client keeps isolated after closure.
func (w *incidentWorkflow) detachEndpoint(ctx workflow.Context, e incident.Endpoint) {
	if e.Kept == nil {
		return
	}
	detached := incident.DesiredState{Desired: e.Desired, Generation: e.Generation, Permitted: e.IsPermitted(), Detach: true}
	id := w.state.Incident.Reference.EndpointWorkflowID(e.ID)
	if err := workflow.SignalExternalWorkflow(ctx, id, "", models.SignalDesiredState, detached).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("endpoint workflow is gone already", "id", id)
	}
}

// handleEndpointObserved takes the EDR's own word on an endpoint.
func (w *incidentWorkflow) handleEndpointObserved(ctx workflow.Context, o incident.EndpointObserved) {
	if p := w.state.Incident.EndpointOfAgent(o.AgentID); o.AgentID != "" && p != nil && p.ID != o.Endpoint {
		o = incident.EndpointObserved{Endpoint: o.Endpoint, Generation: o.Generation, Problem: "it is the device of endpoint " + p.ID}
	}
	if err := w.emit(ctx, models.System(), &o); err != nil {
		w.logIfRefused(ctx, err)
		return
	}
	switch {
	case o.Problem != "":
		w.openTask(ctx, incident.TaskUnconfirmed, o.Endpoint, "endpoint "+o.Endpoint+": "+o.Problem)
	case o.Drift:
		w.openTask(ctx, incident.TaskDrift, o.Endpoint, "endpoint "+o.Endpoint+": it is "+string(o.State)+", and nobody asked for that here")
	case o.Late:
		w.openTask(ctx, incident.TaskUnconfirmed, o.Endpoint, "endpoint "+o.Endpoint+": the EDR has not confirmed it for a long time")
	default:
		w.endTask(ctx, incident.TaskUnconfirmed, o.Endpoint)
		w.endTask(ctx, incident.TaskDrift, o.Endpoint)
	}
}
