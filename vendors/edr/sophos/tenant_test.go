package sophos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	host   = "6e9567ea-bb50-40c5-9f12-42eb308e4c9b"
	other  = "a24b74a2-68e3-4fa5-8119-95744e0ab421"
	whose  = "11f104c5-cc4a-4a9f-bb9c-632c936dfb9f"
	secret = vendortest.Secret
)

// central is a pretended Sophos: login and whoami work, the rest is the test's.
type central struct {
	*httptest.Server
	tokens, whoamis atomic.Int32
	api             http.HandlerFunc
	token, whoami   http.HandlerFunc // instead of the working ones
}

func newCentral(t *testing.T, api http.HandlerFunc) *central {
	t.Helper()
	c := &central{api: api}
	c.Server = vendortest.Serve(t, c.ServeHTTP)
	return c
}

func (c *central) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.Method + " " + r.URL.Path; {
	case path == "POST /api/v2/oauth2/token" && c.token != nil:
		c.token(w, r)
	case path == "POST /api/v2/oauth2/token":
		vendortest.Answer(w, 200, fmt.Sprintf(`{"access_token":"token-%d","errorCode":"success","expires_in":3600,"token_type":"bearer"}`, c.tokens.Add(1)))
	case path == "GET /whoami/v1" && c.whoami != nil:
		c.whoami(w, r)
	case path == "GET /whoami/v1":
		c.whoamis.Add(1)
		vendortest.Answer(w, 200, whoamiJSON("tenant", "https://api-eu01.central.sophos.com"))
	default:
		c.api(w, r)
	}
}

func whoamiJSON(kind, region string) string {
	return fmt.Sprintf(`{"id":%q,"idType":%q,"apiHosts":{"global":"https://api.central.sophos.com","dataRegion":%q}}`, whose, kind, region)
}

func (c *central) tenant(t *testing.T, timeout ...time.Duration) *Tenant {
	t.Helper()
	tenant, err := New(credentials(c.URL), nil, append(timeout, 0)[0])
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func credentials(base string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: base, Values: map[string]string{"client_id": "client", "client_secret": secret}}
}

func TestEveryRequestSaysWhoAsks(t *testing.T) {
	c := newCentral(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-1" || r.Header.Get("X-Tenant-ID") != whose {
			t.Errorf("headers %v", r.Header)
		}
		vendortest.Answer(w, 200, `{"items":[],"pages":{}}`)
	})
	c.token = func(w http.ResponseWriter, r *http.Request) {
		want := url.Values{"grant_type": {"client_credentials"}, "scope": {"token"}, "client_id": {"client"}, "client_secret": {secret}}
		if err := r.ParseForm(); err != nil || r.PostForm.Encode() != want.Encode() || r.URL.RawQuery != "" {
			t.Errorf("form %v, %v", r.PostForm, err)
		}
		vendortest.Answer(w, 200, `{"access_token":"token-1","expires_in":3600}`)
	}
	tenant := c.tenant(t)
	for range 3 {
		vendortest.WantClass(t, tenant.Check(t.Context()), "")
	}
	if c.whoamis.Load() != 1 {
		t.Errorf("asked %d times whose the token is", c.whoamis.Load())
	}
}

// dialled notes where a request would have gone, and sends it nowhere.
type dialled struct {
	mu    sync.Mutex
	urls  []string
	reply map[string]string // by host
}

