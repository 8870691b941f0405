package mde

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	maxComment = 500                          // runes
	codeBusy   = "ActiveRequestAlreadyExists" // Defender's word: an action on the device is not finished
)

// Isolate asks Defender to cut one device off the network and returns the machine action. nil
// means Defender accepted the action or already had it: the device is isolated when State says so.
// An earlier isolation that is pending or done is adopted instead of sent again. A release
// that has not begun is cancelled first; where that is all there was to do, the action is "".
//
// Ambiguous: read the state before anything else. Throttled: a release can no longer be stopped.
// Rejected: unknown device or unsupported system. Config: missing permission.
func (t *Tenant) Isolate(ctx context.Context, id, comment string) (action string, err error) {
	op := exchange.Op{Vendor: vendor, Name: "isolate", Effect: true}
	return t.change(ctx, op, id, newChange(isolate, comment))
}

// Release asks Defender to let one device back on the network. It is the mirror of Isolate.
// Isolations that still wait, also duplicates made elsewhere, would run after the release, so
// that they are cancelled first.
func (t *Tenant) Release(ctx context.Context, id, comment string) (action string, err error) {
	op := exchange.Op{Vendor: vendor, Name: "release", Effect: true}
	return t.change(ctx, op, id, newChange(unisolate, comment))
}

// change is the action wanted on a device, and the one against it.
type change struct {
	kind, opposite string
	path           string
	Comment        string `json:"Comment"`
	Isolation      string `json:"IsolationType,omitempty"`
}

func newChange(kind, comment string) change {
	w := change{kind: kind, opposite: unisolate, path: "/isolate", Comment: models.CleanLine(comment, maxComment), Isolation: "Full"}
	if kind == unisolate {
		w.opposite, w.path, w.Isolation = isolate, "/unisolate", ""
	}
	if w.Comment == "" { // the service wants one
		w.Comment = "Watchfire"
	}
	return w
}

func (t *Tenant) change(ctx context.Context, op exchange.Op, id string, w change) (string, error) {
	if !machineID.MatchString(id) {
		return "", op.Failed(models.Rejected, "invalid_host_id")
	}
	before, err := t.actions(ctx, op, id)
	if err != nil {
		return "", err
	}
	left, err := t.clear(ctx, op, before, w)
	if err != nil {
		return "", err
	}
	if known, done := left.adopt(w); done {
		return known, nil
	}
	if len(left) < len(before) && left.settled() != w.opposite { // it never came to what is to be undone
		return "", nil
	}
	placed, err := t.place(ctx, op, id, w)
	var failed *models.VendorError
	if !errors.As(err, &failed) || (failed.Class != models.Ambiguous && failed.Code != codeBusy) {
		return placed, err
	}
	return t.lookAgain(ctx, op, id, w, left, failed)
}

// clear cancels what is pending for the opposite, and returns the actions without it.
func (t *Tenant) clear(ctx context.Context, op exchange.Op, all actions, w change) (actions, error) {
	var left actions
	for _, a := range all {
		if a.Type != w.opposite || a.state() != models.ActionPending {
			left = append(left, a)
			continue
		}
		if a.Status != "Pending" { // the sensor is at it
			return nil, op.Opposed()
		}
		if err := t.cancel(ctx, op, a.ID, w.Comment); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// cancel ends an action that has not begun.
func (t *Tenant) cancel(ctx context.Context, op exchange.Op, id, comment string) error {
	body := map[string]string{"Comment": comment}
	ex, err := t.send(ctx, op, http.MethodPost, "/api/machineactions/"+id+"/cancel", body)
	if err != nil {
		return err
	}
	var a action
	switch {
	case ex.Status() == http.StatusBadRequest: // too late
		return op.Opposed()
	case !ex.OK() || ex.Decode(&a) != nil || !strings.EqualFold(a.ID, id):
		return failure(ex, op)
	}
	if a.Status != "Cancelled" {
		return op.Failed(models.Ambiguous, "not_cancelled")
	}
	return nil
}

// adopt returns the action that already does what is wanted: the one that did it, else the one
// that is about to. A device of which nothing is known counts as not released, since actions are
// not kept for ever.
func (all actions) adopt(w change) (id string, done bool) {
	for _, a := range all {
		if a.Type == w.kind && a.state() == models.ActionSucceeded && all.settled() == w.kind {
			return a.ID, true
		}
	}
	if under := all.pending(w.kind); len(under) > 0 {
		return under[0].ID, true
	}
	return "", false
}

// place sends the action for exactly one device.
func (t *Tenant) place(ctx context.Context, op exchange.Op, id string, w change) (string, error) {
	ex, err := t.send(ctx, op, http.MethodPost, "/api/machines/"+id+w.path, w)
	if err != nil {
		return "", err
	}
	var a action
	if !ex.OK() || ex.Decode(&a) != nil {
		return "", failure(ex, op)
	}
	if !actionID.MatchString(a.ID) || !strings.EqualFold(a.Machine, id) || a.Type != w.kind { // accepted, but what?
		return "", failure(ex, op)
	}
	return a.ID, nil
}

// lookAgain finds out what an uncertain action did: nothing is ever sent twice.
func (t *Tenant) lookAgain(ctx context.Context, op exchange.Op, id string, w change, before actions, failed *models.VendorError) (string, error) {
	after, err := t.actions(ctx, op, id)
	if err == nil {
		if known, done := after.adopt(w); done {
			return known, nil
		}
		if failed.Code == codeBusy && len(after.pending(w.opposite)) > len(before.pending(w.opposite)) {
			return "", exchange.Opposed(failed) // somebody else was quicker
		}
	}
	failed.Class = models.Ambiguous
	return "", failed
}
