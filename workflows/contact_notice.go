package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// noticeWithin is how long telling somebody of changed contacts is tried.
const noticeWithin = 3 * 24 * time.Hour

// ContactNotice tells a client's admins, and the old and new addresses of the contacts, of changes of contacts. The
// ledger says what became of each message; one that cannot be sent keeps no other back.
func ContactNotice(ctx workflow.Context, n notify.ContactNotice) error {
	if err := requireOwn(ctx, n.WorkflowID()); err != nil {
		return err
	}
	all, err := beginContactNotice(ctx, n)
	if err != nil {
		return err
	}
	sending := workflow.NewWaitGroup(ctx)
	for _, to := range all {
		sending.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer sending.Done()
			send, in := sendNoticeMail, noticeInput{About: n, To: to}
			if to.Channel == models.ChannelSMS {
				send = sendNoticeText
			}
			if err := send(ctx, noticeWithin, in); err != nil {
				workflow.GetLogger(ctx).Warn("somebody was not told of changed contacts", "class", classOf(err))
				_ = cancelEffect(ctx, cancelInput{Effect: n.Effect(to)}) // fails for good only when the row is settled
			}
		})
	}
	sending.Wait(ctx)
	return endContactNotice(ctx, n)
}
