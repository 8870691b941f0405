package crowdstrike

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const maxComment = 500 // runes

// Isolate asks Falcon to cut one host off the network. nil means Falcon accepted the request or
// already had it: the host is isolated when State says so, which for an offline host may be days
// later. The comment is kept by Falcon beside the action, one line.
//
// Ambiguous: read the state before anything else. That includes a conflict Falcon reports while
// the host is not on its way anywhere. Throttled: a release is under way. Rejected: unknown or
// protected host. Config: missing scope. The action is always "": Falcon has no ids for actions.
func (t *Tenant) Isolate(ctx context.Context, id, comment string) (action string, err error) {
	op := exchange.Op{Vendor: vendor, Name: "contain", Effect: true}
	return "", t.contain(ctx, op, "contain", id, comment, models.HostReleasing, models.HostIsolating, models.HostIsolated)
}

// Release asks Falcon to let one host back on the network. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, comment string) (action string, err error) {
	op := exchange.Op{Vendor: vendor, Name: "lift containment", Effect: true}
	return "", t.contain(ctx, op, "lift_containment", id, comment, models.HostIsolating, models.HostReleasing, models.HostNormal)
}

// Action is Rejected: Falcon gives actions no ids.
func (t *Tenant) Action(context.Context, string, string) (models.ActionState, error) {
	return "", exchange.Op{Vendor: vendor, Name: "read action"}.Failed(models.Rejected, "no_actions")
}

// contain sends the action for exactly one host. A conflict is success when the host is already
// in one of the states the action leads to, and comes too early when it is on its way back.
func (t *Tenant) contain(ctx context.Context, op exchange.Op, action, id, comment string, opposite models.HostState, done ...models.HostState) error {
	if !agentID.MatchString(id) {
		return op.Failed(models.Rejected, "invalid_host_id")
	}
	err := t.act(ctx, op, action, id, comment)
	var failed *models.VendorError
	if !errors.As(err, &failed) || !conflict(failed) {
		return err
	}
	host, unread := t.State(ctx, id)
	switch {
	case unread == nil && slices.Contains(done, host.State):
		return nil
	case unread == nil && host.State == opposite:
		return exchange.Opposed(failed)
	}
	failed.Class = models.Ambiguous
	return failed
}

func (t *Tenant) act(ctx context.Context, op exchange.Op, action, id, comment string) error {
	path := "/devices/entities/devices-actions/v2?action_name=" + action
	ex, err := t.send(ctx, op, http.MethodPost, path, newActionRequest(id, comment))
	if err != nil {
		return err
	}
	affected, err := resources[struct {
		ID string `json:"id"`
	}](ex, op)
	if err != nil {
		return err
	}
	if len(affected) != 1 || affected[0].ID != id { // accepted, but for what?
		return failure(ex, op)
	}
	return nil
}

// conflict reports Falcon's 409, as the answer's status or as the host's entry inside it. Its
// meaning is not documented, so the state of the host decides.
func conflict(err *models.VendorError) bool {
	return err.HTTPStatus == http.StatusConflict || err.Code == code(http.StatusConflict)
}

type actionRequest struct {
	IDs        []string    `json:"ids"`
	Parameters []parameter `json:"action_parameters,omitempty"`
}

type parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// newActionRequest names one host only: an action on a list would be many effects.
func newActionRequest(id, comment string) actionRequest {
	r := actionRequest{IDs: []string{id}}
	if comment = models.CleanLine(comment, maxComment); comment != "" {
		r.Parameters = []parameter{{Name: "comment", Value: comment}}
	}
	return r
}
