// Package body reads the bodies of requests within bounds: of one body, and of all that the process holds at a time. It
// answers no request and knows no route.
package body

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"
)

// firstPart is how much of a body is read at first; it fits what Twilio sends. Then twice as much each time.
const firstPart = 2 << 10

// Bounds are those of a body that is read.
type Bounds struct {
	Limit  int64         // bytes
	Within time.Duration // the time it may take; 0 leaves the server's own
	// Budget has the bytes of all bodies that are read or worked on at a time.
	Budget *semaphore.Weighted
}

// Read reads a request's body, and holds a part of the budget as large as what it read until release is called, which is
// never nil. refused is 0, or the status of the answer: 413 when there is more, 503 when the budget is used up, 408 and
// 400 when the body does not come.
func Read(w http.ResponseWriter, r *http.Request, b Bounds) (body []byte, release func(), refused int) {
	held := int64(0)
	release = func() { b.Budget.Release(held) }
	refuse := func(status int) ([]byte, func(), int) {
		release()
		return nil, func() {}, status
	}
	if r.ContentLength > b.Limit {
		return refuse(http.StatusRequestEntityTooLarge)
	}
	timer := http.NewResponseController(w)
	if b.Within > 0 {
		_ = timer.SetReadDeadline(time.Now().Add(b.Within)) // a test without a connection has no deadlines
	}
	for {
		if len(body) == cap(body) {
			larger := max(firstPart, min(2*held, b.Limit+1))
			if !b.Budget.TryAcquire(larger) {
				return refuse(http.StatusServiceUnavailable)
			}
			body = append(make([]byte, 0, larger), body...)
			b.Budget.Release(held)
			held = larger
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		var tooLong *http.MaxBytesError
		switch {
		case int64(len(body)) > b.Limit, errors.As(err, &tooLong):
			return refuse(http.StatusRequestEntityTooLarge)
		case errors.Is(err, io.EOF):
			_ = timer.SetReadDeadline(time.Time{}) // the work on the body has its own time
			return body, release, 0
		case errors.Is(err, os.ErrDeadlineExceeded):
			return refuse(http.StatusRequestTimeout)
		case err != nil:
			return refuse(http.StatusBadRequest)
		}
	}
}
