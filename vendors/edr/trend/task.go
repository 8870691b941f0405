package trend

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	actionIsolate = "isolate"
	actionRestore = "restoreIsolate"
	// taskAge is how far back unfinished tasks are looked for; Vision One keeps tasks for 180 days.
	taskAge = 30 * 24 * time.Hour
)

var taskID = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// Action returns what became of the task that Isolate or Release gave for the endpoint. Rejected:
// no_such_action when there is none of this id for this endpoint.
func (t *Tenant) Action(ctx context.Context, id, action string) (models.ActionState, error) {
	op := exchange.Op{Vendor: vendor, Name: "read action"}
	switch {
	case !agentGUID.MatchString(id):
		return "", op.Failed(models.Rejected, "invalid_host_id")
	case !taskID.MatchString(action):
		return "", op.Failed(models.Rejected, "invalid_action_id")
	}
	ex := t.send(ctx, http.MethodGet, "/response/tasks/"+action, "", nil)
	var found task
	switch {
	case ex.Status() == http.StatusNotFound:
		f := failure(ex, op)
		f.Code = "no_such_action"
		return "", f
	case !ex.OK(), ex.Decode(&found) != nil, found.ID != action, found.state() == "":
		return "", failure(ex, op)
	case !found.changesIsolationOf(id):
		return "", op.Failed(models.Rejected, "no_such_action")
	}
	return found.state(), nil
}

// unfinished returns the newest task under way on the endpoint, nil when there is none. Tasks cannot
// be filtered by endpoint.
func (t *Tenant) unfinished(ctx context.Context, op exchange.Op, id string) (*task, error) {
	query := url.Values{
		"top": {"200"}, "startDateTime": {t.now().UTC().Add(-taskAge).Format(time.RFC3339)},
		"filter": {"(action eq '" + actionIsolate + "' or action eq '" + actionRestore + "') and " +
			"(status eq 'queued' or status eq 'running' or status eq 'pendingApproval')"},
	}
	tasks, err := all[task](ctx, t, op, "/response/tasks", query, "", "too_many_tasks")
	if err != nil {
		return nil, err
	}
	var newest *task
	for i := range tasks {
		one := &tasks[i]
		if one.changesIsolationOf(id) && one.state() == models.ActionPending && taskID.MatchString(one.ID) &&
			(newest == nil || moment(one.Created).After(moment(newest.Created))) {
			newest = one
		}
	}
	return newest, nil
}

// task holds the fields that are read of a response task.
type task struct {
	ID        string `json:"id"`
	Action    string `json:"action"`
	Status    string `json:"status"`
	AgentGUID string `json:"agentGuid"`
	Created   string `json:"createdDateTime"`
}

// changesIsolationOf reports a task that isolates or restores the endpoint.
func (k task) changesIsolationOf(id string) bool {
	return strings.EqualFold(k.AgentGUID, id) && (k.Action == actionIsolate || k.Action == actionRestore)
}

// way is the state of an endpoint while the task is under way.
func (k task) way() models.HostState {
	if k.Action == actionIsolate {
		return models.HostIsolating
	}
	return models.HostReleasing
}

// state translates the status, "" when it is not a known one. A task that waits for a person's
// approval has two names, one in tasks and one in filters.
func (k task) state() models.ActionState {
	switch k.Status {
	case "queued", "running", "waitForApproval", "pendingApproval":
		return models.ActionPending
	case "succeeded":
		return models.ActionSucceeded
	case "failed", "rejected", "canceled":
		return models.ActionFailed
	}
	return ""
}
