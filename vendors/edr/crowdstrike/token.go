package crowdstrike

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// earlier is how long before its end a token is no longer used.
const earlier = time.Minute

// tokens keeps the tenant's access token. It is safe for concurrent use; whoever waits for a
// refresh under way stops waiting when its context ends.
type tokens struct {
	line *exchange.Line
	form url.Values
	now  func() time.Time

	turn   chan struct{} // held by whoever reads or replaces the fields below
	token  string
	expiry time.Time
}

func newTokens(line *exchange.Line, form url.Values) *tokens {
	return &tokens{line: line, form: form, now: time.Now, turn: make(chan struct{}, 1)}
}

// get returns a token that is good for a while and is not the one Falcon refused ("" = none was).
// Getting one has no effect on any host, so its failures are Transient, Throttled or Config, also
// within an operation that has an effect.
func (t *tokens) get(ctx context.Context, op exchange.Op, refused string) (string, error) {
	op.Effect = false
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		f := op.Failed(models.Transient, "token")
		f.Cause = ctx.Err()
		return "", f
	}
	if t.token != "" && t.token != refused && t.now().Before(t.expiry) {
		return t.token, nil
	}
	token, lifetime, err := t.fetch(ctx, op)
	if err != nil {
		return "", err
	}
	t.token, t.expiry = token, t.now().Add(lifetime-min(earlier, lifetime/10))
	return token, nil
}

func (t *tokens) fetch(ctx context.Context, op exchange.Op) (string, time.Duration, error) {
	ex := t.line.Begin(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"https://api.crowdstrike.com/oauth2/token", strings.NewReader(t.form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "application/json")
		finish(ex, req)
	}
	var body struct {
		Token   string  `json:"access_token"`
		Seconds float64 `json:"expires_in"`
	}
	if ex.OK() && ex.Decode(&body) == nil && body.Token != "" && !strings.ContainsAny(body.Token, " \r\n") {
		return body.Token, time.Duration(min(max(body.Seconds, 0), 86400) * float64(time.Second)), nil
	}
	f := failure(ex, op)
	if f.Class == models.Rejected { // nothing but our own settings is in this request
		f.Class = models.Config
	}
	if f.Code == "" {
		f.Code = "token"
	}
	return "", 0, f
}
