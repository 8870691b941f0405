package sophos

import (
	"context"
	"net/http"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	maxComment = 250 // runes
	// Central refuses to change an order it took a moment ago. How long the moment is, it does not say.
	recently = 5 * time.Minute
	askAgain = time.Minute
)

// Isolate orders one endpoint to be cut off the network. nil means Central took the order or already
// had it: the host is isolated when State says so, which for an offline host may be days later. The
// action id is always "". The comment is kept by Central, one line.
//
// Ambiguous: read the state before anything else. Throttled: the order was changed a moment ago.
// Rejected: unknown host, or one that cannot be isolated. Config: the credentials may not.
func (t *Tenant) Isolate(ctx context.Context, id, comment string) (string, error) {
	return "", t.order(ctx, exchange.Op{Vendor: vendor, Name: "isolate host", Effect: true}, id, true, comment)
}

// Release orders one endpoint to be let back on the network. It is the mirror of Isolate. An
// endpoint that isolated itself stays isolated until it is healthy again.
func (t *Tenant) Release(ctx context.Context, id, comment string) (string, error) {
	return "", t.order(ctx, exchange.Op{Vendor: vendor, Name: "release host", Effect: true}, id, false, comment)
}

// Action is always Rejected: Sophos gives orders no ids.
func (t *Tenant) Action(context.Context, string, string) (models.ActionState, error) {
	return "", exchange.Op{Vendor: vendor, Name: "read action"}.Failed(models.Rejected, "no_actions")
}

// change is the order for the one endpoint in the path.
type change struct {
	Enabled bool   `json:"enabled"`
	Comment string `json:"comment,omitempty"`
}

func (t *Tenant) order(ctx context.Context, op exchange.Op, id string, enabled bool, comment string) error {
	if !uuid.MatchString(id) {
		return op.Failed(models.Rejected, "invalid_host_id")
	}
	body := change{enabled, plain.Line(comment, maxComment)}
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
		return t.decide(ctx, op, id, enabled, f)
	}
	return f
}

// decide lets the order in force say what a refusal means. Central answers 400 to an order that is
// in force already, to one that comes too soon after the last change, and to one it will never take.
func (t *Tenant) decide(ctx context.Context, op exchange.Op, id string, enabled bool, refused *models.VendorError) error {
	op.Effect = false
	host, inForce, err := t.look(ctx, op, id)
	opposite := models.HostReleasing
	if !enabled {
		opposite = models.HostIsolating
	}
	switch {
	case err != nil && isUnknownHost(err):
		refused.Class, refused.Code = models.Rejected, "no_such_host"
	case err != nil:
		refused.Class = models.Ambiguous
	case *inForce.Enabled == enabled:
		return nil
	case refused.HTTPStatus == http.StatusBadRequest && t.now().Sub(inForce.changed()).Abs() < recently:
		refused.Class, refused.Code, refused.RetryAfter = models.Throttled, "changed_recently", askAgain
	case refused.HTTPStatus == http.StatusConflict && host.State != opposite:
		refused.Class = models.Ambiguous
	}
	return refused
}
