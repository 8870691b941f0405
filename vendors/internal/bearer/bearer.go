// Package bearer gets and keeps the access tokens of an API that hands them out for a client id
// and a secret (RFC 6749, section 4.4), and makes requests with them.
package bearer

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// earlier is how long before its end a token is no longer used.
const earlier = time.Minute

// Tokens keeps one access token. It is safe for concurrent use; a caller that waits for a refresh
// under way stops waiting when its context ends.
type Tokens struct {
	Now func() time.Time // the clock; time.Now from New

	line    *exchange.Line
	path    string
	form    url.Values
	failure func(*exchange.Exchange, exchange.Op) *models.VendorError

	turn   chan struct{} // held by whoever reads or replaces the fields below
	token  string
	expiry time.Time
}

// New returns the tokens that are handed out for the form at the path. Failure reads the vendor's
// error answer.
func New(line *exchange.Line, path string, form url.Values, failure func(*exchange.Exchange, exchange.Op) *models.VendorError) *Tokens {
	return &Tokens{Now: time.Now, line: line, path: path, form: form, failure: failure, turn: make(chan struct{}, 1)}
}

// Do sends r over the line with a token. A token rejected with 401 is replaced once and the request
// repeated: a rejected request has had no effect. The error is that of getting a token;
// everything else is in the exchange.
func (t *Tokens) Do(ctx context.Context, op exchange.Op, line *exchange.Line, r exchange.Request) (*exchange.Exchange, error) {
	token, err := t.get(ctx, op, "")
	if err != nil {
		return nil, err
	}
	ex := line.Send(ctx, with(token, r))
	if ex.Status() != http.StatusUnauthorized {
		return ex, nil
	}
	if token, err = t.get(ctx, op, token); err != nil {
		return nil, err
	}
	return line.Send(ctx, with(token, r)), nil
}

func with(token string, r exchange.Request) exchange.Request {
	header := http.Header{"Authorization": {"Bearer " + token}}
	maps.Copy(header, r.Header)
	r.Header = header
	return r
}

// get returns a token that is good for a while and is not the one that was rejected ("" = none
// was). Getting one has no effect on any host, so its failures are Transient, Throttled or
// Config, also within an operation that has an effect.
func (t *Tokens) get(ctx context.Context, op exchange.Op, rejected string) (string, error) {
	op.Effect = false
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		f := op.Failed(models.Transient, "token")
		f.Cause = ctx.Err()
		return "", f
	}
	if t.token != "" && t.token != rejected && t.Now().Before(t.expiry) {
		return t.token, nil
	}
	token, lifetime, err := t.fetch(ctx, op)
	if err != nil {
		return "", err
	}
	t.token, t.expiry = token, t.Now().Add(lifetime-min(earlier, lifetime/10))
	return token, nil
}

func (t *Tokens) fetch(ctx context.Context, op exchange.Op) (string, time.Duration, error) {
	ex := t.line.Begin(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://vendor.invalid"+t.path, strings.NewReader(t.form.Encode())) // the line has the host
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "application/json")
		if resp, err := ex.Client().Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	var body struct {
		Token   string  `json:"access_token"`
		Seconds float64 `json:"expires_in"`
	}
	if ex.OK() && ex.Decode(&body) == nil && body.Token != "" && !strings.ContainsAny(body.Token, " \r\n") {
		return body.Token, time.Duration(min(max(body.Seconds, 0), 86400) * float64(time.Second)), nil
	}
	f := t.failure(ex, op)
	if f.Class == models.Rejected { // nothing but our own settings is in this request
		f.Class = models.Config
	}
	if f.Code == "" {
		f.Code = "token"
	}
	return "", 0, f
}
