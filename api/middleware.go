package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/api/problem"
	v1 "github.com/watchfire-mdr/watchfire/api/v1"
	"github.com/watchfire-mdr/watchfire/observability"
)

const requestIDHeader = "X-Request-Id"

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// nameRequest gives the answer the caller's own X-Request-Id if that is harmless, else a new one.
func nameRequest(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !requestIDForm.MatchString(id) {
		id = uuid.NewString()
	}
	c.Header(requestIDHeader, id)
}

// setSecurityHeaders keeps browsers from reading more into an answer than it holds, and from asking again without TLS,
// which they heed only where the answer came over TLS. Pages set a policy of their own over this one.
func setSecurityHeaders(c *gin.Context) {
	c.Header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("X-Frame-Options", "DENY")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	c.Header("Cross-Origin-Resource-Policy", "same-origin")
}

// logAccess logs and counts every request by its route, with the ids of its sender and of the token it came with. It logs
// no path, query, header or body, because they may hold personal data.
func logAccess(log *slog.Logger, metrics *observability.Metrics) gin.HandlerFunc {
	return func(c *gin.Context) {
		began := time.Now()
		c.Next()
		took := time.Since(began)
		route := c.FullPath()
		if route == "" {
			route = "unknown"
		}
		metrics.Request(knownMethod(c.Request.Method)+" "+route, c.Writer.Status(), took)
		line := log
		if by, token := v1.SenderOf(c); by != uuid.Nil {
			line = log.With("by", by.String(), "token_id", token.String())
		}
		line.InfoContext(c.Request.Context(), "http", "method", knownMethod(c.Request.Method), "route", route, "status", c.Writer.Status(),
			"ms", float64(took.Microseconds())/1000, "bytes", max(c.Writer.Size(), 0), "request", c.Writer.Header().Get(requestIDHeader))
	}
}

// knownMethod keeps invented methods out of logs and metrics.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "OTHER"
}

// recoverPanic turns a panic into a problem without internals. It logs the stack and only the type of the panic's
// value.
func recoverPanic(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // the one panic that is meant to end the connection
			}
			log.ErrorContext(c.Request.Context(), "a handler panicked", "route", c.FullPath(), "panic", fmt.Sprintf("%T", v),
				"stack", string(debug.Stack()), "request", c.Writer.Header().Get(requestIDHeader))
			if !c.Writer.Written() {
				problem.Write(c.Writer, problem.New(http.StatusInternalServerError, "Something went wrong inside Watchfire."))
			}
			c.Abort()
		}()
		c.Next()
	}
}

// boundBody keeps every handler from reading more than maxBody.
func boundBody(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
}

// The bounds of readOn: as much as an alert twice as long as one may be, and no longer than its client needs to see the
// answer.
const (
	mostReadOn = 2 * maxBody
	readOnFor  = 5 * time.Second
	// leftToServer is how much of a body net/http reads by itself before it answers.
	leftToServer = 256 << 10
)

// readOn answers a request whose body nobody read to its end, and then reads on for a while: a connection that ends while
// its client still sends takes the answer with it.
func readOn(c *gin.Context) {
	body := &requestBody{ReadCloser: c.Request.Body}
	c.Request.Body = body
	c.Next()
	size := c.Request.ContentLength
	switch {
	case body.ended, size >= 0 && size <= leftToServer, size > mostReadOn:
		return
	case c.GetHeader("Expect") != "": // who waits to be told to go on sends nothing now
		return
	}
	control := http.NewResponseController(c.Writer)
	if control.EnableFullDuplex() != nil || control.SetReadDeadline(time.Now().Add(readOnFor)) != nil {
		return
	}
	c.Writer.Flush()
	_, _ = io.CopyN(io.Discard, body.ReadCloser, mostReadOn)
}

// requestBody is a body that knows whether it was read to its end.
type requestBody struct {
	io.ReadCloser
	ended bool
}

// Read reads.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

// decodePath is the one address that pages of another origin may use.
const decodePath = "/api/v1/operator/payloads/decode"

// admitUI lets the pages of a Temporal UI have payloads opened. They send the operator's token themselves: no cookie and
// no other sign of the browser's own counts.
func admitUI(origin string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.URL.Path != decodePath || origin == "" || c.GetHeader("Origin") != origin {
			return
		}
		c.Header("Access-Control-Allow-Origin", origin)
		c.Header("Vary", "Origin")
		c.Header("Cross-Origin-Resource-Policy", "cross-origin")
		if c.Request.Method == http.MethodOptions {
			c.Header("Access-Control-Allow-Methods", http.MethodPost)
			c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
			c.AbortWithStatus(http.StatusNoContent)
		}
	}
}
