package workflows

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
)

// rejection turns an error of models into one that the caller of an Update can read: its type is the kind, its only
// detail the field. It is not retried.
func rejection(err error) error {
	var e *models.Error
	if !errors.As(err, &e) {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(e.Message, string(e.Kind), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{e.Field}, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// classOf returns the vendor class of a failed activity: Rejected, Config or Transient. An activity that ran out of
// time or failed for a reason of our own is Transient, because it is tried again.
func classOf(err error) models.VendorClass {
	switch c := models.VendorClass(typeOf(err)); c {
	case models.Rejected, models.Config:
		return c
	}
	return models.Transient
}

// againAfter returns the pause before a vendor is asked again after a failure: the policy's, or the longer one that the
// vendor asked for.
func againAfter(p models.Policy, err error) time.Duration {
	pause := time.Duration(p.TryAgainEvery)
	var app *temporal.ApplicationError
	if errors.As(err, &app) && models.VendorClass(app.Type()) == models.Throttled {
		pause = max(pause, app.NextRetryDelay())
	}
	return pause
}

// waitedInQueue reports whether an activity ran out of time without any failure of its own: it waited for its turn, or
// for a worker. That says nothing about the vendor.
func waitedInQueue(err error) bool {
	var app *temporal.ApplicationError
	var late *temporal.TimeoutError
	return errors.As(err, &late) && !errors.As(err, &app) && late.TimeoutType() != enumspb.TIMEOUT_TYPE_START_TO_CLOSE
}

// failureText returns the class and code of a failure, for the event log.
func failureText(err error) string {
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &app):
		return app.Message()
	case errors.Is(err, converter.ErrEncodingIsNotSupported):
		return "the answer was not sealed by this provider for this request"
	}
	return "no answer in time"
}

// mayHaveChanged reports whether a failed activity may have changed something at the vendor. One that ran out of time
// may have been under way: Temporal does not say.
func mayHaveChanged(err error) bool {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return true
	}
	switch models.VendorClass(app.Type()) {
	case models.Rejected, models.Config, models.Transient, models.Throttled:
		return false
	}
	return true
}

// isEngaged reports whether a call was not placed because another call of ours to the number is under way.
func isEngaged(err error) bool { return typeOf(err) == errEngaged }

// actionFailed reports whether an EDR said that an action it had accepted came to nothing.
func actionFailed(err error) bool { return typeOf(err) == errActionFailed }

// isOvertaken reports whether an opposite action came after an action that the EDR had accepted.
func isOvertaken(err error) bool { return typeOf(err) == errOvertaken }

// isSettling reports whether an action waits until another one on the device, whose answer was lost, is settled.
func isSettling(err error) bool { return typeOf(err) == errSettling }

// typeOf returns the type of the application error in err, or "".
func typeOf(err error) string {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return ""
	}
	return app.Type()
}
