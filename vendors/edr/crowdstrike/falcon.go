// Package crowdstrike finds, isolates and releases hosts through CrowdStrike Falcon, for one
// Falcon tenant (CID).
//
// It does not decide which host may be isolated or whether an isolation has succeeded: Falcon's
// acceptance is not isolation, only State tells. Source: CrowdStrike's Swagger contract of the
// hosts and oauth2 collections.
package crowdstrike

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const vendor = "crowdstrike"

var memberCID = regexp.MustCompile(`^[0-9A-Za-z-]{0,64}$`)

// Settings are what an operator configures for one Falcon tenant.
type Settings struct {
	ClientID, ClientSecret string
	MemberCID              string            // of a managed tenant under a parent's credentials; "" = the credentials' own tenant
	BaseURL                *url.URL          // nil = https://api.crowdstrike.com; else another Falcon cloud, or this machine
	Timeout                time.Duration     // per request, 0 = 10 s
	Transport              http.RoundTripper // nil = http.DefaultTransport, shared by all tenants
}

// Falcon acts on the hosts of one tenant. It is cheap to make and safe for concurrent use; share
// one value per tenant, because it keeps the tenant's access token. Every error its methods
// return is a *models.VendorError.
type Falcon struct {
	line   *exchange.Line
	tokens *tokens
}

// New checks the settings and returns a Falcon. It does not contact CrowdStrike. Credentials are
// only ever sent to a known Falcon cloud or, for simulators, to the loopback interface.
func New(s Settings) (*Falcon, error) {
	switch {
	case s.ClientID == "" || s.ClientSecret == "":
		return nil, errors.New("crowdstrike: client id and client secret must not be empty")
	case !memberCID.MatchString(s.MemberCID):
		return nil, errors.New("crowdstrike: the member CID has characters a CID never has")
	}
	base := s.BaseURL
	if base == nil {
		base = &url.URL{Scheme: "https", Host: "api.crowdstrike.com"}
	}
	line, err := exchange.NewLine(base, s.Transport, s.Timeout)
	if err != nil {
		return nil, fmt.Errorf("crowdstrike: %w", err)
	}
	if !exchange.Loopback(base) && !slices.Contains(clouds(), base.Host) {
		return nil, errors.New("crowdstrike: the base URL is not a Falcon cloud")
	}
	form := url.Values{"client_id": {s.ClientID}, "client_secret": {s.ClientSecret}}
	if s.MemberCID != "" {
		form.Set("member_cid", s.MemberCID)
	}
	return &Falcon{line: line, tokens: newTokens(line, form)}, nil
}

// clouds are the hosts of Falcon's API: US-1, US-2, US-3, EU-1, US-GOV-1 and US-GOV-2.
func clouds() []string {
	return []string{
		"api.crowdstrike.com", "api.us-2.crowdstrike.com", "api.us-3.crowdstrike.com",
		"api.eu-1.crowdstrike.com", "api.laggar.gcw.crowdstrike.com", "api.us-gov-2.crowdstrike.mil",
	}
}

// request is one API call. Path includes the query.
type request struct {
	method, path string
	body         any // nil = none, else JSON
}

// send makes an authorised request. A token refused once is replaced once: a refused request has
// had no effect. The error is that of getting a token; everything else is in the exchange.
func (f *Falcon) send(ctx context.Context, op exchange.Op, r request) (*exchange.Exchange, error) {
	token, err := f.tokens.get(ctx, op, "")
	if err != nil {
		return nil, err
	}
	ex := f.attempt(ctx, r, token)
	if ex.Status() != http.StatusUnauthorized {
		return ex, nil
	}
	if token, err = f.tokens.get(ctx, op, token); err != nil {
		return nil, err
	}
	return f.attempt(ctx, r, token), nil
}

func (f *Falcon) attempt(ctx context.Context, r request, token string) *exchange.Exchange {
	ex := f.line.Begin(ctx)
	var body []byte
	if r.body != nil {
		body, _ = json.Marshal(r.body) // strings only, cannot fail
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "https://api.crowdstrike.com"+r.path, bytes.NewReader(body))
	if err != nil {
		return ex
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	finish(ex, req)
	return ex
}

// finish performs req; what came of it is in the exchange.
func finish(ex *exchange.Exchange, req *http.Request) {
	if resp, err := ex.Client().Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// envelope is the outside of every Falcon answer. Resources is nil when the field is absent.
type envelope[T any] struct {
	Errors    []apiError `json:"errors"`
	Resources *[]T       `json:"resources"`
}

type apiError struct {
	Code int `json:"code"`
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
