// Package trend finds, isolates and releases hosts through Trend Vision One's API v3.0, for one API
// token and the region it was issued in.
//
// It does not decide which host may be isolated or whether an isolation has succeeded: a task that
// was taken is not isolation, only State tells. Source: Trend's own clients of the API
// (github.com/trendmicro/vision-one-mcp-server and tm-v1-pytv1); its reference, sections Endpoint
// Security and Response Management, is at https://automation.trendmicro.com/xdr/api-v3.
package trend

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	vendor   = "trend"
	root     = "/v3.0"
	maxPages = 10       // of one list
	maxPage  = 16 << 20 // bytes
	maxLink  = 4096     // bytes of the link to the next page
)

var (
	apiToken = regexp.MustCompile(`^[!-~]+$`)
	// The hosts of the regions: the United States have none in the name, Japan has a domain of its own.
	region = regexp.MustCompile(`^api\.(xdr\.trendmicro\.co\.jp|([a-z]{2,8}\.)?xdr\.trendmicro\.com)$`)
	code   = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)
)

// Tenant acts on the endpoints one API token reaches. It is immutable and safe for concurrent use.
// Every error its methods return is a *models.VendorError.
type Tenant struct {
	line  *exchange.Line
	token string
	now   func() time.Time
}

// New checks the credentials (value api_token, base URL of the client's region) and returns a
// Tenant. It does not contact Trend. The token is only ever sent to a region of Vision One or, for
// simulators, to the loopback interface. A nil transport means http.DefaultTransport, a timeout of 0
// means 10 s for each request. An error names the field and never its value.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	token := c.Values["api_token"]
	if !apiToken.MatchString(token) {
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
	if !exchange.Loopback(base) && (!region.MatchString(base.Host) || base.Path != "" && base.Path != "/") {
		return nil, models.InvalidField("/base_url", "is not a region of Vision One")
	}
	return &Tenant{line: line, token: token, now: time.Now}, nil
}

// Capabilities says what Trend can do: it gives every action a task, keeps it for endpoints that are
// offline, and tells desktops from servers.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Actions: true, Queues: true, Classes: true, Underway: true}
}

// Check reports whether the token is accepted and may read endpoints and response tasks.
// Config: it is not, or may not.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	if _, _, err := page[endpoint](ctx, t, op, "/endpointSecurity/endpoints", url.Values{"top": {"10"}}, ""); err != nil {
		return err
	}
	_, _, err := page[task](ctx, t, op, "/response/tasks", url.Values{"top": {"50"}}, "")
	return err
}

// send makes one authorised request; body nil sends none, filter "" sends no filter. A token is
// fixed, so a rejected one is not renewed. The exchange holds the result.
func (t *Tenant) send(ctx context.Context, method, path, filter string, body any) *exchange.Exchange {
	header := http.Header{"Authorization": {"Bearer " + t.token}}
	if filter != "" {
		header.Set("TMV1-Filter", filter)
	}
	if body != nil {
		header.Set("Content-Type", "application/json;charset=utf-8")
	}
	return t.line.Send(ctx, exchange.Request{Method: method, Path: root + path, Header: header, Body: body, Most: maxPage})
}

// all reads a list to its end. Rejected, with the code tooMany: it has none.
func all[T any](ctx context.Context, t *Tenant, op exchange.Op, path string, query url.Values, filter, tooMany string) ([]T, error) {
	var rows []T
	for range maxPages {
		some, next, err := page[T](ctx, t, op, path, query, filter)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
		if next == nil {
			return rows, nil
		}
		query = next
	}
	return nil, op.Failed(models.Rejected, tooMany)
}

// page reads one page of a list and returns the query of the next one, nil on the last. The link to
// the next page is an address we do not trust: only its query is used, on our own host and path.
func page[T any](ctx context.Context, t *Tenant, op exchange.Op, path string, query url.Values, filter string) ([]T, url.Values, error) {
	ex := t.send(ctx, http.MethodGet, path+"?"+query.Encode(), filter, nil)
	var list struct {
		Items    *[]T   `json:"items"`
		NextLink string `json:"nextLink"`
	}
	if !ex.OK() || ex.Decode(&list) != nil || list.Items == nil || len(list.NextLink) > maxLink {
		return nil, nil, failure(ex, op)
	}
	if list.NextLink == "" {
		return *list.Items, nil, nil
	}
	link, err := url.Parse(list.NextLink)
	if err != nil || link.RawQuery == "" {
		return nil, nil, failure(ex, op)
	}
	next, err := url.ParseQuery(link.RawQuery)
	if err != nil {
		return nil, nil, failure(ex, op)
	}
	return *list.Items, next, nil
}

// apiError holds the fields that are read of an error.
type apiError struct {
	Error struct {
		Code string `json:"code"`
	} `json:"error"`
}

func (e apiError) code() string {
	if code.MatchString(e.Error.Code) {
		return e.Error.Code
	}
	return ""
}

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	if trace := ex.Header().Get("X-Trace-Id"); code.MatchString(trace) {
		f.RequestID = trace
	}
	var body apiError
	if !ex.OK() && ex.Decode(&body) == nil {
		f.Code = body.code()
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
