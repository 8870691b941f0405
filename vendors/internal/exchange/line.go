// Package exchange carries one HTTP exchange with a vendor and says what its failure means.
// It exists because the vendors' SDKs differ in what they lose on the way: the context, the
// status, the headers, the body of an error. Each SDK is handed an Exchange as its transport
// and the adapter asks the Exchange, not the SDK, what happened. Where there is no SDK, Send makes
// the request.
//
// Wire formats, credentials and error codes of a vendor do not belong here.
package exchange

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// DefaultTimeout bounds one exchange, from dialling to the last byte of the answer.
const DefaultTimeout = 10 * time.Second

// Line is the way to one vendor. It is immutable and safe for concurrent use.
type Line struct {
	base      *url.URL
	transport http.RoundTripper
	timeout   time.Duration
}

// NewLine checks base (see CheckBase) and returns the way to it. A nil transport means
// http.DefaultTransport, whose connections all lines share; any other transport must honour
// net/http/httptrace, or failures before the first byte are not told from later ones.
// A timeout of 0 means DefaultTimeout.
func NewLine(base *url.URL, transport http.RoundTripper, timeout time.Duration) (*Line, error) {
	if err := CheckBase(base); err != nil {
		return nil, err
	}
	if timeout < 0 {
		return nil, errors.New("the timeout is negative")
	}
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if transport == nil {
		transport = http.DefaultTransport
	}
	own := *base
	return &Line{base: &own, transport: transport, timeout: timeout}, nil
}

// Begin returns the exchange for exactly one request. Cancelling ctx ends it, also where the
// SDK that builds the request knows no context.
func (l *Line) Begin(ctx context.Context) *Exchange {
	return &Exchange{ctx: ctx, line: l, most: maxBody}
}

// CheckBase accepts https URLs, and http URLs of this machine, without user, query or
// fragment. A path is kept as a prefix.
func CheckBase(u *url.URL) error {
	switch {
	case u == nil || u.Host == "" || u.Hostname() == "":
		return errors.New("the base URL has no host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the base URL has more than scheme, host and path")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && Loopback(u):
		return nil
	}
	return errors.New("the base URL must be https; http is for the loopback interface only")
}

// Loopback reports whether u points at this machine. Names other than localhost are not
// resolved and count as elsewhere.
func Loopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
