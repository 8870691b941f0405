package hooks

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"

	"github.com/watchfire-mdr/watchfire/api/body"
)

// The bounds of the vendors' bodies that this process holds at a time: bytes of all that are read or worked on. Nobody
// is known before the whole body is read, so a stranger may fill them, and no more. Calls have their own.
const (
	callBodies = 8 << 20
	mailBodies = 16 << 20
)

// bodyWithin is how long a body may take: Twilio gives up after 15 seconds.
const bodyWithin = 10 * time.Second

// readBody reads a request's body up to a limit, and holds a part of a budget until release is called. It answers the
// request itself and reports false when the body is refused.
func readBody(c *gin.Context, limit int64, budget *semaphore.Weighted) (raw []byte, release func(), ok bool) {
	raw, release, refused := body.Read(c.Writer, c.Request, body.Bounds{Limit: limit, Within: bodyWithin, Budget: budget})
	if refused == http.StatusServiceUnavailable {
		c.Header("Retry-After", "1")
	}
	if refused != 0 {
		c.AbortWithStatus(refused)
	}
	return raw, release, refused == 0
}
