package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models/notify"
)

// checkFor is how long a test or a code is tried to be sent: a code is worth nothing later.
const checkFor = 10 * time.Minute

// ChannelCheck sends a test message or a code over one channel of a contact. What became of it is in the ledger; a
// vendor that does not take it is no failure of the workflow.
func ChannelCheck(ctx workflow.Context, run notify.ChannelCheckInput) error {
	if err := sendCheck(ctx, checkFor, run); err != nil {
		workflow.GetLogger(ctx).Warn("channel check not sent", "class", classOf(err))
		return cancelEffect(ctx, cancelInput{Effect: run.Effect})
	}
	return nil
}
