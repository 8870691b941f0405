// Package sophos finds, isolates and releases hosts through Sophos Central's Endpoint API v1, for
// one Central tenant.
//
// It does not decide which host may be isolated or whether an isolation has succeeded: Central's
// "enabled" is only the setting, the endpoint's own isolation status is the fact, and
// State holds one against the other. Source: facts of public clients of the API, among them Cortex
// XSOAR's and Sekoia's; Sophos's own pages are at https://developer.sophos.com/docs/endpoint-v1/1/overview.
package sophos

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/bearer"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	vendor = "sophos"

	// BaseURL is the address that knows where a tenant's data is, used when the credentials name none.
	BaseURL = "https://api.central.sophos.com"

	loginURL = "https://id.sophos.com"
)

var (
	sophosHost = regexp.MustCompile(`^([a-z0-9-]+\.)+sophos\.com$`) // without a port
	code       = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)
	printable  = regexp.MustCompile(`^[!-~]+$`)
)

// Tenant acts on the endpoints of one tenant. It is cheap to make and safe for concurrent use;
// share one value per tenant, because it keeps the tenant's access token. Every error its methods
// return is a *models.VendorError.
type Tenant struct {
	lines
	tokens *bearer.Tokens
	now    func() time.Time

	turn chan struct{} // held by whoever reads or finds the home
	home home
}

// New checks the credentials (values client_id and client_secret) and returns a Tenant. It does
// not contact Sophos. The base URL is optional: "" or BaseURL asks Sophos where the tenant's data is,
// another host of Sophos overrides the answer, and this machine stands for all of Sophos; only then
// the optional value login_url, also of this machine, says where tokens come from. A nil transport means
// http.DefaultTransport, a timeout of 0 means 10 s for each request. An error names the field and
// never its value.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	id, secret := c.Values["client_id"], c.Values["client_secret"]
	switch {
	case !printable.MatchString(id):
		return nil, models.InvalidField("/values/client_id", "is empty or has characters an id never has")
	case !printable.MatchString(secret):
		return nil, models.InvalidField("/values/client_secret", "is empty or has characters a secret never has")
	}
	l, err := newLines(c, transport, timeout)
	if err != nil {
		return nil, err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"token"}, "client_id": {id}, "client_secret": {secret}}
	return &Tenant{lines: l, tokens: bearer.New(l.login, "/api/v2/oauth2/token", form, failure), now: time.Now, turn: make(chan struct{}, 1)}, nil
}

// Capabilities says what Sophos can do: it has no ids for actions, keeps them for endpoints that are
// offline, and tells computers from servers.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Queues: true, Classes: true, Underway: true}
}

// Check reports whether the credentials are those of a tenant and may read its endpoints.
// Config: they are not, or may not.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	_, _, err := t.endpoints(ctx, op, url.Values{"pageSize": {"1"}})
	return err
}

// send makes an authorised request in the tenant's region; body nil sends none. The error is that of
// getting there; everything else is in the exchange.
func (t *Tenant) send(ctx context.Context, op exchange.Op, method, path string, body any) (*exchange.Exchange, error) {
	at, err := t.locate(ctx, op)
	if err != nil {
		return nil, err
	}
	return t.tokens.Do(ctx, op, at.region, exchange.Request{
		Method: method, Path: "/endpoint/v1" + path, Header: http.Header{"X-Tenant-Id": {at.tenant}}, Body: body,
	})
}

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	var body struct { // the token endpoint has words of its own
		Error         string `json:"error"`
		RequestID     string `json:"requestId"`
		CorrelationID string `json:"correlationId"`
		ErrorCode     string `json:"errorCode"`
		TrackingID    string `json:"trackingId"`
	}
	if !ex.OK() && ex.Decode(&body) == nil {
		f.Code = firstWord(body.Error, body.ErrorCode)
		f.RequestID = firstWord(body.RequestID, body.CorrelationID, body.TrackingID)
	}
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("Retry-After")
	}
	return f
}

// firstWord returns the first that has the form of a code, "" when none has.
func firstWord(words ...string) string {
	for _, w := range words {
		if w = strings.ReplaceAll(w, " ", "_"); code.MatchString(w) {
			return w
		}
	}
	return ""
}
