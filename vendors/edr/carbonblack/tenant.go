// Package carbonblack finds, quarantines and releases devices through Carbon Black Cloud's
// Devices API v6, for one organisation.
//
// It does not decide which device may be isolated or whether an isolation has succeeded: Carbon
// Black's empty 204 is acceptance, only State tells. The API says whether a device is quarantined
// and nothing in between, so an action under way cannot be seen.
// Source: developer.carbonblack.com, Devices API and Rate Limiting.
package carbonblack

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const vendor = "carbonblack"

var (
	orgKey = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
	apiKey = regexp.MustCompile(`^[0-9A-Za-z_-]{1,256}$`) // the id and the secret; a slash would part them elsewhere
)

// Tenant acts on the devices of one organisation. It is immutable and safe for concurrent use.
// Every error its methods return is a *models.VendorError.
type Tenant struct {
	line *exchange.Line
	root string // the path of the organisation
	auth string
	now  func() time.Time
}

// New checks the credentials (values org_key, api_id and api_secret, base URL of the client's
// console) and returns a Tenant. It does not contact Carbon Black. The secret is only ever sent to
// a Carbon Black cloud or, for simulators, to the loopback interface. A nil transport means
// http.DefaultTransport, a timeout of 0 means 10 s for each request. An error names the field and
// never its value.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	org, id, secret := c.Values["org_key"], c.Values["api_id"], c.Values["api_secret"]
	switch {
	case !orgKey.MatchString(org):
		return nil, models.InvalidField("/values/org_key", "is empty or has characters it never has")
	case !apiKey.MatchString(id):
		return nil, models.InvalidField("/values/api_id", "is empty or has characters it never has")
	case !apiKey.MatchString(secret):
		return nil, models.InvalidField("/values/api_secret", "is empty or has characters it never has")
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, models.InvalidField("/base_url", "is not a URL")
	}
	line, err := exchange.NewLine(base, transport, timeout)
	if err != nil {
		return nil, models.InvalidField("/base_url", "%s", err)
	}
	if !exchange.Loopback(base) && !console(base) {
		return nil, models.InvalidField("/base_url", "is not a Carbon Black Cloud console")
	}
	return &Tenant{line: line, root: "/appservices/v6/orgs/" + org, auth: secret + "/" + id, now: time.Now}, nil
}

// console reports whether u is one of Carbon Black Cloud's environments.
func console(u *url.URL) bool {
	host := strings.ToLower(u.Host)
	known := host == "dashboard.confer.net"
	for _, domain := range []string{".conferdeploy.net", ".carbonblackcloud.vmware.com", ".carbonblack-us-gov.vmware.com"} {
		known = known || strings.HasSuffix(host, domain)
	}
	return known && strings.Trim(u.Path, "/") == ""
}

// Capabilities says what Carbon Black can do: it has no ids for quarantines, keeps them for
// devices that are offline, tells clients from servers, and the client's asset groups. It does not
// show what is under way.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Queues: true, Classes: true, Tags: true}
}

// Check reports whether the key is accepted and may read devices. Config: it is not, or may not.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	_, err := t.search(ctx, op, search{Rows: 1})
	return err
}

// send makes one authorised request; body nil sends none. A key is fixed, so a rejected one is not
// renewed. The exchange holds the result.
func (t *Tenant) send(ctx context.Context, method, path string, body any) *exchange.Exchange {
	header := http.Header{"X-Auth-Token": {t.auth}}
	return t.line.Send(ctx, exchange.Request{Method: method, Path: t.root + path, Header: header, Body: body})
}

// apiError is the body of a failure.
type apiError struct {
	Code string `json:"error_code"`
}

var errorCode = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	var body apiError
	if ex.Decode(&body) == nil && errorCode.MatchString(body.Code) {
		f.Code = body.Code
	}
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("Retry-After")
	}
	return f
}
