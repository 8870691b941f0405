package sophos

import (
	"context"
	"net/http"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	maxComment = 250 // runes
	// Central does not change a setting that was changed a moment ago, and does not say how long a
	// moment is.
	recently = 5 * time.Minute
	askAgain = time.Minute
)

// Isolate asks Central to cut one endpoint off the network. nil means Central took the setting or
// already had it: the host is isolated when State says so, which for an offline host may be days
// later. The action id is always "". Central keeps the comment, one line.
//
// Ambiguous: read the state before anything else. Throttled: a release is under way, or the setting was
// changed a moment ago. Rejected: unknown host, or one that cannot be isolated. Config: the credentials
// may not.
func (t *Tenant) Isolate(ctx context.Context, id, comment string) (string, error) {
	return "", t.setIsolation(ctx, exchange.Op{Vendor: vendor, Name: "isolate host", Effect: true}, id, true, comment)
}

// Release asks Central to let one endpoint back on the network. It is the mirror of Isolate. An
// endpoint that isolated itself stays isolated until it is healthy again.
func (t *Tenant) Release(ctx context.Context, id, comment string) (string, error) {
	return "", t.setIsolation(ctx, exchange.Op{Vendor: vendor, Name: "release host", Effect: true}, id, false, comment)
}

// Action is always Rejected: Sophos gives actions no ids.
func (t *Tenant) Action(context.Context, string, string) (models.ActionState, error) {
	return "", exchange.Op{Vendor: vendor, Name: "read action"}.Failed(models.Rejected, "no_actions")
}

// change is the setting for the one endpoint in the path.
type change struct {
	Enabled bool   `json:"enabled"`
	Comment string `json:"comment,omitempty"`
}

func (t *Tenant) setIsolation(ctx context.Context, op exchange.Op, id string, enabled bool, comment string) error {
	if !uuid.MatchString(id) {
		return op.Failed(models.Rejected, "invalid_host_id")
	}
	body := change{enabled, models.CleanLine(comment, maxComment)}
	ex, err := t.send(ctx, op, http.MethodPatch, "/endpoints/"+id+"/isolation", body)
	if err != nil {
		return err
	}
	var taken isolation
	if ex.OK() && ex.Decode(&taken) == nil && taken.Enabled != nil && *taken.Enabled == enabled {
		return nil
	}
	f := unknownHost(failure(ex, op))
	if f.HTTPStatus == http.StatusBadRequest || f.HTTPStatus == http.StatusConflict {
		return t.decide(ctx, op, id, enabled, f, ex.Date(t.now))
	}
	return f
}

// decide lets the setting in force say what a rejection means. Central answers 400 to a setting that is
// in force already, to one that comes too soon after the last change, and to one it will never take. A
// setting against one that the endpoint has not followed yet comes too soon as well. at is Central's time of the
// rejection.
func (t *Tenant) decide(ctx context.Context, op exchange.Op, id string, enabled bool, failed *models.VendorError, at time.Time) error {
	op.Effect = false
	host, inForce, err := t.look(ctx, op, id)
	opposite := models.HostReleasing
	if !enabled {
		opposite = models.HostIsolating
	}
	switch {
	case err != nil && isUnknownHost(err):
		failed.Class, failed.Code = models.Rejected, "no_such_host"
	case err != nil:
		failed.Class = models.Ambiguous
	case *inForce.Enabled == enabled:
		return nil
	case host.State == opposite:
		return exchange.Opposed(failed)
	case failed.HTTPStatus == http.StatusBadRequest && at.Sub(inForce.changed()).Abs() < recently:
		failed.Class, failed.Code, failed.RetryAfter = models.Throttled, "changed_recently", askAgain
	case failed.HTTPStatus == http.StatusConflict:
		failed.Class = models.Ambiguous
	}
	return failed
}
