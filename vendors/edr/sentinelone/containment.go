package sentinelone

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// way is one direction: the API's action, the states it leads through, and the one that leads back.
type way struct {
	action string
	done   []models.HostState
	back   models.HostState
}

// Isolate asks SentinelOne to cut one agent off the network. nil means it affected this agent or
// the agent was there already: the host is isolated when State says so. The action id is always "",
// and the comment is dropped, because SentinelOne has neither.
//
// Ambiguous: read the state before anything else. Throttled: the agent is being released. Rejected:
// unknown agent, or one that is not eligible. Config: the token may not.
func (t *Tenant) Isolate(ctx context.Context, id, _ string) (string, error) {
	op := exchange.Op{Vendor: vendor, Name: "disconnect host", Effect: true}
	return "", t.sendAction(ctx, op, id, way{"disconnect",
		[]models.HostState{models.HostIsolating, models.HostIsolated}, models.HostReleasing})
}

// Release asks SentinelOne to let one agent back on the network. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, _ string) (string, error) {
	op := exchange.Op{Vendor: vendor, Name: "connect host", Effect: true}
	return "", t.sendAction(ctx, op, id, way{"connect",
		[]models.HostState{models.HostReleasing, models.HostNormal}, models.HostIsolating})
}

// Action is always Rejected: SentinelOne gives isolations no ids.
func (t *Tenant) Action(context.Context, string, string) (models.ActionState, error) {
	return "", exchange.Op{Vendor: vendor, Name: "read action"}.Failed(models.Rejected, "no_actions")
}

// sendAction sends the action for exactly one agent and requires that exactly one was affected.
func (t *Tenant) sendAction(ctx context.Context, op exchange.Op, id string, w way) error {
	if !agentID.MatchString(id) {
		return op.Failed(models.Rejected, "invalid_host_id")
	}
	var body struct {
		Filter struct {
			IDs []string `json:"ids"`
		} `json:"filter"`
	}
	body.Filter.IDs = []string{id}
	ex := t.send(ctx, http.MethodPost, "/agents/actions/"+w.action, body)
	result, _, err := read[struct {
		Affected *int `json:"affected"`
	}](ex, op)
	var failed *models.VendorError
	switch {
	case errors.As(err, &failed) && conflict(failed):
		failed.Class = models.Ambiguous
		return t.decide(ctx, id, w, failed)
	case err != nil:
		return err
	case result.Affected == nil:
		return failure(ex, op)
	case *result.Affected == 1:
		return nil
	}
	unexpected := failure(ex, op)
	unexpected.Code, unexpected.Cause = "affected_many", nil
	if *result.Affected == 0 {
		unexpected.Class, unexpected.Code = models.Rejected, "not_affected"
		return t.decide(ctx, id, w, unexpected)
	}
	return unexpected
}

// decide lets the state of the agent say what a rejection means: success when the agent is where the
// action leads, Throttled when it is on its way back, Ambiguous when nobody can tell.
func (t *Tenant) decide(ctx context.Context, id string, w way, failed *models.VendorError) error {
	host, err := t.State(ctx, id)
	switch {
	case err != nil && models.ClassOf(err) == models.Rejected:
		failed.Class, failed.Code = models.Rejected, "no_such_host"
	case err != nil:
		failed.Class = models.Ambiguous
	case slices.Contains(w.done, host.State):
		return nil
	case host.State == w.back:
		return exchange.Opposed(failed)
	}
	return failed
}

// conflict reports a 409, as the answer's status or as an error inside it. Its meaning is not
// documented, so the state of the agent decides.
func conflict(err *models.VendorError) bool {
	return err.HTTPStatus == http.StatusConflict || len(err.Code) == 7 && err.Code[:3] == "409"
}
