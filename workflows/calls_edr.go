package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
)

// Inputs and reports of the activities about endpoints, under the names the rest of the room uses.
type (
	endpointInput  = activities.EndpointInput
	endpointReport = activities.EndpointReport
)

// successorIn returns the device that has the name of one that is gone from the EDR, as a failed activity says, or "".
func successorIn(err error) string { return activities.SuccessorIn(err) }

// errActionFailed is the type of the error that says that an action came to nothing.
const errActionFailed = activities.ErrActionFailed

// errOvertaken is the type of the error that says that an opposite action came after an action.
const errOvertaken = activities.ErrOvertaken

// errSettling is the type of the error that says that an earlier action is not settled.
const errSettling = activities.ErrSettling

// containment is nil: it only gives the activities their names.
var containment *activities.Containment

// findDevice finds the one device that an endpoint's host name names.
func findDevice(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointReport, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "find the one agent of endpoint "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.FindDevice, in).Get(ctx, &seen)
	return seen, err
}

// sendAction asks the EDR to isolate or release a device.
func sendAction(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (sent activities.ActionSent, err error) {
	ctx = queueContext(ctx, models.QueueEDR, string(in.Effect.Purpose)+" endpoint "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.SendAction, in).Get(ctx, &sent)
	return sent, err
}

// readState reads the isolation state of a device.
func readState(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointReport, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "read the state of "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.ReadState, in).Get(ctx, &seen)
	return seen, err
}

// confirmState waits up to patience for the EDR's own word that a device is as desired. The activity fails and is run
// again until then. After a failure it returns the last report all the same, if there is one.
func confirmState(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointReport, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "wait for the EDR to confirm "+in.Effect.Endpoint+" "+string(in.Desired), patience)
	err = workflow.ExecuteActivity(ctx, containment.ConfirmState, in).Get(ctx, &seen)
	if err == nil {
		return seen, nil
	}
	if last, ok := activities.ReportIn(err); ok {
		seen = last
	}
	return seen, err
}

// checkEDR tries a client's EDR connection. A person waits for the answer, so it is tried for as long as they do.
func checkEDR(ctx workflow.Context, in models.EDRCheckInput) (out models.EDRCheck, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "try the EDR connection", 20*time.Second)
	err = workflow.ExecuteActivity(ctx, containment.CheckConnection, in.ClientID).Get(ctx, &out)
	return out, err
}
