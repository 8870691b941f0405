// Package crowdstrike finds, isolates and releases hosts through CrowdStrike Falcon, for one
// Falcon tenant (CID).
//
// It does not decide which host may be isolated or whether an isolation has succeeded: Falcon's
// acceptance is not isolation, only State tells. Source: CrowdStrike's Swagger contract of the
// hosts and oauth2 collections.
package crowdstrike

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/bearer"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	vendor = "crowdstrike"

	// BaseURL is Falcon's cloud US-1, used when the credentials name none.
	BaseURL = "https://api.crowdstrike.com"
)

var memberCID = regexp.MustCompile(`^[0-9A-Za-z-]{0,64}$`)

// Tenant acts on the hosts of one Falcon tenant. It is safe for concurrent use; share one value
// per tenant, because it keeps the tenant's access token. Every error its methods return is a
// *models.VendorError.
type Tenant struct {
	line   *exchange.Line
	tokens *bearer.Tokens
}

// New checks the credentials and returns the tenant they are for. It does not contact
// CrowdStrike. The values are client_id, client_secret and, for a managed tenant under a parent's
// credentials, member_cid. They are only ever sent to a known Falcon cloud or, for simulators, to
// the loopback interface.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	id, secret, member := c.Values["client_id"], c.Values["client_secret"], c.Values["member_cid"]
	switch {
	case id == "":
		return nil, models.InvalidField("/values/client_id", "must not be empty")
	case secret == "":
		return nil, models.InvalidField("/values/client_secret", "must not be empty")
	case !memberCID.MatchString(member):
		return nil, models.InvalidField("/values/member_cid", "has characters a CID never has")
	}
	address := c.BaseURL
	if address == "" {
		address = BaseURL
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, models.InvalidField("/base_url", "is not a URL")
	}
	line, err := exchange.NewLine(base, transport, timeout)
	if err != nil {
		return nil, models.InvalidField("/base_url", "%s", err)
	}
	if !exchange.Loopback(base) && !slices.Contains(clouds(), base.Host) {
		return nil, models.InvalidField("/base_url", "is not a Falcon cloud")
	}
	form := url.Values{"client_id": {id}, "client_secret": {secret}}
	if member != "" {
		form.Set("member_cid", member)
	}
	return &Tenant{line: line, tokens: bearer.New(line, "/oauth2/token", form, failure)}, nil
}

// clouds are the hosts of Falcon's API: US-1, US-2, US-3, EU-1, US-GOV-1 and US-GOV-2.
func clouds() []string {
	return []string{
		"api.crowdstrike.com", "api.us-2.crowdstrike.com", "api.us-3.crowdstrike.com",
		"api.eu-1.crowdstrike.com", "api.laggar.gcw.crowdstrike.com", "api.us-gov-2.crowdstrike.mil",
	}
}

// Capabilities returns what Falcon can do beyond the ordinary. An action has no id.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Queues: true, Classes: true, Tags: true, Controllers: true, Underway: true}
}

// Check reports whether the credentials work and may read hosts. It changes nothing.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	ex, err := t.send(ctx, op, http.MethodGet, "/devices/queries/devices/v1?limit=1", nil)
	if err != nil {
		return err
	}
	_, err = resources[string](ex, op)
	return err
}

// send makes an authorised request. The path includes the query; body nil sends none.
func (t *Tenant) send(ctx context.Context, op exchange.Op, method, path string, body any) (*exchange.Exchange, error) {
	return t.tokens.Do(ctx, op, t.line, exchange.Request{Method: method, Path: path, Body: body})
}

// envelope is the outside of every Falcon answer. Resources is nil when the field is absent.
type envelope[T any] struct {
	Errors    []apiError `json:"errors"`
	Resources *[]T       `json:"resources"`
}

type apiError struct {
	Code int    `json:"code"`
	ID   string `json:"id"` // of the host it is about, "" when it is about the request
}

// resources reads an answer in the 200s. Falcon reports failures of single hosts inside them, so
// any entry in errors is a failure.
func resources[T any](ex *exchange.Exchange, op exchange.Op) ([]T, error) {
	var a envelope[T]
	if !ex.OK() || ex.Decode(&a) != nil {
		return nil, failure(ex, op)
	}
	if len(a.Errors) > 0 {
		f := failure(ex, op)
		f.Code, f.Cause = code(a.Errors[0].Code), nil
		f.Class = exchange.ClassOfStatus(a.Errors[0].Code, op)
		if a.Errors[0].ID != "" && a.Errors[0].Code == http.StatusForbidden { // this host is protected; our rights are good
			f.Class = models.Rejected
		}
		f.RetryAfter = retryAfter(ex, f.Class)
		return nil, f
	}
	if a.Resources == nil {
		return nil, failure(ex, op)
	}
	return *a.Resources, nil
}

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	f.RequestID = ex.Header().Get("X-Cs-Traceid")
	var body envelope[json.RawMessage]
	if !ex.OK() && ex.Decode(&body) == nil && len(body.Errors) > 0 {
		f.Code = code(body.Errors[0].Code)
	}
	f.RetryAfter = retryAfter(ex, f.Class)
	return f
}

// retryAfter reads Falcon's own header, a moment (its contract says milliseconds, clients in use
// read seconds; both are understood), else the standard one.
func retryAfter(ex *exchange.Exchange, class models.VendorClass) time.Duration {
	if class != models.Throttled {
		return 0
	}
	return ex.RetryAfter("X-RateLimit-RetryAfter", "Retry-After")
}

func code(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
