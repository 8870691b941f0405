package crowdstrike

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	aid    = "0123456789abcdef0123456789abcdef"
	secret = vendortest.Secret
)

// cloud is a pretended Falcon: the token endpoint works, the rest is the test's.
type cloud struct {
	*httptest.Server
	tokens  atomic.Int32 // how many were issued
	expires int          // seconds
	api     http.HandlerFunc
	token   http.HandlerFunc // instead of the working one
}

func newCloud(t *testing.T, api http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{expires: 1799, api: api}
	c.Server = vendortest.Serve(t, c.ServeHTTP)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-CS-TRACEID", "trace-1")
	switch {
	case r.URL.Path != "/oauth2/token":
		c.api(w, r)
	case c.token != nil:
		c.token(w, r)
	default:
		vendortest.Answer(w, 201, fmt.Sprintf(`{"access_token":"token-%d","expires_in":%d,"token_type":"bearer"}`, c.tokens.Add(1), c.expires))
	}
}

func (c *cloud) falcon(t *testing.T, change ...func(*models.EDRCredentials)) *Tenant {
	t.Helper()
	s := credentials(c.URL)
	for _, f := range change {
		f(&s)
	}
	f, err := New(s, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func credentials(base string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: base, Values: map[string]string{"client_id": "client", "client_secret": secret}}
}

func enveloped(resources string, errs string) string {
	return `{"meta":{"query_time":0.1,"trace_id":"trace-1"},"resources":` + resources + `,"errors":` + errs + `}`
}

func deviceJSON(id, hostname, status string) string {
	return fmt.Sprintf(`{"cid":"c","device_id":%q,"hostname":%q,"status":%q}`, id, hostname, status)
}

func TestTokenRequest(t *testing.T) {
	for member, want := range map[string]url.Values{
		"": {"client_id": {"client"}, "client_secret": {secret}},
		"0123456789ABCDEF0123456789ABCDEF-12": {"client_id": {"client"}, "client_secret": {secret},
			"member_cid": {"0123456789ABCDEF0123456789ABCDEF-12"}},
	} {
		c := newCloud(t, vendortest.Answering(200, enveloped("[]", "[]")))
		c.token = func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || !reflect.DeepEqual(r.PostForm, want) || r.URL.RawQuery != "" {
				t.Errorf("form %v, query %q, %v", r.PostForm, r.URL.RawQuery, err)
			}
			if r.Header.Get("Authorization") != "" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("headers %v", r.Header)
			}
			vendortest.Answer(w, 201, `{"access_token":"token-x","expires_in":1799}`)
		}
		if _, err := c.falcon(t, func(s *models.EDRCredentials) { s.Values["member_cid"] = member }).Find(t.Context(), "PC-1"); err != nil {
			t.Error(err)
		}
	}
}

func TestTokenIsKeptUntilShortlyBeforeItsEnd(t *testing.T) {
	c := newCloud(t, vendortest.Answering(200, enveloped("[]", "[]")))
	f := c.falcon(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.tokens.Now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		want  int32
	}{{0, 1}, {time.Second, 1}, {28 * time.Minute, 1}, {time.Minute, 2}, {time.Minute, 2}} {
		now = now.Add(step.after)
		if _, err := f.Find(t.Context(), "PC-1"); err != nil {
			t.Fatal(err)
		}
		if got := c.tokens.Load(); got != step.want {
			t.Errorf("at %s: %d tokens, want %d", now.Format(time.TimeOnly), got, step.want)
		}
	}
}

func TestRejectedTokenIsReplacedOnce(t *testing.T) {
	var requests atomic.Int32
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Header.Get("Authorization") == "Bearer token-1" {
			vendortest.Answer(w, 401, `{"errors":[{"code":401,"message":"access denied, invalid bearer token"}]}`)
			return
		}
		vendortest.Answer(w, 200, enveloped("[]", "[]"))
	})
	f := c.falcon(t)
	_, err := f.Find(t.Context(), "PC-1")
	vendortest.WantClass(t, err, "")
	_, err = f.Find(t.Context(), "PC-1")
	vendortest.WantClass(t, err, "")
	if c.tokens.Load() != 2 || requests.Load() != 3 {
		t.Errorf("%d tokens, %d requests", c.tokens.Load(), requests.Load())
	}
}

