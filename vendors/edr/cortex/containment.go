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

// codeNoAction is our word for a rejection that has no code of Cortex's, see madeNoAction.
const codeNoAction = "no_action"

// target is the state an endpoint shall have, and its meaning for the state it has.
type target struct {
	op             exchange.Op
	path           string
	done, on, away models.HostState // there, on the way there, on the way to the opposite
}

// Isolate asks Cortex to cut one endpoint off the network and returns the id of the action. nil
// means Cortex took the action or already had one: the endpoint is isolated when State says so,
// which for a disconnected one may be days later. Cortex keeps no comment with an isolation.
//
// The endpoint is looked at first: an isolated one is left alone and one that is about to be is
// waited for; the id is then "", because Cortex does not tell it. Ambiguous: read the state
// before anything else. Throttled: a release is under way. Rejected: no such host, the agent was
// uninstalled or Cortex makes no action for it. Config: the key's role may not isolate.
func (t *Tenant) Isolate(ctx context.Context, id, _ string) (string, error) {
	return t.pursue(ctx, id, target{
		op:   exchange.Op{Vendor: vendor, Name: "isolate", Effect: true},
		path: "/endpoints/isolate", done: models.HostIsolated, on: models.HostIsolating, away: models.HostReleasing,
	})
}

// Release asks Cortex to let one endpoint back on the network. It is the mirror of Isolate.
func (t *Tenant) Release(ctx context.Context, id, _ string) (string, error) {
	return t.pursue(ctx, id, target{
		op:   exchange.Op{Vendor: vendor, Name: "release", Effect: true},
		path: "/endpoints/unisolate", done: models.HostNormal, on: models.HostReleasing, away: models.HostIsolating,
	})
}

// pursue sends the action unless the endpoint is there or on its way. Someone may be quicker between
// the look and the action; Cortex then makes none, or reports a conflict, and a second look decides.
func (t *Tenant) pursue(ctx context.Context, id string, w target) (string, error) {
	if !hostIDForm.MatchString(id) {
		return "", w.op.Failed(models.Rejected, "invalid_host_id")
	}
	if fulfilled, err := t.fulfilled(ctx, id, w); fulfilled || err != nil {
		return "", err
	}
	action, failed := t.sendAction(ctx, id, w)
	if failed == nil {
		return action, nil
	}
	conflict := failed.HTTPStatus == http.StatusConflict
	if !conflict && failed.Code != codeNoAction {
		return "", failed
	}
	fulfilled, err := t.fulfilled(ctx, id, w)
	switch {
	case fulfilled || opposed(err):
		return "", err
	case conflict:
		failed.Class = models.Ambiguous // no page of the reference says what it means
	}
	return "", failed
}

// opposed reports whether the endpoint was seen on its way to the opposite.
func opposed(err error) bool {
	var failed *models.VendorError
	return errors.As(err, &failed) && failed.Code == exchange.CodeOpposite
}

// fulfilled looks whether the endpoint is where it shall be, or on its way. An error means that
// no action may be sent, or that the endpoint could not be looked at. A disconnected endpoint
// may be sent actions: Cortex keeps them.
func (t *Tenant) fulfilled(ctx context.Context, id string, w target) (bool, error) {
	e, err := t.look(ctx, id)
	if err != nil {
		return false, err
	}
	switch {
	case e.uninstalled():
		return false, w.op.Failed(models.Rejected, "uninstalled")
	case e.state() == w.away:
		return false, w.op.Opposed()
	}
	return e.state() == w.done || e.state() == w.on, nil
}

// sendAction names one endpoint, in the form of the request that cannot hold more.
func (t *Tenant) sendAction(ctx context.Context, id string, w target) (string, *models.VendorError) {
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

// madeNoAction reports the rejection Cortex gives as a 500 when no endpoint takes the action,
// because it is unknown, cannot be isolated or is so already. It has no code of its own, only
// this phrase; should Cortex word it differently, the 500 is an outcome nobody knows, as any
// other. Source: issue 30 of github.com/ebarti/cortex-xdr-client.
func (r rejection) madeNoAction() bool {
	var extra string
	return json.Unmarshal(r.Extra, &extra) == nil && strings.HasPrefix(extra, "can't create group action id for ")
}
