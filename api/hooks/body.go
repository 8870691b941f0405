package hooks

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"
)

// The bounds of the vendors' bodies that this process holds at a time: bytes of all that are read or worked on. Nobody
// is known before the whole body is read, so a stranger may fill them, and no more. Calls have their own.
const (
	callBodies = 8 << 20
	mailBodies = 16 << 20
)

// firstBody is how much of a body is read at first; it fits what Twilio sends. Then twice as much each time.
const firstBody = 2 << 10

// bodyWithin is how long a body may take: Twilio gives up after 15 seconds.
const bodyWithin = 10 * time.Second

// readBody reads a request's body up to a limit, and holds a part of a budget as large as what it read until release is
// called. It answers the request itself and reports false when there is more (413), when the budget is used up (503), and
// when the body does not come (408, 400).
func readBody(c *gin.Context, limit int64, budget *semaphore.Weighted) (body []byte, release func(), ok bool) {
	held := int64(0)
	refuse := func(status int) ([]byte, func(), bool) {
		budget.Release(held)
		refuseUnread(c, status)
		return nil, nil, false
	}
	if c.Request.ContentLength > limit {
		return refuse(http.StatusRequestEntityTooLarge)
	}
	timer := http.NewResponseController(c.Writer)
	_ = timer.SetReadDeadline(time.Now().Add(bodyWithin)) // a test without a connection has no deadlines
	for {
		if len(body) == cap(body) {
			larger := max(firstBody, min(2*held, limit+1))
			if !budget.TryAcquire(larger) {
				c.Header("Retry-After", "1")
				return refuse(http.StatusServiceUnavailable)
			}
			body = append(make([]byte, 0, larger), body...)
			budget.Release(held)
			held = larger
		}
		n, err := c.Request.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return refuse(http.StatusRequestEntityTooLarge)
		case errors.Is(err, io.EOF):
			_ = timer.SetReadDeadline(time.Time{}) // the work on the body has its own time
			return body, func() { budget.Release(held) }, true
		case errors.Is(err, os.ErrDeadlineExceeded):
			return refuse(http.StatusRequestTimeout)
		case err != nil:
			return refuse(http.StatusBadRequest)
		}
	}
}

// refuseUnread refuses a request whose body is not read, and ends its connection: the server would read the rest.
func refuseUnread(c *gin.Context, status int) {
	c.Header("Connection", "close")
	c.AbortWithStatus(status)
}
