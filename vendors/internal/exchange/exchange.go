package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// maxBody bounds what is read of an answer, in bytes, where the request does not say. Longer answers are
// cut, which makes them undecodable.
const maxBody = 4 << 20

// Exchange is one request and what came of it. It is the RoundTripper given to an SDK: it
// carries the context, sends the request to the line's host, reads and closes the answer, and
// rejects a second request, so that no SDK can repeat an effect on its own.
// It is used by one goroutine.
type Exchange struct {
	ctx       context.Context // in a field because twilio-go has no other way to pass it
	line      *Line
	used      bool
	most      int64       // bytes that are read of the answer
	cut       bool        // the answer was longer
	connected atomic.Bool // a connection was obtained: bytes may have been sent
	status    int
	header    http.Header
	body      []byte
	err       error // the transport's error, or why the body is incomplete
}

// Client returns an HTTP client over this exchange. It follows no redirects: a redirected
// POST would be a second effect somewhere else.
func (e *Exchange) Client() *http.Client {
	return &http.Client{
		Transport:     e,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Status returns the HTTP status, 0 when no answer arrived.
func (e *Exchange) Status() int { return e.status }

// Header returns the header of the answer, nil when none arrived.
func (e *Exchange) Header() http.Header { return e.header }

// OK reports an answer in the 200s.
func (e *Exchange) OK() bool { return e.status/100 == 2 }

// Cut reports whether the answer was longer than what is read of one.
func (e *Exchange) Cut() bool { return e.cut }

// Decode reads the whole body as one JSON value. Its error never quotes the body.
func (e *Exchange) Decode(into any) error {
	if e.err != nil {
		return e.err
	}
	if json.Unmarshal(e.body, into) != nil {
		return errUndecodable
	}
	return nil
}

// RoundTrip sends req once.
func (e *Exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if e.used {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errSecondRequest
	}
	e.used = true
	ctx, cancel := context.WithTimeout(e.ctx, e.line.timeout)
	defer cancel()
	resp, err := e.line.transport.RoundTrip(e.redirect(ctx, req))
	if err != nil {
		e.err = err
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	e.status, e.header = resp.StatusCode, resp.Header.Clone()
	e.body, e.err = io.ReadAll(io.LimitReader(resp.Body, e.most+1))
	if e.cut = int64(len(e.body)) > e.most; e.cut {
		e.body = e.body[:e.most]
	}
	answer := *resp
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(e.body)), int64(len(e.body))
	return &answer, nil
}

// redirect returns req under ctx, traced, and addressed to the line's host.
func (e *Exchange) redirect(ctx context.Context, req *http.Request) *http.Request {
	out := req.Clone(httptrace.WithClientTrace(ctx, e.trace()))
	base := e.line.base
	out.URL.Scheme, out.URL.Host, out.Host = base.Scheme, base.Host, base.Host
	if prefix := strings.TrimSuffix(base.Path, "/"); prefix != "" {
		out.URL.Path = prefix + out.URL.Path
		if out.URL.RawPath != "" {
			out.URL.RawPath = prefix + out.URL.RawPath
		}
	}
	return out
}

// trace notes whether the latest attempt obtained a connection. http.Transport repeats a POST
// by itself only when nothing of the attempt before was written, so earlier ones do not count.
func (e *Exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { e.connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { e.connected.Store(true) },
	}
}

var (
	errUndecodable   = errors.New("the answer cannot be decoded")
	errSecondRequest = errors.New("an exchange carries one request")
	errNotSent       = errors.New("the request could not be built")
)
