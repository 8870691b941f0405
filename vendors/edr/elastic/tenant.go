// Package elastic finds, isolates and releases hosts through Elastic Defend, over the API of one
// Kibana space.
//
// It does not decide which host may be isolated or whether an isolation has succeeded: Kibana
// takes every action, for hosts that are offline too and as often as it is given, and only State
// tells. Source: the pages "Isolate an endpoint", "Release an isolated endpoint", "Get a metadata
// list", "Get metadata", "Get response actions" and "Get action details" of Elastic's Kibana API
// reference.
package elastic

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
	vendor       = "elastic"
	defaultSpace = "default"
	apiVersion   = "2023-10-31" // of Kibana's public API; older Kibanas ignore the header
)

var (
	// keyForm is the form that Kibana calls the encoded one of an API key: base64 of id and secret.
	keyForm   = regexp.MustCompile(`^[A-Za-z0-9+/_-]{8,1000}={0,2}$`)
	spaceForm = regexp.MustCompile(`^[a-z0-9_-]{1,128}$`)
	idForm    = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$`) // of agents and of actions
)

// Tenant acts on the hosts of one Kibana space. It is cheap to make and safe for concurrent use.
// Every error its methods return is a *models.VendorError.
type Tenant struct {
	line   *exchange.Line
	key    string
	prefix string // of every path: the space
}

// New checks the credentials and returns a Tenant. It does not contact Kibana. The values are
// api_key (the encoded form) and, where it is not the default one, space. The base URL is the
// client's Kibana, with its base path if it has one; there is no default. A nil transport is
// http.DefaultTransport, a timeout of 0 is 10 s per request.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, models.InvalidField("/base_url", "is not a URL")
	}
	line, err := exchange.NewLine(base, transport, timeout)
	if err != nil {
		return nil, models.InvalidField("/base_url", "%s", err)
	}
	t := &Tenant{line: line, key: c.Values["api_key"]}
	if !keyForm.MatchString(t.key) {
		return nil, models.InvalidField("/values/api_key", "is not an encoded API key")
	}
	switch space := c.Values["space"]; {
	case space == "", space == defaultSpace:
	case spaceForm.MatchString(space):
		t.prefix = "/s/" + space
	default:
		return nil, models.InvalidField("/values/space", "has characters the id of a space never has")
	}
	return t, nil
}

// Capabilities says what Elastic Defend can do: it names every action and keeps it, for two weeks,
// for a host that is offline. It tells the operating system but not what the device is for.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Actions: true, Queues: true, Underway: true}
}

// Check reads one host, whichever comes first. Config: the key is rejected or lacks a privilege.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	var list struct {
		Data *[]document `json:"data"`
	}
	ex := t.get(ctx, "/api/endpoint/metadata?pageSize=1")
	if !ex.OK() || ex.Decode(&list) != nil || list.Data == nil {
		return failure(ex, op)
	}
	return nil
}

func (t *Tenant) get(ctx context.Context, path string) *exchange.Exchange {
	return t.send(ctx, http.MethodGet, path, nil)
}

// send makes one authorised request and returns the exchange, which holds its result. Path
// includes the query; a nil body sends none.
func (t *Tenant) send(ctx context.Context, method, path string, body any) *exchange.Exchange {
	header := http.Header{
		"Authorization":       {"ApiKey " + t.key},
		"Elastic-Api-Version": {apiVersion},
		"Kbn-Xsrf":            {"true"}, // Kibana rejects a POST without it
	}
	return t.line.Send(ctx, exchange.Request{Method: method, Path: t.prefix + path, Header: header, Body: body})
}

// failure turns an exchange into an error. Kibana gives no codes of its own beside the status.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("Retry-After")
	}
	return f
}
