package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// Inputs of the activities that only touch the store, under the names the rest of the room uses.
type (
	recordInput            = activities.RecordInput
	notifyInput            = activities.NotifyInput
	seqInput               = activities.SeqInput
	planInput              = activities.PlanInput
	fallbackInput          = activities.FallbackInput
	reminderInput          = activities.ReminderInput
	cancelInput            = activities.CancelInput
	decisionInput          = activities.DecisionInput
	senderInput            = activities.SenderInput
	statementInput         = activities.StatementInput
	evaluateAuthorityInput = activities.EvaluateAuthorityInput
	agreedBefore           = activities.AgreedBefore
	foundStatement         = activities.Statement
	commandInput           = activities.CommandInput
	noticeInput            = activities.NoticeInput
	recordedInput          = activities.RecordedInput
)

// errDiverged is the type of the error that says that the store has another history, and errRefused of the one that says
// that it does not take the events.
const (
	errDiverged = activities.ErrDiverged
	errRefused  = activities.ErrRefused
)

// notifyTries is how often events and their mails are tried together. If that fails, the events go by themselves.
const notifyTries = 4

// records is nil: it only gives the activities their names.
var records *activities.Records

// record appends events to the store. It is no local activity: a local activity writes before the workflow task that
// asked for it is committed. When that task is lost, with the worker or with the engine, the next task may see more
// signals and give the same numbers to other events, and the store would keep events that never happened.
func record(ctx workflow.Context, in activities.RecordInput) error {
	summary := "record how calls ended"
	if len(in.Events) > 0 {
		summary = "record " + string(in.Events[0].Type)
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		Summary:             summary,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
	return finished(ctx, workflow.ExecuteActivity(ctx, records.Record, in))
}

// notifyContacts appends events to the store and hands the mails that follow from them to a mailer. A worker that waits for
// one shows that it lives.
func notifyContacts(ctx workflow.Context, in activities.NotifyInput) (out activities.Notified, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: attemptWithin,
		HeartbeatTimeout:    5 * time.Second,
		Summary:             fmt.Sprintf("record %s, mail %d contacts", in.Events[0].Type, len(in.Mails)),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second, MaximumAttempts: notifyTries,
		},
	})
	err = workflow.ExecuteActivity(ctx, mail.Notify, in).Get(ctx, &out)
	return out, err
}

// failureOf returns a vendor's answer as the error that SendMail would have returned.
func failureOf(f activities.Failure) error {
	return temporal.NewApplicationErrorWithOptions(f.Message, string(f.Class), temporal.ApplicationErrorOptions{NextRetryDelay: f.RetryAfter})
}

// findCommand returns the result of a command that the store has the events of, or nil.
func findCommand(ctx workflow.Context, in activities.CommandInput) (out *incident.CommandResult, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "look up whether the command was carried out before"), records.FindCommand, in).Get(ctx, &out)
	return out, err
}

// readRecorded returns the incident as the store has it.
func readRecorded(ctx workflow.Context, in activities.RecordedInput) (out activities.Recorded, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "read the incident from the store"), records.ReadRecorded, in).Get(ctx, &out)
	return out, err
}

// lastRecorded returns the Seq of the last event of the incident in the store.
func lastRecorded(ctx workflow.Context, in seqInput) (seq int, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "ask how far the store has the incident"), records.LastRecorded, in).Get(ctx, &seq)
	return seq, err
}

// findDecision looks up the client's own row behind a decision.
func findDecision(ctx workflow.Context, in activities.DecisionInput) (out activities.Decision, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "look up the client's decision"), records.FindDecision, in).Get(ctx, &out)
	return out, err
}

// mayNotAct asks whether a user of the SOC lost the right to act since they sent a command.
func mayNotAct(ctx workflow.Context, in activities.SenderInput) (out bool, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "look up whether the sender may still act"), records.MayNotAct, in).Get(ctx, &out)
	return out, err
}

// findStatement looks up the row behind what a contact is said to have said.
func findStatement(ctx workflow.Context, in activities.StatementInput) (out activities.Statement, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "look up what the contact said"), records.FindStatement, in).Get(ctx, &out)
	return out, err
}

// planRecipients returns who is reached, how and when.
func planRecipients(ctx workflow.Context, in activities.PlanInput) (out notify.Plan, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "plan who is reached for "+string(in.Severity)), records.PlanRecipients, in).Get(ctx, &out)
	return out, err
}

// planFallback returns over which other channel a contact is reached; none when the channel is "".
func planFallback(ctx workflow.Context, in activities.FallbackInput) (out notify.Recipient, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "plan how else the contact is reached"), records.PlanFallback, in).Get(ctx, &out)
	return out, err
}

// planReminder moves a reminder into the client's business hours.
func planReminder(ctx workflow.Context, in activities.ReminderInput) (at time.Time, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "find the client's next business hours"), records.PlanReminder, in).Get(ctx, &at)
	return at, err
}

// beginContactNotice gathers the changes of contacts that a notice tells of, and returns who is told.
func beginContactNotice(ctx workflow.Context, n notify.ContactNotice) (all []notify.NoticeRecipient, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "gather changes of contacts"), records.BeginContactNotice, n).Get(ctx, &all)
	return all, err
}

// endContactNotice says that everybody was told.
func endContactNotice(ctx workflow.Context, n notify.ContactNotice) error {
	return workflow.ExecuteLocalActivity(localContext(ctx, "end the notice"), records.EndContactNotice, n).Get(ctx, nil)
}

// cancelEffect keeps an effect from being tried.
func cancelEffect(ctx workflow.Context, in activities.CancelInput) error {
	return workflow.ExecuteLocalActivity(localContext(ctx, "cancel a message that is no longer wanted"), records.CancelEffect, in).Get(ctx, nil)
}

// evaluateAuthority asks the client's response authority for a ruling.
func evaluateAuthority(ctx workflow.Context, in activities.EvaluateAuthorityInput) (out authority.Ruling, err error) {
	err = workflow.ExecuteLocalActivity(localContext(ctx, "evaluate the response authority"), records.EvaluateAuthority, in).Get(ctx, &out)
	return out, err
}
