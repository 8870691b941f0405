package mde

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// The kinds of machine action that matter here.
const (
	isolate   = "Isolate"
	unisolate = "Unisolate"
)

var actionID = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)

// action is a machine action.
type action struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Machine string    `json:"machineId"`
	Created time.Time `json:"creationDateTimeUtc"`
	Updated time.Time `json:"lastUpdateDateTimeUtc"`
}

// state translates the status. An action of an unknown status is not over.
func (a action) state() models.ActionState {
	switch a.Status {
	case "Succeeded":
		return models.ActionSucceeded
	case "Failed", "TimeOut", "Cancelled":
		return models.ActionFailed
	}
	return models.ActionPending
}

// Action says what became of an action on the device. Rejected: the device has no such action.
func (t *Tenant) Action(ctx context.Context, id, wanted string) (models.ActionState, error) {
	op := exchange.Op{Vendor: vendor, Name: "read action"}
	if !machineID.MatchString(id) || !actionID.MatchString(wanted) {
		return "", op.Failed(models.Rejected, "invalid_action_id")
	}
	ex, err := t.send(ctx, op, http.MethodGet, "/api/machineactions/"+wanted, nil)
	if err != nil {
		return "", err
	}
	var a action
	switch {
	case ex.Status() == http.StatusNotFound:
		return "", op.Failed(models.Rejected, "no_such_action")
	case !ex.OK() || ex.Decode(&a) != nil || !strings.EqualFold(a.ID, wanted):
		return "", failure(ex, op)
	case !strings.EqualFold(a.Machine, id) || (a.Type != isolate && a.Type != unisolate):
		return "", op.Failed(models.Rejected, "no_such_action")
	}
	return a.state(), nil
}

// actions are the isolations and releases of one device, the newest first.
type actions []action

// actions reads those of the device. A list that may be cut short is not used.
func (t *Tenant) actions(ctx context.Context, op exchange.Op, id string) (actions, error) {
	op.Effect = false
	query := url.Values{"$filter": {"machineId eq " + literal(id)}, "$top": {"1000"}}
	all, more, err := list[action](ctx, t, op, "/api/machineactions", query)
	if err != nil {
		return nil, err
	}
	if len(all) >= page || more {
		return nil, op.Failed(models.Rejected, "too_many_actions")
	}
	var own actions
	for _, a := range all {
		if a.Type != isolate && a.Type != unisolate {
			continue
		}
		if !actionID.MatchString(a.ID) || !strings.EqualFold(a.Machine, id) {
			return nil, op.Failed(op.Uncertain(), "invalid_answer")
		}
		own = append(own, a)
	}
	slices.SortStableFunc(own, func(a, b action) int { return b.Created.Compare(a.Created) })
	return own, nil
}

// pending returns the unfinished ones of a kind.
func (all actions) pending(kind string) (some actions) {
	for _, a := range all {
		if a.Type == kind && a.state() == models.ActionPending {
			some = append(some, a)
		}
	}
	return some
}

// settled is the kind that was the last to succeed, "" when none did. A duplicate may succeed
// long after it was created, so that the moment of success counts.
func (all actions) settled() string {
	var last action
	for _, a := range all {
		if a.state() == models.ActionSucceeded && (last.ID == "" || a.Updated.After(last.Updated)) {
			last = a
		}
	}
	return last.Type
}

// state derives the isolation state from the actions. While the device is as a pending action
// wants it, only an action for the opposite is a change.
func (all actions) state() models.HostState {
	isolated := all.settled() == isolate
	isolating, releasing := all.pending(isolate), all.pending(unisolate)
	switch {
	case isolated && len(releasing) > 0:
		return models.HostReleasing
	case isolated:
		return models.HostIsolated
	case len(isolating) > 0:
		return models.HostIsolating
	case len(releasing) > 0 && all.settled() == "": // isolated longer ago than actions are kept
		return models.HostReleasing
	}
	return models.HostNormal
}
