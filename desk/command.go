package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// Command sends a command to an incident and returns the events it caused. queued is true when no worker answered in
// time, or the store does not have the events in time: the command is then recorded durably in the workflow's history,
// and a worker will judge it.
//
// via is the entrance: "api" or "portal". key is the caller's own name for the request: the same command under it again
// has no second effect and gets the same answer. Invalid: the command itself is wrong, or the key was used for another
// request. NotFound: the user may not see the incident. Forbidden: the user's role may not send the command. TooMany:
// a share of the user, the incident or the client is used up. Conflict: the incident rejects the command. Unavailable:
// the engine does not answer, and nothing is recorded.
func (d *Desk) Command(ctx context.Context, u models.User, via string, ref models.Reference, c incident.Command, key string,
) (result incident.CommandResult, queued bool, err error) {
	body, err := canonicalJSON(c)
	if err != nil {
		return incident.CommandResult{}, false, err
	}
	request := incident.CommandRequest{
		CommandContext: incident.CommandContext{RequestID: requestID(u, string(ref), key), Actor: u.Actor(), Via: via, Person: u.Person()},
		Fingerprint:    incident.Fingerprint(c.Name(), body), Body: body,
	}
	seq, known, err := d.admitCommand(ctx, u, ref, c, request)
	switch {
	case err != nil:
		return incident.CommandResult{}, false, err
	case known != nil:
		return *known, false, nil
	}
	request.Recorded = seq
	// What was said is judged, and a refusal noted, though the person went away meanwhile.
	judged, done := context.WithTimeout(context.WithoutCancel(ctx), (1+forOne*signalPatience)*d.wait+recordedWithin)
	defer done()
	result, queued, err = d.sendCommand(judged, u, ref, c, request)
	switch {
	case err != nil:
		return incident.CommandResult{}, false, d.refused(judged, u, request, err)
	case result.Fingerprint != request.Fingerprint:
		return incident.CommandResult{}, false, keyReused()
	case queued:
		return result, true, nil
	}
	if recorded := d.awaitRecorded(ctx, u, ref, request.RequestID); recorded != nil {
		return *recorded, false, nil
	}
	return incident.CommandResult{RequestID: request.RequestID, Command: c.Name(), Fingerprint: request.Fingerprint}, true, nil
}

// refused notes that a decision of the client was refused, so that nobody else can make something of it later, and returns
// why it was. Where the incident could not judge it, it stands.
func (d *Desk) refused(ctx context.Context, u models.User, request incident.CommandRequest, why error) error {
	switch models.KindOf(why) {
	case models.Invalid, models.NotFound, models.Forbidden, models.Conflict:
	default:
		return why
	}
	if !incident.IsDecision(u.Role.Side()) {
		return why
	}
	err := d.inSight(ctx, u)(func(tx *store.Tx) error { return tx.RefuseDecision(request.RequestID, request.Recorded) })
	if err != nil {
		return fmt.Errorf("note a refusal: %w", err)
	}
	return why
}

// awaitRecorded looks into the store after the first pause, then each time that twice as long has passed, and gives up
// after the second.
const (
	recordedFirstLook = 4 * time.Millisecond
	recordedWithin    = 3 * time.Second
)

// awaitRecorded waits until the store has the events of this very request, so that its sender reads them, and returns
// the result as recorded. The command is durable already, so a store that is slow, or down, delays the answer by
// recordedWithin at most; nil then.
func (d *Desk) awaitRecorded(ctx context.Context, u models.User, ref models.Reference, request string) *incident.CommandResult {
	ctx, cancel := context.WithTimeout(ctx, recordedWithin)
	defer cancel()
	as, client := sight(u)
	began := time.Now()
	for pause := recordedFirstLook; ; pause = time.Since(began) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		r, err := d.store.By(u).RecordedCommand(ctx, as, client, ref, request)
		if r.Known != nil || err != nil && models.KindOf(err) != models.NotFound {
			return r.Known
		}
	}
}

