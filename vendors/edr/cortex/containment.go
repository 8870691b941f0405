package cortex

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// Our words for refusals that have no code of Cortex's.
const (
	codeNothingOrdered = "nothing_ordered"  // see nothingOrdered
	codeOpposite       = "opposite_pending" // an order for the opposite is under way
)

// wish is where an endpoint shall be, and what that means for where it is.
type wish struct {
	op             exchange.Op
	path           string
	done, on, away models.HostState // there, on the way there, on the way to the opposite
}

// Isolate asks Cortex to cut one endpoint off the network and returns the id of the order. nil
// means Cortex took the order or already had one: the endpoint is isolated when State says so,
// which for a disconnected one may be days later. Cortex keeps no comment with an isolation.
//
// The endpoint is looked at first: an isolated one is left alone and one that is about to be is
// waited for; the id is then "", because Cortex does not tell it. Ambiguous: read the state
// before anything else. Rejected: no such host, a release is under way, the agent was uninstalled
// or Cortex makes no order for it. Config: the key's role may not isolate.
func (t *Tenant) Isolate(ctx context.Context, id, _ string) (string, error) {
	return t.pursue(ctx, id, wish{
		op:   exchange.Op{Vendor: vendor, Name: "isolate", Effect: true},
		path: "/endpoints/isolate", done: models.HostIsolated, on: models.HostIsolating, away: models.HostReleasing,
	})
}

// Release asks Cortex to let one endpoint back on the network. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, _ string) (string, error) {
	return t.pursue(ctx, id, wish{
		op:   exchange.Op{Vendor: vendor, Name: "release", Effect: true},
		path: "/endpoints/unisolate", done: models.HostNormal, on: models.HostReleasing, away: models.HostIsolating,
	})
}

// pursue orders what is wished unless it is so or under way. Someone may be quicker between the
// look and the order; Cortex then makes none, or reports a conflict, and a second look decides.
func (t *Tenant) pursue(ctx context.Context, id string, w wish) (string, error) {
	if !hostIDForm.MatchString(id) {
		return "", w.op.Failed(models.Rejected, "invalid_host_id")
	}
	if fulfilled, err := t.fulfilled(ctx, id, w); fulfilled || err != nil {
		return "", err
	}
	action, refused := t.order(ctx, id, w)
	if refused == nil {
		return action, nil
	}
	conflict := refused.HTTPStatus == http.StatusConflict
	if !conflict && refused.Code != codeNothingOrdered {
		return "", refused
	}
	fulfilled, err := t.fulfilled(ctx, id, w)
	switch {
	case fulfilled || opposed(err):
		return "", err
	case conflict:
		refused.Class = models.Ambiguous // no page of the reference says what it means
	}
	return "", refused
}

// opposed reports that the endpoint was seen on its way to the opposite of what was wished.
func opposed(err error) bool {
	var refused *models.VendorError
	return errors.As(err, &refused) && refused.Code == codeOpposite
}

// fulfilled looks whether the endpoint is where it shall be, or on its way. An error means that
// nothing may be ordered, or that the endpoint could not be looked at. A disconnected endpoint
// may be given orders: Cortex keeps them.
func (t *Tenant) fulfilled(ctx context.Context, id string, w wish) (bool, error) {
	e, err := t.look(ctx, id)
	if err != nil {
		return false, err
	}
	switch {
	case e.uninstalled():
		return false, w.op.Failed(models.Rejected, "uninstalled")
	case e.state() == w.away:
		return false, w.op.Failed(models.Rejected, codeOpposite)
	}
	return e.state() == w.done || e.state() == w.on, nil
}

// order names one endpoint, in the form of the request that cannot hold more.
func (t *Tenant) order(ctx context.Context, id string, w wish) (string, *models.VendorError) {
	ex := t.send(ctx, w.path, struct {
		ID string `json:"endpoint_id"`
	}{id})
	var answer struct {
		Reply struct {
			Action number  `json:"action_id"`
			Count  *number `json:"endpoints_count"`
		} `json:"reply"`
	}
	if !ex.OK() || ex.Decode(&answer) != nil || !actionForm.MatchString(string(answer.Reply.Action)) {
		return "", failure(ex, w.op)
	}
	if n := answer.Reply.Count; n != nil && *n != "1" { // taken, but for how many?
		return "", failure(ex, w.op)
	}
	return string(answer.Reply.Action), nil
}

// number is a whole number that the reference shows as a number and as text.
type number string

// UnmarshalJSON takes both.
func (n *number) UnmarshalJSON(raw []byte) error {
	var v json.Number // takes digits in quotes, too
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	*n = number(v)
	return nil
}

// nothingOrdered reports the refusal Cortex gives as a 500 when no endpoint takes the order,
// because it is unknown, cannot be isolated or is so already. It has no code of its own, only
// this phrase; should Cortex word it differently, the 500 is an outcome nobody knows, as any
// other. Source: issue 30 of github.com/ebarti/cortex-xdr-client.
func (r refusal) nothingOrdered() bool {
	var extra string
	return json.Unmarshal(r.Extra, &extra) == nil && strings.HasPrefix(extra, "can't create group action id for ")
}
