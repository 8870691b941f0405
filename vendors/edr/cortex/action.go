package cortex

import (
	"context"
	"encoding/json"
	"regexp"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

var actionForm = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// Action returns what became of an action on an endpoint. Transient: Cortex does not list the
// endpoint under this action, or with a status this package does not know.
func (t *Tenant) Action(ctx context.Context, id, action string) (models.ActionState, error) {
	op := exchange.Op{Vendor: vendor, Name: "read action"}
	switch {
	case !hostIDForm.MatchString(id):
		return "", op.Failed(models.Rejected, "invalid_host_id")
	case !actionForm.MatchString(action):
		return "", op.Failed(models.Rejected, "invalid_action_id")
	}
	ex := t.send(ctx, "/actions/get_action_status", map[string]json.Number{"group_action_id": json.Number(action)})
	var answer struct {
		Reply struct {
			Data map[string]string `json:"data"` // by endpoint id
		} `json:"reply"`
	}
	if !ex.OK() || ex.Decode(&answer) != nil {
		return "", failure(ex, op)
	}
	state, known := actionState(answer.Reply.Data[id])
	if !known {
		return "", failure(ex, op)
	}
	return state, nil
}

// actionState translates Cortex's status of an action on one endpoint. Part of an isolation is
// none. The reference spells cancelled in one way, tenants in two.
func actionState(status string) (models.ActionState, bool) {
	switch status {
	case "PENDING", "IN_PROGRESS", "PENDING_ABORT":
		return models.ActionPending, true
	case "COMPLETED_SUCCESSFULLY":
		return models.ActionSucceeded, true
	case "CANCELED", "CANCELLED", "ABORTED", "EXPIRED", "COMPLETED_PARTIAL", "FAILED", "TIMEOUT":
		return models.ActionFailed, true
	}
	return "", false
}
