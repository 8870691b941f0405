package workflows

import (
	"errors"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// containing is the transient state of containEndpoints.
type containing struct {
	retries  []string             // endpoints that a person wants tried again
	atRest   bool                 // the incident is over and its devices are at rest
	detached bool                 // the workflows of its endpoints were told so
	versions map[string]versionAt // endpoint -> its version
}

// versionAt is the version of an endpoint's desired state, and the Seq of the event that made it.
type versionAt struct{ version, seq int }

// noteVersions notes which versions the event that was applied last has made.
func (c *containing) noteVersions(i incident.Incident) {
	if c.versions == nil {
		c.versions = map[string]versionAt{}
	}
	for n := range i.Endpoints {
		p := &i.Endpoints[n]
		if v := p.Version(); c.versions[p.ID].version != v {
			c.versions[p.ID] = versionAt{v, i.Seq}
		}
	}
}

// containEndpoints asks the response authority about every desired state and signals it to the endpoint's workflow each
// time it changes.
func (w *incidentWorkflow) containEndpoints(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool {
		return w.nextUnsignalled() != nil || w.nextUnlooked() != nil || w.nextWithoutRuling() != nil || w.nextRetry() >= 0 ||
			w.state.Incident.IsOver() && (!w.state.Managing || w.containing.atRest)
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
		if e := w.nextUnlooked(); e != nil {
			w.state.Looks[e.ID] = incident.Look{Number: w.serialNumber(ctx)}
			w.signalEndpoint(ctx, *e, 0)
			continue
		}
		if n := w.nextRetry(); n >= 0 {
			if e := w.state.Incident.Endpoint(w.containing.retries[n]); e != nil {
				w.signalEndpoint(ctx, *e, w.serialNumber(ctx))
			}
			w.containing.retries = slices.Delete(w.containing.retries, n, n+1)
			continue
		}
		for _, e := range w.state.Incident.Endpoints {
			w.detachEndpoint(ctx, e)
		}
		w.containing.detached = true
		return
	}
}

// serialNumber returns a number that grows with time, also over a reset of the workflow.
func (w *incidentWorkflow) serialNumber(ctx workflow.Context) int {
	return int(workflow.Now(ctx).UnixMilli())
}

// mayBeTold reports whether the workflow of an endpoint may be told the present desired state.
func (w *incidentWorkflow) mayBeTold(endpoint string) bool {
	return w.mayFollow(w.containing.versions[endpoint].seq)
}

// nextRetry returns the index of the first endpoint that a person wants tried again and that may be told, or -1.
func (w *incidentWorkflow) nextRetry() int {
	return slices.IndexFunc(w.containing.retries, w.mayBeTold)
}

// nextUnsignalled returns an endpoint whose workflow does not know the desired state yet, or nil.
func (w *incidentWorkflow) nextUnsignalled() *incident.Endpoint {
	n := slices.IndexFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool {
		return w.state.EndpointVersions[e.ID] < e.Version() && w.mayBeTold(e.ID)
	})
	if n < 0 {
		return nil
	}
	return &w.state.Incident.Endpoints[n]
}

// signalEndpoint passes the desired state on: to the endpoint's workflow if it runs, else by starting it. retry is
// above 0 when a person wants it tried again at once.
func (w *incidentWorkflow) signalEndpoint(ctx workflow.Context, e incident.Endpoint, retry int) {
	i := w.state.Incident
	desired := incident.DesiredState{
		Desired: e.Desired, Generation: e.Generation, Permitted: e.IsPermitted(), RetryNumber: retry, ForAll: e.ForAll, Look: w.state.Looks[e.ID].Number,
		Successions: e.Successions,
	}
	id := i.Reference.EndpointWorkflowID(e.ID)
	runs := w.state.EndpointVersions[e.ID] > 0
	w.unfinished++ // the run stays until the endpoint's workflow knows
	defer func() { w.unfinished-- }()
	w.state.EndpointVersions[e.ID] = e.Version()
	if runs && workflow.SignalExternalWorkflow(ctx, id, "", models.SignalDesiredState, desired).Get(ctx, nil) == nil {
		return
	}
	started := w.startChild(ctx, id, string(i.Reference)+" · endpoint "+e.ID, models.EndpointWorkflow, incident.EndpointState{
		Reference: i.Reference, ClientID: i.ClientID, Endpoint: e.ID, Hostname: e.Hostname, AgentID: e.AgentID, Policy: w.state.Policy, Wanted: desired,
		Permitted:  e.PermittedBefore(),
		ActionSent: e.Permitted != "",
	})
	if !started { // somebody else has started it, from an older state
		if err := workflow.SignalExternalWorkflow(ctx, id, "", models.SignalDesiredState, desired).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("endpoint workflow does not hear", "id", id, "error", err)
		}
	}
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