// admitCommand checks that the user may see the incident and send this command, and not too often. It records a
// decision of the client before anybody acts on it. It returns the number of the incident's last event in the store,
// and the result of a request that was carried out before.
func (d *Desk) admitCommand(ctx context.Context, u models.User, ref models.Reference, c incident.Command, request incident.CommandRequest,
) (seq int, known *incident.CommandResult, err error) {
	as, client := sight(u)
	var found store.Recording
	if judgeCommand(u, c, request, store.Recording{Now: time.Now()}) != nil { // a refusal takes and holds up nobody's share
		found, err = d.store.By(u).RecordedCommand(ctx, as, client, ref, request.RequestID)
		if err == nil {
			err = judgeCommand(u, c, request, found)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	err = d.store.By(u).AdmitCommand(ctx, as, client, ref, request.RequestID, func(r store.Recording) (wanted bool, err error) {
		found = r
		return r.Known == nil, judgeCommand(u, c, request, r)
	}, limitsOfCommand(u, ref, c.Name())...)
	if err != nil || found.Known != nil || !incident.IsDecision(u.Role.Side()) {
		return found.Seq, found.Known, err
	}
	return found.Seq, nil, d.inSight(ctx, u)(func(tx *store.Tx) error {
		if err := requireAnother(tx, u, ref, c); err != nil {
			return err
		}
		return tx.SaveDecision(store.Decision{
			RequestID: request.RequestID, Incident: ref, Command: c.Name(), UserID: u.ID, Fingerprint: request.Fingerprint, At: found.Now,
			Said: store.Said{Role: u.Role, Person: request.Person, Via: request.Via, Body: string(request.Body), Seq: found.Seq},
		})
	})
}

// judgeCommand returns why a user may not send a command, whatever the state of the incident is, which the workflow
// judges: of what the store knows of it, only an earlier request under the same key counts.
func judgeCommand(u models.User, c incident.Command, request incident.CommandRequest, r store.Recording) error {
	if err := auth.Allow(c.Name(), u.Role); err != nil {
		return err
	}
	switch {
	case r.Known != nil && r.Known.Fingerprint != request.Fingerprint:
		return keyReused()
	case r.Known != nil:
		return nil
	}
	// A command that is wrong in itself is wrong for every incident.
	err := incident.Incident{}.Can(c, request.CommandContext, r.Now)
	if k := models.KindOf(err); k == models.Invalid || k == models.Forbidden {
		return err
	}
	if err := incident.CheckNew(c); err != nil {
		return err
	}
	return models.CheckTexts(c) // at the door alone: a workflow takes what older versions let in
}

// requireAnother refuses an approval of somebody who may be the person who approved before, see store.Tx.AreOne. The
// workflow judges it again.
func requireAnother(tx *store.Tx, u models.User, ref models.Reference, c incident.Command) error {
	if _, is := c.(*incident.Approve); !is {
		return nil
	}
	i, err := tx.Incident(ref)
	if err != nil {
		return err
	}
	one, err := tx.AreOne(u.ID, incident.AgreedBefore(c, i))
	if err == nil && one {
		return incident.CountsAsOne()
	}
	return err
}

// sendCommand sends the workflow an Update and waits a little. Without an answer it leaves the same request as a
// Signal, and returns true.
func (d *Desk) sendCommand(ctx context.Context, u models.User, ref models.Reference, c incident.Command, request incident.CommandRequest) (incident.CommandResult, bool, error) {
	if d.expectsAnswer() {
		result, err := d.sendUpdate(ctx, ref, c.Name(), request)
		d.noteAnswer(err)
		var rejection *temporal.ApplicationError
		switch {
		case err == nil:
			return result, false, nil
		case errors.As(err, &rejection):
			return incident.CommandResult{}, false, rejectionOf(c.Name(), rejection)
		}
	}
	err := d.sendSignal(ctx, ref, c.Name(), request)
	var gone *serviceerror.NotFound
	switch {
	case errors.As(err, &gone):
		return incident.CommandResult{}, false, d.endedReason(ctx, u, ref)
	case err != nil:
		d.log.WarnContext(ctx, "the engine takes no command", "command", c.Name(), "incident", ref, "error", err.Error())
		return incident.CommandResult{}, false, engineUnavailable()
	}
	return incident.CommandResult{RequestID: request.RequestID, Command: c.Name(), Fingerprint: request.Fingerprint}, true, nil
}

// After so many updates in a row that no worker answered in time the workers have more to do than they can, and every
// update that nobody waits for to the end is one more thing for them: then commands are left as Signals at once, and one
// update after each pause is tried.
const (
	unansweredInRow = 5
	tryUpdateEvery  = 250 * time.Millisecond
)

// expectsAnswer reports whether a worker may answer an update in time.
func (d *Desk) expectsAnswer() bool {
	if d.unanswered.Load() < unansweredInRow {
		return true
	}
	last, now := d.triedAt.Load(), time.Now().UnixNano()
	return now-last >= int64(tryUpdateEvery) && d.triedAt.CompareAndSwap(last, now)
}

// noteAnswer notes whether an update was answered in time, whatever the answer is.
func (d *Desk) noteAnswer(err error) {
	var late *client.WorkflowUpdateServiceTimeoutOrCanceledError
	if errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded) {
		d.unanswered.Add(1)
		return
	}
	d.unanswered.Store(0)
}

// busyPause is how long a command that the workflow cannot take at the moment waits before it is sent again, at first;
// then twice as long each time.
const busyPause = 100 * time.Millisecond

// sendUpdate sends an Update, and again while the workflow is busy. A command that the workflow would not take and then
// did not answer about is not left as a Signal, which would keep it busy: its sender repeats it under the same key.
func (d *Desk) sendUpdate(ctx context.Context, ref models.Reference, name string, request incident.CommandRequest) (incident.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	var busy error
	for pause := busyPause; ; pause *= 2 {
		result, err := d.tryUpdate(ctx, ref, name, request)
		var rejection *temporal.ApplicationError
		switch {
		case errors.As(err, &rejection) && models.Kind(rejection.Type()) == models.TooMany:
			busy = err
		case err != nil && busy != nil && ctx.Err() != nil:
			return result, busy
		default:
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, busy
		case <-time.After(pause):
		}
	}
}

func (d *Desk) tryUpdate(ctx context.Context, ref models.Reference, name string, request incident.CommandRequest) (incident.CommandResult, error) {
	var result incident.CommandResult
	h, err := d.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		UpdateID: fmt.Sprintf("%s-%d", request.RequestID, request.Recorded), WorkflowID: ref.WorkflowID(), UpdateName: name, Args: []any{request},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return result, fmt.Errorf("update %s: %w", name, err)
	}
	if err := h.Get(ctx, &result); err != nil {
		return result, fmt.Errorf("update %s: %w", name, err)
	}
	return result, nil
}

