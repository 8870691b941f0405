package v1

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/api/body"
	"github.com/watchfire-mdr/watchfire/api/problem"
)

const (
	maxBody        = 64 << 10 // of every body but alerts and payloads
	maxAlertBody   = 16 << 20
	maxPayloadBody = 8 << 20
	// largeBodies bounds the bytes of all bodies larger than maxBody that this process reads and works on at a time. It
	// fits the largest alerts of two clients while their memory doubles.
	largeBodies = 64 << 20
	// manyValues is how many values an ordinary body holds at most: an alert has a hundred. Such a one is validated to
	// the end, so that its sender reads of every wrong field; of one with more the first wrong field is named.
	manyValues = 1000
)

// bodyLimit returns the bound of the body of a route.
func bodyLimit(route string) int64 {
	switch {
	case strings.HasPrefix(route, "/api/v1/alerts"):
		return maxAlertBody
	case strings.HasPrefix(route, "/api/v1/operator/payloads"):
		return maxPayloadBody
	}
	return maxBody
}

// readBody reads the body of a POST or PUT within its bounds and keeps it for validate and decode. A large one, which
// alone can take much time and memory, waits until its sender's others and those of the process leave it room.
func (s *server) readBody(c *gin.Context) {
	if c.Request.Method != http.MethodPost && c.Request.Method != http.MethodPut {
		return
	}
	limit := bodyLimit(c.FullPath())
	raw, err := io.ReadAll(io.LimitReader(c.Request.Body, maxBody+1))
	switch {
	case err != nil:
		s.refuseBody(c, http.StatusBadRequest, limit)
	case limit > maxBody && (len(raw) > maxBody || countValues(raw) > manyValues):
		s.takeLarge(c, raw, limit)
	case len(raw) > maxBody:
		s.refuseBody(c, http.StatusRequestEntityTooLarge, limit)
	default:
		s.takeBody(c, raw)
	}
}

// takeLarge lets a request with a large body be answered when it is its turn: among those of its client, or of its user of
// the SOC, to be read, and among those of all to be worked on. The turn that it has is for small ones again meanwhile. first
// is what was read of the body.
func (s *server) takeLarge(c *gin.Context, first []byte, limit int64) {
	ctx, who := callerOf(c)
	who.turn.giveBack()
	whose := who.user.ClientID
	if whose == uuid.Nil {
		whose = who.user.ID
	}
	end, err := s.large.begin(ctx, whose)
	if err != nil {
		s.answerError(c, err)
		return
	}
	rest := time.Duration(0)
	defer func() { time.AfterFunc(rest, end) }()
	raw, release, ok := s.readRest(c, first, limit)
	defer release()
	if !ok {
		return
	}
	endWork, err := s.largeWork.begin(ctx, uuid.Nil)
	if err != nil {
		s.answerError(c, err)
		return
	}
	began := time.Now()
	defer func() {
		endWork()
		rest = min(largeRest*time.Since(began), turnWait/2)
	}()
	if s.takeBody(c, raw); !c.IsAborted() {
		c.Next()
	}
}

// readRest reads what is left of a body, if anything is. It answers the request itself and reports false when it refuses
// the body.
func (s *server) readRest(c *gin.Context, first []byte, limit int64) (raw []byte, release func(), ok bool) {
	if len(first) <= maxBody {
		return first, func() {}, true
	}
	c.Request.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), c.Request.Body), c.Request.Body}
	raw, release, refused := body.Read(c.Writer, c.Request, body.Bounds{Limit: limit, Budget: s.bodies})
	if refused != 0 {
		s.refuseBody(c, refused, limit)
	}
	return raw, release, refused == 0
}

// takeBody checks that a body can be read, and keeps it.
func (s *server) takeBody(c *gin.Context, raw []byte) {
	values := countValues(raw)
	if values > maxValues {
		s.answerProblem(c, problem.New(http.StatusRequestEntityTooLarge, "The body holds more than "+strconv.Itoa(maxValues)+" JSON values."))
		return
	}
	if len(raw) > 0 && !isJSON(c.GetHeader("Content-Type")) {
		s.answerProblem(c, problem.New(http.StatusUnsupportedMediaType, "The body must be application/json."))
		return
	}
	if p := checkWellFormed(raw, !s.isForeign(c)); p != nil {
		s.answerProblem(c, *p)
		return
	}
	_, who := callerOf(c)
	who.body, who.values = raw, values
	setCaller(c, who)
}

// isForeign reports whether the body is an event of another maker's, which is not Watchfire's to judge.
func (s *server) isForeign(c *gin.Context) bool {
	return s.spec.operation(c).Operation.OperationID == "receive-ocsf"
}

// refuseBody answers a request whose body was not read to its end.
func (s *server) refuseBody(c *gin.Context, status int, limit int64) {
	detail := "The body cannot be read."
	switch status {
	case http.StatusRequestEntityTooLarge:
		detail = "The body is longer than " + strconv.FormatInt(limit>>10, 10) + " KiB."
	case http.StatusServiceUnavailable:
		detail = "More large bodies came at once than can be read; try again in a moment."
	case http.StatusRequestTimeout:
		detail = "The body did not come in time."
	}
	s.answerProblem(c, problem.New(status, detail))
}

func isJSON(contentType string) bool {
	t, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && t == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
