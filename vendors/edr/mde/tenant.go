// Package mde finds, isolates and releases devices through Microsoft Defender for Endpoint, for
// one Entra tenant.
//
// The service has no field that says whether a device is isolated: that follows from its machine
// actions. A second request while one is pending may become a machine action of its own that runs
// after the release, so the actions are read before every request and after every uncertain one.
// Sources: learn.microsoft.com/defender-endpoint/api (machine, machineaction, isolate-machine,
// unisolate-machine, get-machineactions-collection, cancel-machine-action, common-errors);
// github.com/MicrosoftDocs/microsoft-365-docs issues 5903 and 5904.
package mde

import (
	"context"
	"fmt"
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
	vendor = "mde"

	// BaseURL is the worldwide address of the API, used when the credentials name none.
	BaseURL = "https://api.security.microsoft.com"

	loginURL = "https://login.microsoftonline.com"
	scope    = "https://api.securitycenter.microsoft.com/.default" // of the commercial clouds, whichever host answers
)

var (
	entraID   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]{0,254}$`) // a GUID, or a tenant's domain
	apiHost   = regexp.MustCompile(`^([a-z0-9-]+\.)*(security|securitycenter)\.microsoft\.com$`)
	loginHost = regexp.MustCompile(`^login\.microsoftonline\.com$`)
	errorCode = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)
)

// Tenant acts on the devices of one Entra tenant. It is safe for concurrent use; share one value
// per tenant, because it keeps the tenant's access token. Every error its methods return is a
// *models.VendorError.
type Tenant struct {
	line   *exchange.Line
	tokens *bearer.Tokens
}

// New checks the credentials and returns the tenant they are for. It does not contact Microsoft.
// The values are tenant_id, client_id and client_secret of an app registration with the
// permissions Machine.Read.All and Machine.Isolate; login_url is for simulators. The secret is only
// ever sent to Microsoft or to the loopback interface.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	for _, field := range []string{"tenant_id", "client_id"} {
		if !entraID.MatchString(c.Values[field]) {
			return nil, models.InvalidField("/values/"+field, "is empty or has characters an id never has")
		}
	}
	if c.Values["client_secret"] == "" {
		return nil, models.InvalidField("/values/client_secret", "must not be empty")
	}
	line, err := newLine("/base_url", c.BaseURL, BaseURL, apiHost, transport, timeout)
	if err != nil {
		return nil, err
	}
	login, err := newLine("/values/login_url", c.Values["login_url"], loginURL, loginHost, transport, timeout)
	if err != nil {
		return nil, err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope},
		"client_id": {c.Values["client_id"]}, "client_secret": {c.Values["client_secret"]}}
	path := "/" + c.Values["tenant_id"] + "/oauth2/v2.0/token"
	return &Tenant{line: line, tokens: bearer.New(login, path, form, loginFailure)}, nil
}

func newLine(pointer, address, otherwise string, own *regexp.Regexp, transport http.RoundTripper, timeout time.Duration) (*exchange.Line, error) {
	if address == "" {
		address = otherwise
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, models.InvalidField(pointer, "is not a URL")
	}
	line, err := exchange.NewLine(base, transport, timeout)
	if err != nil {
		return nil, models.InvalidField(pointer, "%s", err)
	}
	if !exchange.Loopback(base) && (!own.MatchString(base.Host) || strings.Trim(base.Path, "/") != "") {
		return nil, models.InvalidField(pointer, "is not an address of Microsoft's")
	}
	return line, nil
}

// Capabilities returns what Defender can do beyond the ordinary. It does not tell a domain
// controller from another server, and of an isolation that is older than its actions are kept it knows
// nothing.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Actions: true, Queues: true, Classes: true, Tags: true}
}

// Check reports whether the credentials work and may read devices and their actions. It changes
// nothing.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	for _, path := range []string{"/api/machines", "/api/machineactions"} {
		if _, _, err := list[struct{}](ctx, t, op, path, url.Values{"$top": {"1"}}); err != nil {
			return err
		}
	}
	return nil
}

// send makes an authorised request. The path includes the query; body nil sends none.
func (t *Tenant) send(ctx context.Context, op exchange.Op, method, path string, body any) (*exchange.Exchange, error) {
	return t.tokens.Do(ctx, op, t.line, exchange.Request{Method: method, Path: path, Body: body})
}

// list reads one page of a collection, and whether the service has more than it shows. An answer without a list is no
// list.
func list[T any](ctx context.Context, t *Tenant, op exchange.Op, path string, query url.Values) (rows []T, more bool, err error) {
	ex, err := t.send(ctx, op, http.MethodGet, path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, false, err
	}
	var body struct {
		Value *[]T   `json:"value"`
		Next  string `json:"@odata.nextLink"`
	}
	if !ex.OK() || ex.Decode(&body) != nil || body.Value == nil {
		return nil, false, failure(ex, op)
	}
	return *body.Value, body.Next != "", nil
}

// failure turns an exchange with the API into an error. The target of an error is the service's
// trace id.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	var body struct {
		Error struct {
			Code   string `json:"code"`
			Target string `json:"target"`
		} `json:"error"`
	}
	if !ex.OK() && ex.Decode(&body) == nil {
		f.Code, f.RequestID = wellFormed(body.Error.Code), wellFormed(body.Error.Target)
	}
	if f.HTTPStatus == http.StatusForbidden && f.Code == "DisallowedOperation" { // this action, not our permission
		f.Class = models.Rejected
	}
	return throttled(ex, f)
}

// loginFailure turns an exchange with the login service into an error. The codes of Entra begin with
// AADSTS.
func loginFailure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	var body struct {
		Error string `json:"error"`
		Codes []int  `json:"error_codes"`
		Trace string `json:"trace_id"`
	}
	if !ex.OK() && ex.Decode(&body) == nil {
		f.Code, f.RequestID = wellFormed(body.Error), wellFormed(body.Trace)
		if len(body.Codes) > 0 {
			f.Code = fmt.Sprint("AADSTS", body.Codes[0])
		}
	}
	return throttled(ex, f)
}

func throttled(ex *exchange.Exchange, f *models.VendorError) *models.VendorError {
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("Retry-After")
	}
	return f
}

// wellFormed drops what is not a short code: answers are untrusted.
func wellFormed(s string) string {
	if errorCode.MatchString(s) {
		return s
	}
	return ""
}
