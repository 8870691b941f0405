package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// messageInput is the input of the activities that send a message, by mail or as a text.
type messageInput = activities.MessageInput

// mail is nil: it only gives the activities their names.
var mail *activities.Mail

// sendMail hands a mail to a mailer. It returns the mailer that refuses our settings meanwhile, or "".
func sendMail(ctx workflow.Context, summary string, patience time.Duration, in activities.MessageInput) (refused string, err error) {
	var sent activities.Sent
	err = workflow.ExecuteActivity(queueContext(ctx, models.QueueMail, summary, patience), mail.SendMail, in).Get(ctx, &sent)
	return sent.Refused, err
}

// sendNoticeMail tells somebody of changes of contacts by mail.
func sendNoticeMail(ctx workflow.Context, patience time.Duration, in activities.NoticeInput) error {
	ctx = queueContext(ctx, models.QueueMail, "tell of changed contacts by mail", patience)
	return finished(ctx, workflow.ExecuteActivity(ctx, mail.SendNoticeMail, in))
}

// sendCheckMail sends a test or a code by mail.
func sendCheckMail(ctx workflow.Context, summary string, patience time.Duration, e notify.Effect) error {
	return finished(ctx, workflow.ExecuteActivity(queueContext(ctx, models.QueueMail, summary, patience), mail.SendCheckMail, e))
}
