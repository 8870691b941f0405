package activities

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
)

// Types of application errors that workflows match on, besides the models.VendorClass values.
const (
	ErrSettling     = "settling"  // an earlier attempt is ambiguous; its settle window is not over
	ErrNoTurn       = "no_turn"   // this process asks the vendor for too much already: the vendor's own queue has a turn
	ErrEngaged      = "engaged"   // another call of ours to the number is under way
	ErrPending      = "pending"   // the EDR has not confirmed yet
	ErrActionFailed = "failed"    // the EDR took the action, and says that it came to nothing
	ErrOvertaken    = "overtaken" // an opposite action undid the action, or came after it
)

// applicationError turns a vendor's error into one that Temporal understands: Rejected and Config end the activity,
// Throttled waits as long as the vendor said, Ambiguous waits out the settle window, the rest follows the retry policy.
// The text names vendor, operation and class and nothing of the vendor's answer. Other errors stay as they are.
func applicationError(err error, settle time.Duration) error {
	var v *models.VendorError
	if !errors.As(err, &v) {
		return err
	}
	o := temporal.ApplicationErrorOptions{Details: []any{v.Code}}
	switch v.Class {
	case models.Rejected, models.Config:
		o.NonRetryable = true
	case models.Throttled:
		o.NextRetryDelay = v.RetryAfter
	case models.Ambiguous:
		o.NextRetryDelay = settle
	}
	return temporal.NewApplicationErrorWithOptions(v.Error(), string(v.Class), o)
}

// retryAfter asks Temporal to run the activity again after a pause. Nothing has failed.
func retryAfter(kind, message string, pause time.Duration, details ...any) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{
		NextRetryDelay: max(pause, 50*time.Millisecond), Details: details, Category: temporal.ApplicationErrorCategoryBenign,
	})
}
