// Package twilio places phone calls and sends short messages through Twilio, checks and reads
// the requests Twilio makes to us, and writes the documents it answers people with (TwiML).
//
// It does not decide whom to reach, when to try again, or what a key press or a reply means.
//
// Twilio has no idempotency key: a failed Place or Text of class models.Ambiguous may have
// reached a phone. Recent and RecentTexts find what it did. Sources: Twilio's OpenAPI contract
// of the 2010-04-01 API, its error dictionary, and its documentation of webhooks and TwiML.
package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

const (
	vendor  = "twilio"
	apiHost = "api.twilio.com"
)

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-f]{32}$`)
	callSID    = regexp.MustCompile(`^CA[0-9a-fA-F]{32}$`)
	textSID    = regexp.MustCompile(`^(SM|MM)[0-9a-fA-F]{32}$`)
	e164       = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)
	tokenForm  = regexp.MustCompile(`^[a-zA-Z0-9]+$`) // the SDK rejects anything else
)

// Settings are an operator's settings for one Twilio account.
type Settings struct {
	AccountSID      string            // "AC" and 32 lower-case hexadecimal digits
	AuthToken       string            // for requests to Twilio and signatures from it
	SecondAuthToken string            // also accepted in signatures, while tokens are rotated; "" = none
	From            string            // E.164, a number of the account
	BaseURL         *url.URL          // nil = Twilio's own; http is accepted for the loopback interface only
	Timeout         time.Duration     // per request, 0 = 10 s
	Transport       http.RoundTripper // nil = http.DefaultTransport
}

// Signatures returns the verifier for the account's webhooks, for both tokens if there are two.
func (s Settings) Signatures() (*Signatures, error) {
	if s.SecondAuthToken == "" {
		return NewSignatures(s.AccountSID, s.AuthToken)
	}
	return NewSignatures(s.AccountSID, s.AuthToken, s.SecondAuthToken)
}

// Caller makes phone calls and sends short messages from one number of one account. It is safe
// for concurrent use.
// Every error it returns is a *models.VendorError.
type Caller struct {
	sid, token, from string
	line             *exchange.Line
}

// New checks the settings and returns a Caller. It does not contact Twilio. Errors name the
// setting at fault and never its value.
func New(s Settings) (*Caller, error) {
	switch {
	case !accountSID.MatchString(s.AccountSID):
		return nil, errors.New("twilio: the account SID must be AC and 32 lower-case hexadecimal digits")
	case !tokenForm.MatchString(s.AuthToken):
		return nil, errors.New("twilio: the auth token must be letters and digits and not empty")
	case !e164.MatchString(s.From):
		return nil, errors.New("twilio: the calling number must be E.164, such as +15550001111")
	}
	base := s.BaseURL
	if base == nil {
		base = &url.URL{Scheme: "https", Host: apiHost}
	}
	line, err := exchange.NewLine(base, s.Transport, s.Timeout)
	if err != nil {
		return nil, fmt.Errorf("twilio: %w", err)
	}
	return &Caller{sid: s.AccountSID, token: s.AuthToken, from: s.From, line: line}, nil
}

// service returns an SDK service good for one request, and the exchange that request will be.
// The request handler is built by hand: the SDK's constructor reads environment variables that
// change the host.
func (c *Caller) service(ctx context.Context) (*api.ApiService, *exchange.Exchange) {
	ex := c.line.Begin(ctx)
	base := &client.Client{
		Credentials: client.NewCredentials(c.sid, c.token),
		HTTPClient:  ex.Client(),
	}
	base.SetAccountSid(c.sid)
	return api.NewApiService(&client.RequestHandler{Client: base}), ex
}
