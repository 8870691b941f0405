// Package cortex finds, isolates and releases endpoints through Palo Alto Networks Cortex XDR,
// for one tenant.
//
// It does not decide which endpoint may be isolated or whether an isolation has succeeded: Cortex
// accepts an action and works on it, only State tells. Source: the pages "Get Endpoint", "Isolate
// Endpoints", "Unisolate Endpoints", "Get Action Status" and "Get Started with APIs" of the Cortex
// XDR REST API reference.
package cortex

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const vendor = "cortex"

var (
	keyIDForm  = regexp.MustCompile(`^[0-9]{1,18}$`)
	keyForm    = regexp.MustCompile(`^[0-9A-Za-z]{16,256}$`)
	hostIDForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$`)
)

// Tenant acts on the endpoints of one Cortex XDR tenant. It is cheap to make and safe for
// concurrent use. Every error its methods return is a *models.VendorError.
type Tenant struct {
	line *exchange.Line
	sign signer
}

// New checks the credentials and returns a Tenant. It does not contact Cortex. The values are
// api_key_id and api_key, of a key with the security level Advanced. The base URL is the
// tenant's, https://api- and its FQDN; there is no default. The key signs and is never sent, and
// nothing is sent but to Palo Alto Networks or, for simulators, to the loopback interface. A nil
// transport is http.DefaultTransport, a timeout of 0 is 10 s per request.
func New(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (*Tenant, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, models.InvalidField("/base_url", "is not a URL")
	}
	line, err := exchange.NewLine(base, transport, timeout)
	if err != nil {
		return nil, models.InvalidField("/base_url", "%s", err)
	}
	id, key := c.Values["api_key_id"], c.Values["api_key"]
	switch {
	case !exchange.Loopback(base) && !ofCortex(base):
		return nil, models.InvalidField("/base_url", "is not the API of a Cortex tenant")
	case !keyIDForm.MatchString(id):
		return nil, models.InvalidField("/values/api_key_id", "is not a number")
	case !keyForm.MatchString(key):
		return nil, models.InvalidField("/values/api_key", "is not the form of an API key")
	}
	return &Tenant{line: line, sign: signer{id: id, key: key, now: time.Now}}, nil
}

// ofCortex reports https://api-{fqdn} of a tenant, on the standard port and without a path.
func ofCortex(base *url.URL) bool {
	host := strings.ToLower(base.Host)
	return strings.HasPrefix(host, "api-") && strings.HasSuffix(host, ".paloaltonetworks.com") &&
		strings.Trim(base.Path, "/") == ""
}

// Capabilities says what Cortex XDR can do: it names every action, keeps it for an endpoint that
// is offline, and tells servers from workstations, though not domain controllers from servers.
func (t *Tenant) Capabilities() models.Capabilities {
	return models.Capabilities{Actions: true, Queues: true, Classes: true, Tags: true, Underway: true}
}

// Check reads one endpoint, whichever comes first. Config: the key is rejected, lacks a permission
// or the licence does not cover the API.
func (t *Tenant) Check(ctx context.Context) error {
	op := exchange.Op{Vendor: vendor, Name: "check access"}
	_, _, err := t.endpoints(ctx, op, search{To: 1})
	return err
}

// send makes one signed request and returns the exchange, which holds its result. Every call of
// this API is a POST of {"request_data": …}.
func (t *Tenant) send(ctx context.Context, path string, data any) *exchange.Exchange {
	return t.sendFor(ctx, path, data, 0)
}

// sendFor is send for an answer of at most so many bytes; 0 is what any answer may have.
func (t *Tenant) sendFor(ctx context.Context, path string, data any, most int64) *exchange.Exchange {
	header := http.Header{}
	t.sign.sign(header)
	body := map[string]any{"request_data": data}
	return t.line.Send(ctx, exchange.Request{Method: http.MethodPost, Path: "/public_api/v1" + path, Header: header, Body: body, Most: most})
}

// rejection is the reply of every answer that is an error. The extra is text or an object.
type rejection struct {
	Code  json.Number     `json:"err_code"`
	Extra json.RawMessage `json:"err_extra"`
}

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	if ex.Status() == http.StatusPaymentRequired { // the licence does not cover this call
		f.Class = models.Config
	}
	var answer struct {
		Reply rejection `json:"reply"`
	}
	if !ex.OK() && ex.Decode(&answer) == nil {
		f.Code = answer.Reply.Code.String()
		if op.Effect && answer.Reply.madeNoAction() {
			f.Class, f.Code = models.Rejected, codeNoAction
		}
	}
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("Retry-After")
	}
	return f
}
