package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// Inputs of the activities about calls, under the names the rest of the room uses.
type (
	callInput = activities.CallInput
	callRef   = activities.CallRef
	// placedCall is what the carrier and the ledger say of a call that was asked for.
	placedCall = activities.PlacedCall
)

// errEngaged is the type of the error that says that another call of ours to the number is under way.
const errEngaged = activities.ErrEngaged

// callAttemptWithin bounds one attempt to place a call: one request to the carrier, and the ledger before and after it.
// A worker that is stopped, but not dead, holds a call for so long.
const callAttemptWithin = 15 * time.Second

// phone is nil: it only gives the activities their names.
var phone *activities.Phone

// sendText hands a text to the carrier.
func sendText(ctx workflow.Context, summary string, patience time.Duration, in activities.MessageInput) error {
	return finished(ctx, workflow.ExecuteActivity(queueContext(ctx, models.QueuePhone, summary, patience), phone.SendText, in))
}

// sendNoticeText tells somebody of a changed number by text.
func sendNoticeText(ctx workflow.Context, patience time.Duration, in activities.NoticeInput) error {
	ctx = queueContext(ctx, models.QueuePhone, "tell of a changed number by text", patience)
	return finished(ctx, workflow.ExecuteActivity(ctx, phone.SendNoticeText, in))
}

// sendCheckText sends a test or a code as a text.
func sendCheckText(ctx workflow.Context, summary string, patience time.Duration, e notify.Effect) error {
	return finished(ctx, workflow.ExecuteActivity(queueContext(ctx, models.QueuePhone, summary, patience), phone.SendCheckText, e))
}

// placeCheckCall calls a contact to tell a code.
func placeCheckCall(ctx workflow.Context, summary string, patience time.Duration, in activities.CallInput) error {
	var placed placedCall
	return workflow.ExecuteActivity(queueContext(ctx, models.QueuePhone, summary, patience), phone.PlaceCall, in).Get(ctx, &placed)
}

// placeCall asks the carrier for a call, and returns how it stands: first from the incidents' own task queue, where the
// worker that has the incident begins at once, and then from the carrier's. A canceled request is not tried again; an
// attempt under way is waited for and may succeed. A number that another call of ours uses is not waited for here.
func placeCall(ctx workflow.Context, summary string, patience time.Duration, in activities.CallInput) (placed activities.PlacedCall, err error) {
	o := workflow.GetActivityOptions(queueContext(ctx, models.QueueIncidents, summary, patience))
	o.StartToCloseTimeout = callAttemptWithin
	o.WaitForCancellation = true
	o.RetryPolicy.MaximumAttempts = 1
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), phone.PlaceFirstCall, in).Get(ctx, &placed)
	var app *temporal.ApplicationError
	if isApp := errors.As(err, &app); err == nil || ctx.Err() != nil || isApp && (app.NonRetryable() || app.Type() == errEngaged) {
		return placed, err
	}
	if app != nil && app.NextRetryDelay() > 0 {
		if patience -= app.NextRetryDelay(); patience <= 0 || pause(ctx, app.NextRetryDelay(), "the call is tried again") != nil {
			return placed, err
		}
	}
	o.TaskQueue, o.ScheduleToCloseTimeout = models.QueuePhone, patience
	o.RetryPolicy.MaximumAttempts = 0
	o.RetryPolicy.NonRetryableErrorTypes = []string{errEngaged}
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), phone.PlaceCall, in).Get(ctx, &placed)
	return placed, err
}

// callStatus asks the carrier how a call stands.
func callStatus(ctx workflow.Context, in activities.CallRef) (s models.CallStatus, err error) {
	ctx = queueContext(ctx, models.QueuePhone, "ask the carrier how the call stands", 15*time.Second)
	err = workflow.ExecuteActivity(ctx, phone.ReadCallStatus, in).Get(ctx, &s)
	return s, err
}

// hangUp ends a call.
func hangUp(ctx workflow.Context, in activities.CallRef) error {
	ctx = queueContext(ctx, models.QueuePhone, "hang up", time.Minute)
	return finished(ctx, workflow.ExecuteActivity(ctx, phone.HangUp, in))
}