func TestTokensRejectedTwiceAreAMatterOfConfiguration(t *testing.T) {
	var requests atomic.Int32
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		vendortest.Answer(w, 401, `{"errors":[{"code":401,"message":"x"}]}`)
	})
	vendortest.WantClass(t, only(c.falcon(t).Isolate(t.Context(), aid, "")), models.Config)
	if c.tokens.Load() != 2 || requests.Load() != 2 {
		t.Errorf("%d tokens, %d requests", c.tokens.Load(), requests.Load())
	}
}

func TestWithoutTokenNothingIsSent(t *testing.T) {
	for _, c := range []struct {
		name  string
		token http.HandlerFunc
		want  models.VendorClass
	}{
		{"wrong secret", vendortest.Answering(401, `{"errors":[{"code":401}]}`), models.Config},
		{"forbidden", vendortest.Answering(403, `{"errors":[{"code":403}]}`), models.Config},
		{"unknown client", vendortest.Answering(400, `{"errors":[{"code":400}]}`), models.Config},
		{"broken", vendortest.Answering(500, ""), models.Transient},
		{"empty", vendortest.Answering(201, ""), models.Transient},
		{"no token in it", vendortest.Answering(201, `{"expires_in":1799}`), models.Transient},
		{"token with a line break", vendortest.Answering(201, `{"access_token":"a\r\nX: y","expires_in":1799}`), models.Transient},
		{"cut", vendortest.Cut, models.Transient},
		{"too many", vendortest.Answering(429, `{"errors":[{"code":429}]}`), models.Throttled},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("the host was acted on") })
			cloud.token = c.token
			vendortest.WantClass(t, only(cloud.falcon(t).Isolate(t.Context(), aid, "")), c.want)
		})
	}
}

func TestWaitingForATokenEndsWithTheContext(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	c := newCloud(t, vendortest.Answering(200, enveloped("[]", "[]")))
	c.token = func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-over
		vendortest.Answer(w, 201, `{"access_token":"token-1","expires_in":1799}`)
	}
	f := c.falcon(t)
	first := make(chan error, 1)
	go func() { _, err := f.Find(context.Background(), "PC-1"); first <- err }()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Find(ctx, "PC-1")
	vendortest.WantClass(t, err, models.Transient)
	close(over)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestFiftyAtOnceShareOneToken(t *testing.T) {
	var mu sync.Mutex
	contained := map[string]int{}
	var stale atomic.Bool
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if stale.Load() && r.Header.Get("Authorization") == "Bearer token-1" {
			vendortest.Answer(w, 401, `{"errors":[{"code":401}]}`)
			return
		}
		var body struct{ IDs []string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.IDs) != 1 {
			t.Errorf("ids %v, %v", body.IDs, err)
			return
		}
		mu.Lock()
		contained[body.IDs[0]]++
		mu.Unlock()
		vendortest.Answer(w, 202, enveloped(`[{"id":"`+body.IDs[0]+`","path":"/x"}]`, "[]"))
	})
	f := c.falcon(t)
	all := func(prefix string) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { vendortest.WantClass(t, only(f.Isolate(t.Context(), fmt.Sprintf("%s%d", prefix, i), "")), "") })
		}
		wg.Wait()
	}
	all("a")
	if c.tokens.Load() != 1 {
		t.Errorf("%d tokens for one tenant", c.tokens.Load())
	}
	stale.Store(true) // Falcon revokes it
	all("b")
	if c.tokens.Load() != 2 {
		t.Errorf("%d tokens after one was revoked", c.tokens.Load())
	}
	if len(contained) != 100 {
		t.Errorf("%d hosts", len(contained))
	}
	for id, n := range contained {
		if n != 1 {
			t.Errorf("%s contained %d times", id, n)
		}
	}
}

