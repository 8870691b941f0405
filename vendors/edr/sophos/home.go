package sophos

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// lines are the ways to Sophos: where tokens come from, where a token is told whose it is, and
// where the tenant's data is. The last is nil when the second decides it.
type lines struct {
	login, global, region *exchange.Line
	to                    func(base *url.URL) (*exchange.Line, error)
}

func newLines(c models.EDRCredentials, transport http.RoundTripper, timeout time.Duration) (lines, error) {
	l := lines{to: func(base *url.URL) (*exchange.Line, error) { return exchange.NewLine(base, transport, timeout) }}
	login, global := loginURL, BaseURL
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return l, models.InvalidField("/base_url", "is not a URL")
	}
	local, given := exchange.Loopback(base), c.Values["login_url"]
	switch {
	case local:
		login, global = c.BaseURL, c.BaseURL
	case c.BaseURL != "" && !isSophos(base):
		return l, models.InvalidField("/base_url", "is not a host of Sophos")
	case given != "":
		return l, models.InvalidField("/values/login_url", "is for simulators on this machine only")
	}
	if given != "" {
		login = given
	}
	if l.login, err = l.named("/values/login_url", login, local); err != nil {
		return l, err
	}
	if l.global, err = l.named("/base_url", global, local); err != nil {
		return l, err
	}
	if c.BaseURL != "" && strings.TrimSuffix(c.BaseURL, "/") != BaseURL {
		l.region, err = l.named("/base_url", c.BaseURL, local)
	}
	return l, err
}

// named is the way to an address that was given in a field; local ones stay on this machine.
func (l lines) named(pointer, address string, local bool) (*exchange.Line, error) {
	u, err := url.Parse(address)
	if err != nil || exchange.Loopback(u) != local {
		return nil, models.InvalidField(pointer, "is not an address on this machine")
	}
	line, err := l.to(u)
	if err != nil {
		return nil, models.InvalidField(pointer, "%s", err)
	}
	return line, nil
}

// isSophos reports an https address of Sophos and nothing more than its host: tokens go nowhere else.
func isSophos(u *url.URL) bool {
	return u.Scheme == "https" && sophosHost.MatchString(u.Host) && strings.Trim(u.Path, "/") == "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// home is whose the credentials are, and where the data is. Neither changes.
type home struct {
	tenant string
	region *exchange.Line
}

// locate returns the tenant's home, which is asked for once. Asking has no effect on any host, so its
// failures are Transient, Throttled or Config, also within an operation that has an effect.
func (t *Tenant) locate(ctx context.Context, op exchange.Op) (home, error) {
	op.Effect = false
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		f := op.Failed(models.Transient, "whoami")
		f.Cause = ctx.Err()
		return home{}, f
	}
	if t.home.tenant == "" {
		found, err := t.whoami(ctx, op)
		if err != nil {
			return home{}, err
		}
		t.home = found
	}
	return t.home, nil
}

// whoami asks whose the token is and where the data is. The answer is not trusted with the token:
// it must name a host of Sophos.
func (t *Tenant) whoami(ctx context.Context, op exchange.Op) (home, error) {
	ex, err := t.tokens.Do(ctx, op, t.global, exchange.Request{Method: http.MethodGet, Path: "/whoami/v1"})
	if err != nil {
		return home{}, err
	}
	var body struct {
		ID     string `json:"id"`
		IDType string `json:"idType"`
		Hosts  struct {
			Region string `json:"dataRegion"`
		} `json:"apiHosts"`
	}
	if !ex.OK() || ex.Decode(&body) != nil {
		f := failure(ex, op)
		if f.Class == models.Rejected { // nothing but our own settings is in this request
			f.Class = models.Config
		}
		return home{}, f
	}
	if body.IDType != "tenant" || !uuid.MatchString(body.ID) { // a partner or an organisation has many tenants
		return home{}, op.Failed(models.Config, "not_a_tenant")
	}
	if t.region != nil {
		return home{body.ID, t.region}, nil
	}
	region, err := url.Parse(body.Hosts.Region)
	if err != nil || !isSophos(region) {
		return home{}, op.Failed(models.Config, "unknown_region")
	}
	line, err := t.to(region)
	if err != nil {
		return home{}, op.Failed(models.Config, "unknown_region")
	}
	return home{body.ID, line}, nil
}
