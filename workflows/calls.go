package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
)

// What activities take and give, under the names the rest of the room uses.
type (
	recordInput   = activities.RecordInput
	planInput     = activities.PlanInput
	fallbackInput = activities.FallbackInput
	remindInput   = activities.RemindInput
	cancelInput   = activities.CancelInput
	decidedInput  = activities.DecidedInput
	ruleInput     = activities.RuleInput
	outcomeInput  = activities.OutcomeInput
	messageInput  = activities.MessageInput
	callInput     = activities.CallInput
	callRef       = activities.CallRef
	endpointInput = activities.EndpointInput
	endpointSeen  = activities.EndpointSeen
)

// errFailed is the type of the error that says that an order came to nothing.
const errFailed = activities.ErrFailed

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

// local runs a store activity within the workflow task, again and again until it succeeds or refuses for good. Without
// a bound of its own on the whole, the bound on one attempt would be that too.
func local(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout:    5 * time.Second,
		ScheduleToCloseTimeout: forever,
		Summary:                summary,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// activityFor bounds one run of an activity: two mailers may be asked in it, each for a vendor's timeout.
const activityFor = 25 * time.Second

// remote runs an activity on a vendor's queue for at most patience, after which the workflow decides anew.
func remote(ctx workflow.Context, queue, summary string, patience time.Duration) workflow.Context {
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

func decided(ctx workflow.Context, in activities.DecidedInput) (ok bool, err error) {
	err = workflow.ExecuteLocalActivity(local(ctx, "look up the client's decision"), records.Decided, in).Get(ctx, &ok)
	return ok, err
}

func plan(ctx workflow.Context, in activities.PlanInput) (out models.Plan, err error) {
	err = workflow.ExecuteLocalActivity(local(ctx, "who is reached for "+string(in.Severity)), records.Plan, in).Get(ctx, &out)
	return out, err
}

func fallback(ctx workflow.Context, in activities.FallbackInput) (out models.Reach, err error) {
	err = workflow.ExecuteLocalActivity(local(ctx, "how else is the contact reached"), records.Fallback, in).Get(ctx, &out)
	return out, err
}

func remindAt(ctx workflow.Context, in activities.RemindInput) (at time.Time, err error) {
	err = workflow.ExecuteLocalActivity(local(ctx, "when is the client open"), records.RemindAt, in).Get(ctx, &at)
	return at, err
}

func cancelEffect(ctx workflow.Context, in activities.CancelInput) error {
	return workflow.ExecuteLocalActivity(local(ctx, "it is not wanted any more"), records.Cancel, in).Get(ctx, nil)
}

func outcome(ctx workflow.Context, in activities.OutcomeInput) error {
	return workflow.ExecuteLocalActivity(local(ctx, "note "+in.Outcome), records.Outcome, in).Get(ctx, nil)
}

// send hands a message to the vendor of its channel.
func send(ctx workflow.Context, summary string, patience time.Duration, in activities.MessageInput) error {
	if in.Notice.Channel == models.ChannelSMS {
		return workflow.ExecuteActivity(remote(ctx, models.QueuePhone, summary, patience), phone.Text, in).Get(ctx, nil)
	}
	return workflow.ExecuteActivity(remote(ctx, models.QueueMail, summary, patience), mail.Send, in).Get(ctx, nil)
}

// check tries one channel of a contact.
func check(ctx workflow.Context, patience time.Duration, in models.CheckRun) error {
	summary := "send a " + string(in.Effect.Purpose) + " over " + string(in.Channel)
	switch in.Channel {
	case models.ChannelEmail:
		return workflow.ExecuteActivity(remote(ctx, models.QueueMail, summary, patience), mail.Check, in.Effect).Get(ctx, nil)
	case models.ChannelSMS:
		return workflow.ExecuteActivity(remote(ctx, models.QueuePhone, summary, patience), phone.CheckText, in.Effect).Get(ctx, nil)
	default:
		call := activities.CallInput{Effect: in.Effect, RingFor: time.Duration(in.RingFor)}
		return workflow.ExecuteActivity(remote(ctx, models.QueuePhone, summary, patience), phone.Place, call).Get(ctx, nil)
	}
}

// placeCall asks the carrier for a call. Canceled, it is not tried again; what was begun is waited for, and may succeed.
// A line that is taken by another call of ours is not waited for here.
func placeCall(ctx workflow.Context, summary string, patience time.Duration, in activities.CallInput) (id string, err error) {
	o := workflow.GetActivityOptions(remote(ctx, models.QueuePhone, summary, patience))
	o.WaitForCancellation = true
	o.RetryPolicy.NonRetryableErrorTypes = []string{errEngaged}
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), phone.Place, in).Get(ctx, &id)
	return id, err
}

func callStatus(ctx workflow.Context, in activities.CallRef) (s models.CallStatus, err error) {
	ctx = remote(ctx, models.QueuePhone, "ask the carrier how the call stands", 15*time.Second)
	err = workflow.ExecuteActivity(ctx, phone.Status, in).Get(ctx, &s)
	return s, err
}

func hangup(ctx workflow.Context, in activities.CallRef) error {
	ctx = remote(ctx, models.QueuePhone, "hang up", time.Minute)
	return workflow.ExecuteActivity(ctx, phone.Hangup, in).Get(ctx, nil)
}

func resolve(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointSeen, err error) {
	ctx = remote(ctx, models.QueueEDR, "find the one agent of endpoint "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.Resolve, in).Get(ctx, &seen)
	return seen, err
}

func change(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) error {
	ctx = remote(ctx, models.QueueEDR, string(in.Effect.Purpose)+" endpoint "+in.Effect.Endpoint, patience)
	return workflow.ExecuteActivity(ctx, containment.Change, in).Get(ctx, nil)
}

// look reads how an endpoint stands.
func look(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointSeen, err error) {
	ctx = remote(ctx, models.QueueEDR, "look at "+in.Effect.Endpoint, patience)
	err = workflow.ExecuteActivity(ctx, containment.Look, in).Get(ctx, &seen)
	return seen, err
}

// checkEDR tries a client's EDR connection. Somebody waits for the answer, so it is tried for as long as they do.
func checkEDR(ctx workflow.Context, run models.EDRCheckRun) (out models.EDRCheck, err error) {
	ctx = remote(ctx, models.QueueEDR, "try the EDR connection", 20*time.Second)
	err = workflow.ExecuteActivity(ctx, containment.CheckConnection, run.ClientID).Get(ctx, &out)
	return out, err
}

// rule asks what the client's response authority says.
func rule(ctx workflow.Context, in activities.RuleInput) (out models.Ruling, err error) {
	err = workflow.ExecuteLocalActivity(local(ctx, "what the response authority says"), records.Rule, in).Get(ctx, &out)
	return out, err
}

// confirm waits up to patience for the EDR's own word. The activity fails and is run again until then.
func confirm(ctx workflow.Context, patience time.Duration, in activities.EndpointInput) (seen activities.EndpointSeen, err error) {
	ctx = remote(ctx, models.QueueEDR, "wait for the EDR to confirm "+in.Effect.Endpoint+" "+string(in.Desired), patience)
	err = workflow.ExecuteActivity(ctx, containment.Confirm, in).Get(ctx, &seen)
	if err == nil {
		return seen, nil
	}
	if last, ok := activities.SeenIn(err); ok {
		seen = last
	}
	return seen, err
}