func TestWithoutAnswer(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		f := newCloud(t, nil).falcon(t, func(c *models.EDRCredentials) { c.BaseURL = vendortest.Nobody() })
		vendortest.WantClass(t, only(f.Isolate(t.Context(), aid, "")), models.Transient)
	})
	t.Run("cut after the request", func(t *testing.T) {
		var requests atomic.Int32
		f := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			vendortest.Cut(w, r)
		}).falcon(t)
		vendortest.WantClass(t, only(f.Isolate(t.Context(), aid, "")), models.Ambiguous)
		if requests.Load() != 1 {
			t.Errorf("%d requests", requests.Load())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCloud(t, vendortest.Hanging(cancel))
		vendortest.WantClass(t, only(c.falcon(t).Release(ctx, aid, "")), models.Ambiguous)
	})
}

func TestThrottledSaysHowLong(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		fmt.Sprint(at.Unix() + 9):        9 * time.Second, // as clients in use read it
		fmt.Sprint(at.UnixMilli() + 900): 900 * time.Millisecond,
		"":                               0,
	} {
		f := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", at.Format(http.TimeFormat))
			w.Header().Set("X-RateLimit-RetryAfter", value)
			vendortest.Answer(w, 429, `{"errors":[{"code":429,"message":"API rate limit exceeded"}]}`)
		}).falcon(t)
		v := vendortest.ErrorOf(t, only(f.Isolate(t.Context(), aid, "")))
		if v.Class != models.Throttled || v.RetryAfter != want || v.Code != "429" || v.RequestID != "trace-1" {
			t.Errorf("%q: %+v", value, v)
		}
	}
}

func TestNewRejectsBadCredentials(t *testing.T) {
	for field, change := range map[string]func(*models.EDRCredentials){
		"client_id":         func(c *models.EDRCredentials) { c.Values["client_id"] = "" },
		"client_secret":     func(c *models.EDRCredentials) { delete(c.Values, "client_secret") },
		"member_cid":        func(c *models.EDRCredentials) { c.Values["member_cid"] = "a&b=c" },
		"base_url":          func(c *models.EDRCredentials) { c.BaseURL = "http://api.crowdstrike.com" },
		"base_url: ":        func(c *models.EDRCredentials) { c.BaseURL = "https://user:" + secret + "@api.crowdstrike.com" },
		"base_url: is not ": func(c *models.EDRCredentials) { c.BaseURL = "https://api.crowdstrike.com:x" + secret },
	} {
		c := credentials(BaseURL)
		change(&c)
		if _, err := New(c, nil, 0); err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, base := range []string{"", BaseURL, "https://api.eu-1.crowdstrike.com"} {
		if _, err := New(credentials(base), nil, time.Second); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestFalconIsOnlySpokenToInItsClouds(t *testing.T) {
	for host, good := range map[string]bool{
		"api.crowdstrike.com.evil.example": false, "api.crowdstrike.com:8443": false, "10.0.0.1": false,
		"api.crowdstrike.com": true, "api.us-2.crowdstrike.com": true, "api.eu-1.crowdstrike.com": true,
	} {
		_, err := New(credentials("https://"+host), nil, 0)
		if (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
	f, err := New(credentials("http://127.0.0.1:1"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Isolate(t.Context(), "*", "")
	vendortest.WantClass(t, err, models.Rejected)
	_, err = f.Release(t.Context(), "*", "")
	vendortest.WantClass(t, err, models.Rejected)
}

func TestCheck(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/devices/queries/devices/v1" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		vendortest.Answer(w, 200, enveloped(`["`+aid+`"]`, "[]"))
	})
	vendortest.WantClass(t, c.falcon(t).Check(t.Context()), "")
	vendortest.WantClass(t, newCloud(t, vendortest.Answering(403, enveloped("[]", `[{"code":403}]`))).falcon(t).Check(t.Context()), models.Config)
}

// only drops the action of an action: Falcon has none.
func only(_ string, err error) error { return err }
