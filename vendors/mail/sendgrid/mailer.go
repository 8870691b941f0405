// Package sendgrid sends mail through SendGrid's v3 API, finds a message again after an
// uncertain answer, and reads the signed events SendGrid posts to us.
//
// It does not write mails, decide who gets one, or judge what an event means for a delivery.
//
// SendGrid has no idempotency key: a failed Send of class models.Ambiguous may have mailed.
// Lookup finds such a message by the opaque ids it carries. Sources: SendGrid's OpenAPI
// contracts (mail, logs) and its Event Webhook reference.
package sendgrid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sendgrid/rest"
	sdk "github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/letterhead"
)

const (
	vendor  = "sendgrid"
	apiHost = "https://api.sendgrid.com"
)

// Settings are an operator's settings for one SendGrid account.
type Settings struct {
	APIKey    string
	From      string            // a verified sender address
	FromName  string            // shown beside it, may be ""
	BaseURL   *url.URL          // nil = https://api.sendgrid.com; the EU region has its own; http for the loopback interface only
	Timeout   time.Duration     // per request, 0 = 10 s
	Transport http.RoundTripper // nil = http.DefaultTransport
}

// Mailer sends mail as one sender. It is safe for concurrent use: it builds a request of its own
// for every send, because the SDK's client keeps the message in shared memory. Every error its
// methods return is a *models.VendorError.
type Mailer struct {
	key  string
	from *mail.Email
	line *exchange.Line
}

// New checks the settings and returns a Mailer. It does not contact SendGrid. Errors name the
// setting at fault and never its value.
func New(s Settings) (*Mailer, error) {
	if s.APIKey == "" || strings.ContainsFunc(s.APIKey, letterhead.NotVisible) {
		return nil, errors.New("sendgrid: the API key must be visible ASCII and not empty")
	}
	from := letterhead.Address(s.From)
	if from == "" {
		return nil, errors.New("sendgrid: the sender must be a mail address")
	}
	base := s.BaseURL
	if base == nil {
		base = &url.URL{Scheme: "https", Host: "api.sendgrid.com"}
	}
	line, err := exchange.NewLine(base, s.Transport, s.Timeout)
	if err != nil {
		return nil, fmt.Errorf("sendgrid: %w", err)
	}
	return &Mailer{key: s.APIKey, from: mail.NewEmail(letterhead.Name(s.FromName), from), line: line}, nil
}

// Send hands one message to SendGrid and returns SendGrid's id for it, the first part of the
// sg_message_id of later events. Success means accepted, not delivered.
//
// Ambiguous: it may have been accepted, ask Lookup. Rejected: this message will never be
// accepted as it is. Config: the key or the sender is rejected.
func (m *Mailer) Send(ctx context.Context, out models.OutboundMail) (vendorID string, err error) {
	op := exchange.Op{Vendor: vendor, Name: "send mail", Effect: true}
	out.To = letterhead.Address(out.To)
	message, unfit := m.compose(out)
	if unfit != "" {
		return "", op.Failed(models.Rejected, unfit)
	}
	ex := m.do(ctx, rest.Post, "/v3/mail/send", mail.GetRequestBody(message))
	id := ex.Header().Get("X-Message-Id")
	if ex.Status() != http.StatusAccepted || id == "" {
		return "", failure(ex, op)
	}
	return id, nil
}

// do makes one request. The outcome is in the exchange; the SDK's own result adds nothing to it
// and its error may quote the address of the request.
func (m *Mailer) do(ctx context.Context, method rest.Method, path string, body []byte) *exchange.Exchange {
	ex := m.line.Begin(ctx)
	request := sdk.GetRequest(m.key, path, apiHost) // the exchange puts the configured host in
	request.Method, request.Body = method, body
	_, _ = (&rest.Client{HTTPClient: ex.Client()}).SendWithContext(ctx, request)
	return ex
}

// failure turns an exchange into an error.
func failure(ex *exchange.Exchange, op exchange.Op) *models.VendorError {
	f := ex.Failure(op)
	f.RequestID = models.CleanLine(ex.Header().Get("X-Message-Id"), 64)
	var body struct {
		Errors []struct {
			Field string `json:"field"`
		} `json:"errors"`
	}
	if !ex.OK() && ex.Decode(&body) == nil && len(body.Errors) > 0 {
		f.Code = models.CleanLine(body.Errors[0].Field, 64) // the message beside it may quote an address
	}
	if f.Class == models.Throttled {
		f.RetryAfter = ex.RetryAfter("X-RateLimit-Reset", "Retry-After")
	}
	return f
}
