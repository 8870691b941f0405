package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// Command gives a command to an incident. The answer says which events it caused. queued is true when no worker
// answered in time: the command is then recorded durably in the workflow's history and will be judged there.
//
// via is the door: "api" or "portal". key is the caller's own name for the request: given again with the same
// command, the answer is the same and there is one effect; with another command it is Invalid. Other errors:
// NotFound when the user may not see the incident, Forbidden when their role may not do this, Conflict when the
// incident does not allow it, Unavailable when the engine does not answer; nothing is recorded then.
func (d *Desk) Command(ctx context.Context, u models.User, via string, ref models.Reference, c incident.Command, key string,
) (a incident.CommandResult, queued bool, err error) {
	body, err := canonical(c)
	if err != nil {
		return incident.CommandResult{}, false, err
	}
	o := incident.CommandRequest{
		CommandContext: incident.CommandContext{RequestID: requestID(u, string(ref), key), Actor: u.Actor(), Via: via, Person: models.PersonOf(u.Email)},
		Fingerprint:    fingerprint(c.Name(), body), Body: body,
	}
	if err := d.admit(ctx, u, ref, c, o); err != nil {
		return incident.CommandResult{}, false, err
	}
	a, queued, err = d.send(ctx, u, ref, c, o)
	switch {
	case err != nil:
		return incident.CommandResult{}, false, err
	case a.Fingerprint != o.Fingerprint:
		return incident.CommandResult{}, false, reused()
	case !queued:
		d.awaitRecorded(ctx, u, ref, a.LastSeq)
	}
	return a, queued, nil
}

// The first pause before the store is looked at after a command, which then doubles, and how long at most.
const (
	recordedFirstLook = 4 * time.Millisecond
	recordedWithin    = time.Second
)

// awaitRecorded waits until the store has an answered command, so that whoever gave it reads what they wrote. The command is
// durable before that: a store that is slow, or down, delays the answer by a second at most and takes nothing from it.
func (d *Desk) awaitRecorded(ctx context.Context, u models.User, ref models.Reference, seq int) {
	ctx, cancel := context.WithTimeout(ctx, recordedWithin)
	defer cancel()
	for pause := recordedFirstLook; ; pause *= 2 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		recorded, err := d.recordedSeq(ctx, u, ref)
		if err != nil && models.KindOf(err) != models.NotFound || recorded >= seq {
			return
		}
	}
}

// recordedSeq returns the number of the incident's last event in the store. NotFound when the user may not see it.
func (d *Desk) recordedSeq(ctx context.Context, u models.User, ref models.Reference) (int, error) {
	if u.Role.Side() == models.SideSOC {
		return d.store.Recorded(ctx, store.SOC, uuid.Nil, ref)
	}
	return d.store.Recorded(ctx, store.Portal, u.ClientID, ref)
}

// admit checks that the user may see the incident and give this command, and records a decision of the client
// before anybody acts on it.
func (d *Desk) admit(ctx context.Context, u models.User, ref models.Reference, c incident.Command, o incident.CommandRequest) error {
	at := d.moment()
	if _, err := d.recordedSeq(ctx, u, ref); err != nil {
		return err
	}
	if err := auth.Allow(c.Name(), u.Role); err != nil {
		return err
	}
	// What is wrong with the command itself is wrong for any incident; the state is the workflow's to judge.
	err := incident.Incident{}.Can(c, o.CommandContext, at)
	if k := models.KindOf(err); k == models.Invalid || k == models.Forbidden {
		return err
	}
	if !incident.IsDecision(c) {
		return nil
	}
	return d.inSight(ctx, u)(func(tx *store.Tx) error {
		return tx.SaveDecision(store.Decision{
			RequestID: o.RequestID, Incident: ref, Command: c.Name(), UserID: u.ID, Fingerprint: o.Fingerprint, At: at,
		})
	})
}

// send asks the workflow and waits a little; without an answer it leaves the same order as a signal.
func (d *Desk) send(ctx context.Context, u models.User, ref models.Reference, c incident.Command, o incident.CommandRequest) (incident.CommandResult, bool, error) {
	a, err := d.update(ctx, ref, c.Name(), o)
	var refused *temporal.ApplicationError
	switch {
	case err == nil:
		return a, false, nil
	case ctx.Err() != nil: // the person went away; what they asked may or may not happen
		return incident.CommandResult{}, false, fmt.Errorf("%s %s: %w", c.Name(), ref, ctx.Err())
	case errors.As(err, &refused):
		return incident.CommandResult{}, false, rejectionOf(c.Name(), refused)
	}
	err = d.signal(ctx, ref, c.Name(), o)
	var gone *serviceerror.NotFound
	switch {
	case errors.As(err, &gone):
		return incident.CommandResult{}, false, d.endedReason(ctx, u, ref)
	case err != nil:
		d.log.WarnContext(ctx, "the engine takes no command", "command", c.Name(), "incident", ref, "error", err.Error())
		return incident.CommandResult{}, false, unavailable()
	}
	return incident.CommandResult{RequestID: o.RequestID, Command: c.Name(), Fingerprint: o.Fingerprint}, true, nil
}

func (d *Desk) update(ctx context.Context, ref models.Reference, name string, o incident.CommandRequest) (incident.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	var a incident.CommandResult
	h, err := d.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		UpdateID: o.RequestID, WorkflowID: ref.WorkflowID(), UpdateName: name, Args: []any{o},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return a, fmt.Errorf("update %s: %w", name, err)
	}
	if err := h.Get(ctx, &a); err != nil {
		return a, fmt.Errorf("update %s: %w", name, err)
	}
	return a, nil
}

func (d *Desk) signal(ctx context.Context, ref models.Reference, name string, o incident.CommandRequest) error {
	ctx, cancel := context.WithTimeout(ctx, signalPatience*d.wait)
	defer cancel()
	if err := d.temporal.SignalWorkflow(ctx, ref.WorkflowID(), "", name, o); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// rejectionOf reads what a workflow said: its type is a kind, its first detail the field.
func rejectionOf(command string, e *temporal.ApplicationError) error {
	switch k := models.Kind(e.Type()); k {
	case models.Invalid, models.NotFound, models.Forbidden, models.Conflict, models.Unauthorized, models.Unavailable:
		var field string
		if e.HasDetails() {
			_ = e.Details(&field) // without a readable field the message stands alone
		}
		return &models.Error{Kind: k, Field: field, Message: e.Message()}
	}
	return fmt.Errorf("%s failed in the workflow: %w", command, e)
}

// endedReason says why an incident has no running workflow: it is over, or it has not started yet.
func (d *Desk) endedReason(ctx context.Context, u models.User, ref models.Reference) error {
	i, err := read(d.inSight(ctx, u), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(ref) })
	switch {
	case err != nil:
		return err
	case i.Phase == incident.PhaseDismissed:
		return models.Errorf(models.Conflict, "the incident is dismissed")
	case i.IsOver():
		return models.Errorf(models.Conflict, "the incident is closed")
	}
	return unavailable()
}

func unavailable() error {
	return models.Errorf(models.Unavailable, "the workflow engine does not answer; ask again")
}
