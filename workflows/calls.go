package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// What activities take and give, under the names the rest of the room uses.
type (
	recordInput            = activities.RecordInput
	planInput              = activities.PlanInput
	fallbackInput          = activities.FallbackInput
	reminderInput          = activities.ReminderInput
	cancelInput            = activities.CancelInput
	decisionInput          = activities.DecisionInput
	evaluateAuthorityInput = activities.EvaluateAuthorityInput
	outcomeInput           = activities.OutcomeInput
	messageInput           = activities.MessageInput
	callInput              = activities.CallInput
	callRef                = activities.CallRef
	endpointInput          = activities.EndpointInput
	endpointReport         = activities.EndpointReport
)

// errActionFailed is the type of the error that says that an order came to nothing.
const errActionFailed = activities.ErrActionFailed

// errEngaged is the type of the error that says that another call of ours to the number is under way.
const errEngaged = activities.ErrEngaged

// The receivers are nil: they only give the activities their names.
var (
	records     *activities.Records
	mail        *activities.Mail
	phone       *activities.Phone
	containment *activities.Containment
)

// forever is longer than any incident lives.
const forever = 100 * 365 * 24 * time.Hour

// localContext runs a store activity within the workflow task, again and again until it succeeds or refuses for good. Without
// a bound of its own on the whole, the bound on one attempt would be that too.
func localContext(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout:    5 * time.Second,
		ScheduleToCloseTimeout: forever,
		Summary:                summary,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// activityFor bounds one run of an activity: two mailers may be asked in it, each for a vendor's timeout.
const activityFor = 25 * time.Second

// queueContext runs an activity on a vendor's queue for at most patience, after which the workflow decides anew.
func queueContext(ctx workflow.Context, queue, summary string, patience time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		StartToCloseTimeout:    activityFor,
		ScheduleToCloseTimeout: patience,
		Summary:                summary,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}

// record is no local activity: one of those writes before the workflow task that asked for it is committed. When that
// task is lost, with the worker or with the engine, the next one may see more signals and give the same numbers to other
// events, and the store would keep what never happened instead of what did.
func record(ctx workflow.Context, in activities.RecordInput) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		Summary:             "record " + string(in.Events[0].Type),
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
	return workflow.ExecuteActivity(ctx, records.Record, in).Get(ctx, nil)
}

func hasDecision(ctx workflow.Context, in activities.DecisionInput) (ok bool, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "look up the client's decision"), records.HasDecision, in).Get(ctx, &ok)
	return ok, err
}

func planRecipients(ctx workflow.Context, in activities.PlanInput) (out notify.Plan, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "who is reached for "+string(in.Severity)), records.PlanRecipients, in).Get(ctx, &out)
	return out, err
}

func planFallback(ctx workflow.Context, in activities.FallbackInput) (out notify.Recipient, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "how else is the contact reached"), records.PlanFallback, in).Get(ctx, &out)
	return out, err
}

func planReminder(ctx workflow.Context, in activities.ReminderInput) (at time.Time, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "when is the client open"), records.PlanReminder, in).Get(ctx, &at)
	return at, err
}

func cancelEffect(ctx workflow.Context, in activities.CancelInput) error {
	return workflow.ExecuteLocalActivity(localContext(ctx, "it is not wanted any more"), records.CancelEffect, in).Get(ctx, nil)
}

func setOutcome(ctx workflow.Context, in activities.OutcomeInput) error {
	return workflow.ExecuteLocalActivity(localContext(ctx, "note "+in.Outcome), records.SetOutcome, in).Get(ctx, nil)
}

// sendMessage hands a message to the vendor of its channel.
func sendMessage(ctx workflow.Context, summary string, patience time.Duration, in activities.MessageInput) error {
	if in.Notification.Channel == models.ChannelSMS {
		return workflow.ExecuteActivity(queueContext(ctx, models.QueuePhone, summary, patience), phone.SendText, in).Get(ctx, nil)
	}
	return workflow.ExecuteActivity(queueContext(ctx, models.QueueMail, summary, patience), mail.SendMail, in).Get(ctx, nil)
}

// sendCheck tries one channel of a contact.
func sendCheck(ctx workflow.Context, patience time.Duration, in notify.ChannelCheckInput) error {
	summary := "send a " + string(in.Effect.Purpose) + " over " + string(in.Channel)
	switch in.Channel {
	case models.ChannelEmail:
		return workflow.ExecuteActivity(queueContext(ctx, models.QueueMail, summary, patience), mail.SendCheckMail, in.Effect).Get(ctx, nil)
	case models.ChannelSMS:
		return workflow.ExecuteActivity(queueContext(ctx, models.QueuePhone, summary, patience), phone.SendCheckText, in.Effect).Get(ctx, nil)
	default:
		call := activities.CallInput{Effect: in.Effect, RingFor: time.Duration(in.RingFor)}
		return workflow.ExecuteActivity(queueContext(ctx, models.QueuePhone, summary, patience), phone.PlaceCall, call).Get(ctx, nil)
	}
}

// placeCall asks the carrier for a call. Canceled, it is not tried again; what was begun is waited for, and may succeed.
// A line that is taken by another call of ours is not waited for here.
func placeCall(ctx workflow.Context, summary string, patience time.Duration, in activities.CallInput) (id string, err error) {
	o := workflow.GetActivityOptions(queueContext(ctx, models.QueuePhone, summary, patience))
	o.WaitForCancellation = true
	o.RetryPolicy.NonRetryableErrorTypes = []string{errEngaged}
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), phone.PlaceCall, in).Get(ctx, &id)
	return id, err
}

func callStatus(ctx workflow.Context, in activities.CallRef) (s models.CallStatus, err error) {
	ctx = queueContext(ctx, models.QueuePhone, "ask the carrier how the call stands", 15*time.Second)
	err = workflow.ExecuteActivity(ctx, phone.ReadCallStatus, in).Get(ctx, &s)
	return s, err
}

func hangUp(ctx workflow.Context, in activities.CallRef) error {
	ctx = queueContext(ctx, models.QueuePhone, "hang up", time.Minute)
	return workflow.ExecuteActivity(ctx, phone.HangUp, in).Get(ctx, nil)
}

func findDevice(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointReport, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "find the one agent of endpoint "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.FindDevice, in).Get(ctx, &seen)
	return seen, err
}

func sendAction(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) error {
	ctx = queueContext(ctx, models.QueueEDR, string(in.Effect.Purpose)+" endpoint "+in.Effect.Endpoint, patience)
	return workflow.ExecuteActivity(ctx, containment.SendAction, in).Get(ctx, nil)
}

// readState reads how an endpoint stands.
func readState(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointReport, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "look at "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.ReadState, in).Get(ctx, &seen)
	return seen, err
}

// checkEDR tries a client's EDR connection. Somebody waits for the answer, so it is tried for as long as they do.
func checkEDR(ctx workflow.Context, run models.EDRCheckInput) (out models.EDRCheck, err error) {
	ctx = queueContext(ctx, models.QueueEDR, "try the EDR connection", 20*time.Second)
	err = workflow.ExecuteActivity(ctx, containment.CheckConnection, run.ClientID).Get(ctx, &out)
	return out, err
}

// evaluateAuthority asks what the client's response authority says.
func evaluateAuthority(ctx workflow.Context, in activities.EvaluateAuthorityInput) (out authority.Ruling, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "what the response authority says"), records.EvaluateAuthority, in).Get(ctx, &out)
	return out, err
}

// confirmState waits up to patience for the EDR's own word. The activity fails and is run again until then.
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