// detachEndpoint ends the workflow of an endpoint whose incident is over.
func (w *incidentWorkflow) detachEndpoint(ctx workflow.Context, e incident.Endpoint) {
	if e.Kept == nil && !w.state.Managing {
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
	if asked, ok := w.state.Looks[o.Endpoint]; ok && o.Look == asked.Number {
		w.state.Looks[o.Endpoint] = incident.Look{Number: asked.Number, Done: true}
	}
	if err := w.emit(ctx, models.System(), &o); err != nil {
		w.logIfRefused(ctx, err)
		return
	}
	switch {
	case o.Problem != "":
		w.openTask(ctx, incident.TaskUnconfirmed, o.Endpoint, "endpoint "+o.Endpoint+": "+o.Problem)
	case o.Drift && o.ReleasedBy != "":
		w.openTask(ctx, incident.TaskDrift, o.Endpoint, "endpoint "+o.Endpoint+": it was released for all incidents by "+string(o.ReleasedBy))
	case o.Drift:
		w.openTask(ctx, incident.TaskDrift, o.Endpoint, "endpoint "+o.Endpoint+": it is "+string(o.State)+", and nobody asked for that here")
	case o.Late:
		w.openTask(ctx, incident.TaskUnconfirmed, o.Endpoint, "endpoint "+o.Endpoint+": the EDR has not confirmed it for a long time")
	default:
		w.endTask(ctx, incident.TaskUnconfirmed, o.Endpoint)
		w.endTask(ctx, incident.TaskDrift, o.Endpoint)
	}
}

// nextUnlooked returns a released endpoint that is to be looked at before closure and was not asked for yet, or nil.
func (w *incidentWorkflow) nextUnlooked() *incident.Endpoint {
	n := slices.IndexFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool {
		look, wanted := w.state.Looks[e.ID]
		return wanted && look.Number == 0 && w.mayBeTold(e.ID)
	})
	if n < 0 {
		return nil
	}
	return &w.state.Incident.Endpoints[n]
}

// areReleasedLookedAt reports whether every device that was released has been looked at since the client asked for
// closure. It asks for the looks that are missing. A device that other incidents hold, or that is kept, is isolated
// anyhow.
func (w *incidentWorkflow) areReleasedLookedAt(ctx workflow.Context) bool {
	all := true
	for _, e := range w.state.Incident.Endpoints {
		released := e.Permitted == models.DesiredReleased && len(e.HeldBy) == 0 && e.Kept == nil
		if !released {
			continue
		}
		if w.state.Looks == nil {
			w.state.Looks = map[string]incident.Look{}
		}
		if _, asked := w.state.Looks[e.ID]; !asked {
			w.state.Looks[e.ID] = incident.Look{}
		}
		all = all && w.state.Looks[e.ID].Done
	}
	return all
}

// startManaging keeps the workflow of an incident that is over at work for its devices.
func (w *incidentWorkflow) startManaging(ctx workflow.Context) {
	w.state.Managing = len(w.state.Incident.Endpoints) > 0
}

// isManaging reports whether a device of the incident still needs its workflow, though the incident is over: it is
// isolated, or was released so lately that it is still watched, or cannot be looked at.
func (w *incidentWorkflow) isManaging(now time.Time) bool {
	return slices.ContainsFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool {
		return e.IsHeld() || e.IsUnseen() || now.Before(e.WatchedUntil(w.state.Policy))
	})
}

// awaitRest waits until no device needs the workflow of an incident that is over, or until the run may be renewed.
func (w *incidentWorkflow) awaitRest(ctx workflow.Context, mayRenew func() bool) error {
	for w.isManaging(workflow.Now(ctx)) && !mayRenew() {
		var until time.Time // of the last one that is watched
		for _, e := range w.state.Incident.Endpoints {
			if at := e.WatchedUntil(w.state.Policy); at.After(until) {
				until = at
			}
		}
		held := func() bool {
			return slices.ContainsFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool { return e.IsHeld() || e.IsUnseen() })
		}
		if held() {
			if err := workflow.Await(ctx, func() bool { return !held() || mayRenew() }); err != nil {
				return err
			}
			continue
		}
		if _, err := awaitUntil(ctx, until, "devices released lately are watched", func() bool { return held() || mayRenew() }); err != nil {
			return err
		}
	}
	w.containing.atRest = !w.isManaging(workflow.Now(ctx))
	return nil
}

// startTries is how often a child is started whose id another workflow has, and startAgainAfter the pause between: one
// that is none of ours fails within that time, and the id is free.
const (
	startTries      = 3
	startAgainAfter = 2 * time.Second
)

// startChild starts a child workflow that outlives this run, and reports whether it did: a child that runs already is
// fine. The run stays until the child was started: Temporal forgets a start when the run ends in the same task.
func (w *incidentWorkflow) startChild(ctx workflow.Context, id, summary, kind string, arg any) bool {
	w.unfinished++
	defer func() { w.unfinished-- }()
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, StaticSummary: summary, WorkflowTaskTimeout: models.WorkflowTaskTimeout,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	})
	err := workflow.ExecuteChildWorkflow(ctx, kind, arg).GetChildWorkflowExecution().Get(ctx, nil)
	var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
	for n := 1; n < startTries && errors.As(err, &taken); n++ {
		if pause(ctx, startAgainAfter, "the id of a child is taken; start it again") != nil {
			break
		}
		err = workflow.ExecuteChildWorkflow(ctx, kind, arg).GetChildWorkflowExecution().Get(ctx, nil)
	}
	if err != nil {
		workflow.GetLogger(ctx).Info("child workflow not started", "id", id, "error", err)
	}
	return err == nil
}
