package elastic

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	commandIsolate = "isolate"
	commandRelease = "unisolate"
	maxActions     = "100" // the newest actions on a host; older ones no longer decide anything
)

// Action returns what became of an action on a host. Rejected: no such action, or not of this host.
func (t *Tenant) Action(ctx context.Context, id, actionID string) (models.ActionState, error) {
	op := exchange.Op{Vendor: vendor, Name: "read action"}
	switch {
	case !idForm.MatchString(id):
		return "", op.Failed(models.Rejected, "invalid_host_id")
	case !idForm.MatchString(actionID):
		return "", op.Failed(models.Rejected, "invalid_action_id")
	}
	ex := t.get(ctx, "/api/endpoint/action/"+actionID)
	if ex.Status() == http.StatusNotFound {
		f := failure(ex, op)
		f.Code = "no_such_action"
		return "", f
	}
	var answer struct {
		Data action `json:"data"`
	}
	if !ex.OK() || ex.Decode(&answer) != nil || answer.Data.ID != actionID {
		return "", failure(ex, op)
	}
	if !slices.Contains(answer.Data.Agents, id) {
		return "", op.Failed(models.Rejected, "no_such_action")
	}
	state, known := answer.Data.state(id)
	if !known {
		return "", failure(ex, op)
	}
	return state, nil
}

// readActions reads the isolations and releases the agents were given, newest first.
func (t *Tenant) readActions(ctx context.Context, op exchange.Op, agents ...string) ([]action, error) {
	query := url.Values{
		"agentIds": agents, "commands": {commandIsolate, commandRelease},
		"page": {"1"}, "pageSize": {maxActions},
	}
	ex := t.get(ctx, "/api/endpoint/action?"+query.Encode())
	var list struct {
		Data *[]action `json:"data"`
	}
	if !ex.OK() || ex.Decode(&list) != nil || list.Data == nil {
		return nil, failure(ex, op)
	}
	actions := *list.Data
	slices.SortStableFunc(actions, func(a, b action) int { return moment(b.Started).Compare(moment(a.Started)) })
	return actions, nil
}

// actionsOn returns the isolations and releases of one agent.
func actionsOn(agent string, all []action) []action {
	var out []action
	for _, a := range all {
		if slices.Contains(a.Agents, agent) && (a.Command == commandIsolate || a.Command == commandRelease) {
			out = append(out, a)
		}
	}
	return out
}

// action is an isolation, a release or another command, as Kibana keeps it.
type action struct {
	ID      string   `json:"id"`
	Agents  []string `json:"agents"`
	Command string   `json:"command"`
	Started string   `json:"startedAt"`
	progress
	Expired    bool                `json:"isExpired"`
	Status     string              `json:"status"`
	AgentState map[string]progress `json:"agentState"`
}

// progress is how far an action has come. The reference has both spellings of completion: one in
// its schemas, the other in its examples and in every Kibana.
type progress struct {
	Completed  *bool  `json:"isCompleted"`
	Complete   *bool  `json:"isComplete"`
	Successful bool   `json:"wasSuccessful"`
	At         string `json:"completedAt"`
}

func (p progress) tellsCompletion() bool { return p.Completed != nil || p.Complete != nil }

func (p progress) over() bool {
	return p.Completed != nil && *p.Completed || p.Complete != nil && *p.Complete
}

func (a action) isolates() bool { return a.Command == commandIsolate }

// state returns the state of the action on one agent; the agent's own entry goes before the sum of
// all of them. False when Kibana does not say in any way this package knows.
func (a action) state(agent string) (models.ActionState, bool) {
	p := a.progress
	if own, has := a.AgentState[agent]; has && own.tellsCompletion() {
		p = own
	}
	switch {
	case p.over() && p.Successful, !p.tellsCompletion() && a.Status == "successful":
		return models.ActionSucceeded, true
	case p.over(), a.Expired, !p.tellsCompletion() && a.Status == "failed":
		return models.ActionFailed, true
	case p.tellsCompletion(), a.Status == "pending":
		return models.ActionPending, true
	}
	return "", false
}

// underWay reports an action that still has to show in the host's document: nobody has carried it
// out yet, or the sensor has and its report of itself is from before.
func (a action) underWay(d document) bool {
	switch state, _ := a.state(d.Metadata.Agent.ID); state {
	case models.ActionPending:
		return true
	case models.ActionSucceeded:
		return moment(d.Metadata.At).Before(moment(a.completedAt(d.Metadata.Agent.ID)))
	}
	return false
}

func (a action) completedAt(agent string) string {
	if own := a.AgentState[agent]; own.At != "" {
		return own.At
	}
	return a.At
}