func (d *dialled) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.urls = append(d.urls, r.URL.Scheme+"://"+r.URL.Host)
	body, ok := d.reply[r.URL.Host]
	if !ok {
		return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestTheTokenGoesToSophosOnly(t *testing.T) {
	for _, c := range []struct {
		base, region string
		class        models.VendorClass
		last         string
	}{
		{"", "https://api-eu01.central.sophos.com", "", "https://api-eu01.central.sophos.com"},
		{BaseURL, "https://api-us03.central.sophos.com/", "", "https://api-us03.central.sophos.com"},
		{"https://api-eu02.central.sophos.com", "https://evil.example", "", "https://api-eu02.central.sophos.com"},
		{"", "https://api-eu01.central.sophos.com.evil.example", models.Config, BaseURL},
		{"", "https://evilsophos.com", models.Config, BaseURL},
		{"", "http://api-eu01.central.sophos.com", models.Config, BaseURL},
		{"", "https://api-eu01.central.sophos.com:8443", models.Config, BaseURL},
		{"", "https://api-eu01.central.sophos.com@evil.example", models.Config, BaseURL},
		{"", "https://sophos.com@127.0.0.1", models.Config, BaseURL},
		{"", "http://127.0.0.1:9", models.Config, BaseURL},
		{"", "", models.Config, BaseURL},
		{"", "::", models.Config, BaseURL},
	} {
		page := `{"items":[],"pages":{}}`
		d := &dialled{reply: map[string]string{
			"id.sophos.com": `{"access_token":"token-1","expires_in":3600}`, "api.central.sophos.com": whoamiJSON("tenant", c.region),
			"api-eu01.central.sophos.com": page, "api-us03.central.sophos.com": page, "api-eu02.central.sophos.com": page,
		}}
		tenant, err := New(credentials(c.base), d, 0)
		if err != nil {
			t.Fatalf("%q: %v", c.base, err)
		}
		vendortest.WantClass(t, tenant.Check(t.Context()), c.class)
		if last := d.urls[len(d.urls)-1]; last != c.last || d.urls[0] != "https://id.sophos.com" || d.urls[1] != BaseURL {
			t.Errorf("%q, region %q: went to %v", c.base, c.region, d.urls)
		}
	}
}

func TestOnlyATenantsCredentialsWillDo(t *testing.T) {
	for name, whoami := range map[string]http.HandlerFunc{
		"partner":   vendortest.Answering(200, whoamiJSON("partner", "")),
		"no id":     vendortest.Answering(200, `{"id":"x","idType":"tenant","apiHosts":{"dataRegion":"https://api-eu01.central.sophos.com"}}`),
		"forbidden": vendortest.Answering(403, `{"error":"Forbidden","requestId":"r-1"}`),
		"not found": vendortest.Answering(404, ""),
		"rejected":  vendortest.Answering(401, ""),
	} {
		c := newCentral(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the region was asked", name) })
		c.whoami = whoami
		vendortest.WantClass(t, c.tenant(t).Check(t.Context()), models.Config)
	}
	c := newCentral(t, vendortest.Answering(200, `{"items":[],"pages":{}}`))
	c.whoami = vendortest.Answering(500, "")
	tenant := c.tenant(t)
	_, err := tenant.Isolate(t.Context(), host, "")
	vendortest.WantClass(t, err, models.Transient)
	c.whoami = nil
	vendortest.WantClass(t, tenant.Check(t.Context()), "")
}

func TestRejectedTokenIsReplacedOnce(t *testing.T) {
	for name, act := range map[string]func(*Tenant) error{
		"read":   func(tn *Tenant) error { return tn.Check(context.Background()) },
		"action": func(tn *Tenant) error { _, err := tn.Isolate(context.Background(), host, ""); return err },
	} {
		var requests atomic.Int32
		always := atomic.Bool{}
		c := newCentral(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if always.Load() || r.Header.Get("Authorization") == "Bearer token-1" {
				vendortest.Answer(w, 401, `{"error":"Unauthorized"}`)
				return
			}
			vendortest.Answer(w, 200, `{"items":[],"pages":{},"enabled":true}`)
		})
		tenant := c.tenant(t)
		vendortest.WantClass(t, act(tenant), "")
		if c.tokens.Load() != 2 || requests.Load() != 2 {
			t.Errorf("%s: %d tokens, %d requests", name, c.tokens.Load(), requests.Load())
		}
		always.Store(true)
		vendortest.WantClass(t, act(tenant), models.Config)
		if c.tokens.Load() != 3 || requests.Load() != 4 {
			t.Errorf("%s, rejected twice: %d tokens, %d requests", name, c.tokens.Load(), requests.Load())
		}
	}
}

func TestWithoutTokenNothingIsSent(t *testing.T) {
	for _, c := range []struct {
		name  string
		token http.HandlerFunc
		want  models.VendorClass
		code  string
	}{
		{"wrong secret", vendortest.Answering(401, `{"errorCode":"oauth.invalid_client_secret","message":"Unauthorized","trackingId":"t-1"}`), models.Config, "oauth.invalid_client_secret"},
		{"bad request", vendortest.Answering(400, `{"errorCode":"oauth.invalid"}`), models.Config, "oauth.invalid"},
		{"broken", vendortest.Answering(500, ""), models.Transient, "token"},
		{"empty", vendortest.Answering(200, ""), models.Transient, "token"},
		{"cut", vendortest.Cut, models.Transient, "token"},
		{"too many", vendortest.Answering(429, ""), models.Throttled, "token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newCentral(t, func(http.ResponseWriter, *http.Request) { t.Error("the host was acted on") })
			s.token = c.token
			_, err := s.tenant(t).Isolate(t.Context(), host, "")
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code {
				t.Errorf("code %q", v.Code)
			}
		})
	}
}