func (d *Desk) sendSignal(ctx context.Context, ref models.Reference, name string, request incident.CommandRequest) error {
	ctx, cancel := context.WithTimeout(ctx, forOne*signalPatience*d.wait)
	defer cancel()
	if err := d.temporal.SignalWorkflow(ctx, ref.WorkflowID(), "", name, request); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// rejectionOf reads the error of a workflow that rejected a command: its type is a kind, its first detail the field.
func rejectionOf(command string, e *temporal.ApplicationError) error {
	switch k := models.Kind(e.Type()); k {
	case models.Invalid, models.NotFound, models.Forbidden, models.Conflict, models.Unauthorized, models.Unavailable, models.TooMany:
		var field string
		if e.HasDetails() {
			_ = e.Details(&field) // without a readable field the message stands alone
		}
		if field == "/request_id" { // the caller knows it by another name
			return keyReused()
		}
		return &models.Error{Kind: k, Field: field, Message: e.Message()}
	}
	return fmt.Errorf("%s failed in the workflow: %w", command, e)
}

// endedReason returns why an incident has no running workflow: the incident is over, or its workflow has not started
// yet.
func (d *Desk) endedReason(ctx context.Context, u models.User, ref models.Reference) error {
	i, err := store.Run(d.inSight(ctx, u), func(tx *store.Tx) (incident.Incident, error) { return tx.Incident(ref) })
	switch {
	case err != nil:
		return err
	case i.Phase == incident.PhaseDismissed:
		return models.Errorf(models.Conflict, "the incident is dismissed")
	case i.IsOver():
		return models.Errorf(models.Conflict, "the incident is closed")
	}
	return engineUnavailable()
}

func engineUnavailable() error {
	return models.Errorf(models.Unavailable, "the workflow engine does not answer; try again")
}
