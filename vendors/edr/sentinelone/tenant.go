// Package sentinelone finds, isolates and releases hosts through SentinelOne's management API
// v2.1, for one API token and the sites it reaches.
//
// It does not decide which host may be isolated or whether an isolation has succeeded:
// SentinelOne's count of affected agents is acceptance, only State tells. An action's filter that
// names no agent reaches every agent in the token's scope, so one id is always in it.
// Source: facts of public clients of the API; SentinelOne's own pages (api-doc in the console,
// category agents) need a login.
package sentinelone

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	vendor = "sentinelone"
	root   = "/web/api/v2.1"
	cloud  = ".sentinelone.net" // every console's domain, one host name per tenant

	maxToken = 4096 // bytes
)

var apiToken = regexp.MustCompile(`^[!-~]+$`)

// Tenant acts on the agents one API token reaches. It is immutable and safe for concurrent use.
// Every error its methods return is a *models.VendorError.
type Tenant struct {
	line  *exchange.Line
	token string
}

// New checks the credentials (value api_token, base URL of the client's console) and returns a
// Tenant. It does not contact SentinelOne. The token is only ever sent to SentinelOne's domain or,
// for simulators, to the loopback interface. A nil transport means http.DefaultTransport, a timeout
// of 0 means 10 s for each request. An error names the field and never its value.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	token := c.Values["api_token"]
	if !apiToken.MatchString(token) || len(token) > maxToken {
		return nil, models.InvalidField("/values/api_token", "is empty or has characters a token never has")
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, models.InvalidField("/base_url", "is not a URL")
	}
	line, err := exchange.NewLine(base, transport, timeout)
	if err != nil {
		return nil, models.InvalidField("/base_url", "%s", err)
	}
	console := strings.HasSuffix(strings.ToLower(base.Host), cloud) && strings.Trim(base.Path, "/") == ""
	if !console && !exchange.Loopback(base) {
		return nil, models.InvalidField("/base_url", "is not a SentinelOne console")
	}
	return &Tenant{line: line, token: token}, nil
}

// Capabilities says what SentinelOne can do: it has no ids for isolations, keeps them for agents
// that are offline, and tells machine type and tags.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Queues: true, Classes: true, Tags: true, Underway: true}
}

// Check reports whether the token is accepted and may read agents. Config: it is not, or may not.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	_, _, err := t.agents(ctx, op, url.Values{"limit": {"1"}})
	return err
}

// send makes one authorised request; body nil sends none. A token is fixed, so a rejected one is
// not renewed. The exchange holds the result.
func (t *Tenant) send(ctx context.Context, method, path string, body any) *exchange.Exchange {
	header := http.Header{"Authorization": {"ApiToken " + t.token}}
	return t.line.Send(ctx, exchange.Request{Method: method, Path: root + path, Header: header, Body: body})
}

// envelope is the outside of every answer. Data is nil when the field is absent.
type envelope[T any] struct {
	Data       *T         `json:"data"`
	Errors     []apiError `json:"errors"`
	Pagination struct {
		NextCursor string `json:"nextCursor"`
	} `json:"pagination"`
}

// apiError is one failure. The code is the HTTP status and four more digits.
type apiError struct {
	Code int `json:"code"`
}

func (e apiError) status() int { return e.Code / 10_000 }

// read takes an answer in the 200s apart. Errors inside it make it a failure.
func read[T any](ex *exchange.Exchange, op exchange.Op) (data T, next string, err error) {
	var a envelope[T]
	if !ex.OK() || ex.Decode(&a) != nil {
		return data, "", failure(ex, op)
	}
	if len(a.Errors) > 0 {
		f := failure(ex, op)
		f.Code, f.Cause = code(a.Errors[0].Code), nil
		f.Class = exchange.ClassOfStatus(a.Errors[0].status(), op)
		f.RetryAfter = retryAfter(ex, f.Class)
		return data, "", f
	}
	if a.Data == nil {
		return data, "", failure(ex, op)
	}
	return *a.Data, a.Pagination.NextCursor, nil
}

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	f.RequestID = ex.Header().Get("X-Rqid")
	var body envelope[json.RawMessage]
	if !ex.OK() && ex.Decode(&body) == nil && len(body.Errors) > 0 {
		f.Code = code(body.Errors[0].Code)
	}
	f.RetryAfter = retryAfter(ex, f.Class)
	return f
}

func retryAfter(ex *exchange.Exchange, class models.VendorClass) time.Duration {
	if class != models.Throttled {
		return 0
	}
	return ex.RetryAfter("Retry-After")
}

func code(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
