package exchange

import (
	"net/http"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// maxRetryAfter bounds what a vendor's header may make us wait.
const maxRetryAfter = time.Hour

// CodeOpposite is our word for an action that waits for its opposite, which is under way.
const CodeOpposite = "opposite_pending"

// afterOpposite is how long after such an action the next try is worth it: a sensor that is online needs seconds.
const afterOpposite = 15 * time.Second

// Op names what was tried at a vendor.
type Op struct {
	Vendor string // "twilio"
	Name   string // "place call"
	Effect bool   // false for a pure read: repeating it is safe, so nothing about it is Ambiguous
}

// Uncertain is the class of an outcome nobody knows: Ambiguous for an effect, Transient for a
// read.
func (o Op) Uncertain() models.VendorClass {
	if o.Effect {
		return models.Ambiguous
	}
	return models.Transient
}

// Failed makes the error of an operation that was never sent.
func (o Op) Failed(class models.VendorClass, code string) *models.VendorError {
	return &models.VendorError{Class: class, Vendor: o.Vendor, Op: o.Name, Code: code}
}

// Opposed makes the error of an action that was never sent, because its opposite is under way.
func (o Op) Opposed() *models.VendorError { return Opposed(o.Failed(models.Throttled, CodeOpposite)) }

// Opposed turns a failure into that of an action which the vendor did not take, because its opposite is under way. That
// is no rejection: the same action is taken once the opposite is through, so it is Throttled, to be tried again soon.
func Opposed(failed *models.VendorError) *models.VendorError {
	failed.Class, failed.Code, failed.RetryAfter = models.Throttled, CodeOpposite, afterOpposite
	return failed
}

// Failure says what the exchange means when it did not bring what the adapter wanted. An
// answer in the 200s that cannot be used is uncertain. The vendor's code, its trace id and
// RetryAfter are left to the adapter.
func (e *Exchange) Failure(op Op) *models.VendorError {
	failure := &models.VendorError{
		Class: e.class(op), Vendor: op.Vendor, Op: op.Name, HTTPStatus: e.status, Cause: e.err,
	}
	switch {
	case !e.used:
		failure.Cause = errNotSent
	case failure.Cause == nil && e.OK():
		failure.Cause = errUndecodable
	}
	return failure
}

func (e *Exchange) class(op Op) models.VendorClass {
	switch {
	case !e.used:
		return models.Config
	case e.status == 0 && !e.connected.Load():
		return models.Transient
	case e.status == 0:
		return op.Uncertain()
	}
	return ClassOfStatus(e.status, op)
}

// ClassOfStatus returns what an HTTP status means for op.
func ClassOfStatus(status int, op Op) models.VendorClass {
	switch {
	case status == http.StatusTooManyRequests:
		return models.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return models.Config
	case status == http.StatusRequestTimeout:
		return op.Uncertain()
	case status/100 == 4:
		return models.Rejected
	}
	return op.Uncertain()
}

// Date returns the vendor's time of the answer, that of our own clock when it did not say. Times that the vendor tells
// are judged by it alone: clocks differ.
func (e *Exchange) Date(ours func() time.Time) time.Time {
	if at, err := http.ParseTime(e.header.Get("Date")); err == nil {
		return at
	}
	return ours()
}

// RetryAfter reads how long the vendor asks to wait from the first of the named headers that
// makes sense, whichever form it has: seconds from now, an HTTP date, or a moment in seconds
// or milliseconds since 1970. The vendor's own Date is the clock where it is sent. The result
// is 0 (unknown) to one hour.
func (e *Exchange) RetryAfter(names ...string) time.Duration {
	now := e.Date(time.Now)
	for _, name := range names {
		if wait, ok := waitOf(e.header.Get(name), now); ok {
			return min(max(wait, 0), maxRetryAfter)
		}
	}
	return 0
}

func waitOf(value string, now time.Time) (time.Duration, bool) {
	const epochSeconds, epochMillis = 1e9, 1e11 // smaller numbers are durations, or seconds
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now), true
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return 0, false
	case n >= epochMillis:
		return time.UnixMilli(n).Sub(now), true
	case n >= epochSeconds:
		return time.Unix(n, 0).Sub(now), true
	}
	return time.Duration(n) * time.Second, true
}