func TestFiftyAtOnceShareOneSession(t *testing.T) {
	c := newCentral(t, vendortest.Answering(200, `{"enabled":true}`))
	tenant := c.tenant(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, err := tenant.Isolate(t.Context(), host, ""); vendortest.WantClass(t, err, "") })
	}
	wg.Wait()
	if c.tokens.Load() != 1 || c.whoamis.Load() != 1 {
		t.Errorf("%d tokens, %d times whose", c.tokens.Load(), c.whoamis.Load())
	}
}

func TestWaitingForTheHomeEndsWithTheContext(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	c := newCentral(t, vendortest.Answering(200, `{"items":[],"pages":{}}`))
	c.whoami = func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-over
		vendortest.Answer(w, 200, whoamiJSON("tenant", ""))
	}
	tenant := c.tenant(t)
	first := make(chan error, 1)
	go func() { first <- tenant.Check(context.Background()) }()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	vendortest.WantClass(t, tenant.Check(ctx), models.Transient)
	close(over)
	vendortest.WantClass(t, <-first, "")
}

func TestNewRejectsBadCredentials(t *testing.T) {
	for name, change := range map[string]func(*models.EDRCredentials){
		"client_id":               func(c *models.EDRCredentials) { c.Values["client_id"] = "" },
		"client_secret":           func(c *models.EDRCredentials) { delete(c.Values, "client_secret") },
		"characters a secret":     func(c *models.EDRCredentials) { c.Values["client_secret"] = secret + "\r\nX: y" },
		"base_url":                func(c *models.EDRCredentials) { c.BaseURL = "https://central.evil.example" },
		"base_url: is not a URL":  func(c *models.EDRCredentials) { c.BaseURL = "https://%zz" },
		"base_url: is not a host": func(c *models.EDRCredentials) { c.BaseURL = "http://api-eu01.central.sophos.com" },
		"login_url":               func(c *models.EDRCredentials) { c.Values["login_url"] = "https://id.sophos.com" },
		"login_url: is not": func(c *models.EDRCredentials) {
			c.BaseURL, c.Values["login_url"] = "http://127.0.0.1:1", "https://id.sophos.com"
		},
	} {
		c := credentials("")
		change(&c)
		if _, err := New(c, nil, 0); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := credentials("http://127.0.0.1:1")
	c.Values["login_url"] = "http://127.0.0.1:2"
	if _, err := New(c, &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, time.Second); err != nil {
		t.Error(err)
	}
}
