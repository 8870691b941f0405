package carbonblack

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// Isolate asks Carbon Black to quarantine one device. nil means the request was taken, also for a
// device that is quarantined already: it is isolated when State says so. The action id is always "",
// and the comment is dropped, because Carbon Black has neither.
//
// Ambiguous: read the state before anything else, and remember that it does not show an action
// that is under way. Rejected: unknown device, or one that cannot be quarantined. Config: the key may not.
func (t *Tenant) Isolate(ctx context.Context, id, _ string) (string, error) {
	op := exchange.Op{Vendor: vendor, Name: "quarantine host", Effect: true}
	return "", t.quarantine(ctx, op, id, "ON", models.HostIsolated)
}

// Release asks Carbon Black to end the quarantine of one device. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, _ string) (string, error) {
	op := exchange.Op{Vendor: vendor, Name: "release host", Effect: true}
	return "", t.quarantine(ctx, op, id, "OFF", models.HostNormal)
}

// Action is always Rejected: Carbon Black gives quarantines no ids.
func (t *Tenant) Action(context.Context, string, string) (models.ActionState, error) {
	return "", exchange.Op{Vendor: vendor, Name: "read action"}.Failed(models.Rejected, "no_actions")
}

// deviceAction is an action on exactly one device: the list is the API's.
type deviceAction struct {
	Type    string   `json:"action_type"`
	Devices [1]int64 `json:"device_id"`
	Options struct {
		Toggle string `json:"toggle"`
	} `json:"options"`
}

func (t *Tenant) quarantine(ctx context.Context, op exchange.Op, id, toggle string, done models.HostState) error {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil || !deviceID.MatchString(id) {
		return op.Failed(models.Rejected, "invalid_host_id")
	}
	body := deviceAction{Type: "QUARANTINE", Devices: [1]int64{number}}
	body.Options.Toggle = toggle
	ex := t.send(ctx, http.MethodPost, "/device_actions", body)
	switch {
	case ex.Status() == http.StatusNoContent, ex.Status() == http.StatusOK && fine(ex):
		return nil
	case ex.Status() != http.StatusConflict:
		return failure(ex, op)
	}
	// The meaning of a conflict is not documented, so the state of the device decides.
	failed := failure(ex, op)
	failed.Class = models.Ambiguous
	if host, err := t.State(ctx, id); err == nil && host.State == done {
		return nil
	}
	return failed
}

// fine reports whether the body of a 200 is a whole object that holds no error. Carbon Black does
// not document what else would be in it.
func fine(ex *exchange.Exchange) bool {
	var body map[string]json.RawMessage
	if ex.Decode(&body) != nil || body == nil {
		return false
	}
	_, failed := body["error_code"]
	return !failed
}
