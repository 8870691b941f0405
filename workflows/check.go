package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// checkWithin is how long sending a test or a code is tried: a code is worth nothing later.
const checkWithin = 10 * time.Minute

// ChannelCheck sends a test message or a code over one channel of a contact. The ledger says what became of it; a
// vendor that does not take it is no failure of the workflow.
func ChannelCheck(ctx workflow.Context, in notify.ChannelCheckInput) error {
	if err := requireOwn(ctx, in.Effect.Workflow); err != nil {
		return err
	}
	if err := sendCheck(ctx, in); err != nil {
		workflow.GetLogger(ctx).Warn("channel check not sent", "class", classOf(err))
		return cancelEffect(ctx, cancelInput{Effect: in.Effect})
	}
	return nil
}

// sendCheck tries one channel of a contact.
func sendCheck(ctx workflow.Context, in notify.ChannelCheckInput) error {
	summary := "send a " + string(in.Effect.Purpose) + " over " + string(in.Channel)
	switch in.Channel {
	case models.ChannelEmail:
		return sendCheckMail(ctx, summary, checkWithin, in.Effect)
	case models.ChannelSMS:
		return sendCheckText(ctx, summary, checkWithin, in.Effect)
	default:
		return placeCheckCall(ctx, summary, checkWithin, callInput{Effect: in.Effect, RingFor: time.Duration(in.RingFor)})
	}
}
