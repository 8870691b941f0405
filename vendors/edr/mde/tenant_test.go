package mde

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	id     = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07"
	secret = vendortest.Secret
)

// cloud is a pretended Defender: it logs in, knows one device and its actions, and notes what was
// asked of it. A handler may stand in for any path.
type cloud struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	machines []map[string]any
	actions  []action
	instead  map[string]http.HandlerFunc // by "METHOD /path"
	asked    []string                    // requests that change something: method, path, body
	filters  []string
	tokens   int
}

func newCloud(t *testing.T, actions ...action) *cloud {
	t.Helper()
	c := &cloud{t: t, actions: actions, instead: map[string]http.HandlerFunc{},
		machines: []map[string]any{{"id": id, "computerDnsName": "pc-1.corp.example", "healthStatus": "Active", "osPlatform": "Windows11"}}}
	c.Server = vendortest.Serve(t, c.ServeHTTP)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	login := strings.HasSuffix(r.URL.Path, "/token")
	if r.Method == http.MethodPost && !login {
		c.asked = append(c.asked, r.Method+" "+r.URL.Path+" "+string(body))
	}
	if f := r.URL.Query().Get("$filter"); f != "" {
		c.filters = append(c.filters, f)
	}
	if f := c.instead[r.Method+" "+r.URL.Path]; f != nil {
		f(w, r)
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/api"); {
	case login:
		c.tokens++
		vendortest.Answer(w, 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":"token-%d"}`, c.tokens))
	case path == "/machines":
		c.collection(w, c.machines)
	case path == "/machines/"+id:
		c.collection(w, c.machines[0])
	case path == "/machineactions":
		c.collection(w, c.actions)
	case strings.HasSuffix(path, "/cancel"):
		for i := range c.actions {
			if strings.Contains(path, c.actions[i].ID) {
				c.actions[i].Status = "Cancelled"
				c.collection(w, c.actions[i])
			}
		}
	case path == "/machines/"+id+"/isolate", path == "/machines/"+id+"/unisolate":
		a := newAction(9, map[bool]string{true: isolate, false: unisolate}[strings.HasSuffix(path, "/isolate")], "Pending", 9, 9)
		c.actions = append(c.actions, a)
		w.WriteHeader(201)
		_ = json.NewEncoder(w).Encode(a)
	default:
		vendortest.Answer(w, 404, `{"error":{"code":"ResourceNotFound","message":"x","target":"t"}}`)
	}
}

func (c *cloud) collection(w http.ResponseWriter, v any) {
	if reflect.ValueOf(v).Kind() == reflect.Slice {
		if reflect.ValueOf(v).Len() == 0 {
			v = []int{}
		}
		v = map[string]any{"value": v}
	}
	_ = json.NewEncoder(w).Encode(v)
}

func (c *cloud) credentials() models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: c.URL, Values: map[string]string{
		"tenant_id": "contoso.example", "client_id": "0000-1", "client_secret": secret, "login_url": c.URL}}
}

func (c *cloud) tenant() *Tenant {
	c.t.Helper()
	t, err := New(c.credentials(), nil, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return t
}

func (c *cloud) changes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// newAction is the nth action, created and last updated at these minutes.
func newAction(n int, kind, status string, created, updated int) action {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return action{ID: nth(n), Type: kind, Status: status, Machine: id,
		Created: at.Add(time.Duration(created) * time.Minute), Updated: at.Add(time.Duration(updated) * time.Minute)}
}

func nth(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func only(_ string, err error) error { return err }

func TestLogin(t *testing.T) {
	c := newCloud(t)
	c.instead["POST /contoso.example/oauth2/v2.0/token"] = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
			t.Errorf("%v %v", r.Header, r.URL)
		}
		vendortest.Answer(w, 200, `{"access_token":"token-x","expires_in":3599}`)
	}
	vendortest.WantClass(t, c.tenant().Check(t.Context()), "")
	for name, f := range map[string]struct {
		answer http.HandlerFunc
		class  models.VendorClass
		code   string
	}{
		"wrong secret":   {vendortest.Answering(401, `{"error":"invalid_client","error_codes":[7000215],"trace_id":"abc","error_description":"x"}`), models.Config, "AADSTS7000215"},
		"unknown tenant": {vendortest.Answering(400, `{"error":"invalid_request","error_codes":[90002]}`), models.Config, "AADSTS90002"},
		"no number":      {vendortest.Answering(400, `{"error":"invalid_scope"}`), models.Config, "invalid_scope"},
		"attacker text":  {vendortest.Answering(400, `{"error":"<script>"}`), models.Config, "token"},
		"broken":         {vendortest.Answering(503, "<html>"), models.Transient, "token"},
		"no token":       {vendortest.Answering(200, `{}`), models.Transient, "token"},
	} {
		c.instead["POST /contoso.example/oauth2/v2.0/token"] = f.answer
		tenant := c.tenant()
		vendortest.WantClass(t, only(tenant.Isolate(t.Context(), id, "")), f.class)
		if v := vendortest.ErrorOf(t, tenant.Check(t.Context())); v.Code != f.code {
			t.Errorf("%s: code %q", name, v.Code)
		}
	}
	if got := c.changes(); len(got) != 0 {
		t.Errorf("without a token something was sent: %v", got)
	}
}

func TestLoginForm(t *testing.T) {
	want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"0000-1"}, "client_secret": {secret},
		"scope": {"https://api.securitycenter.microsoft.com/.default"}}
	seen := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen++
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.Path != "/contoso.example/oauth2/v2.0/token" || !reflect.DeepEqual(r.PostForm, want) {
			t.Errorf("%s %s %v %v", r.Method, r.URL, r.PostForm, err)
		}
		vendortest.Answer(w, 403, "")
	}))
	defer s.Close()
	tenant, err := New(models.EDRCredentials{BaseURL: BaseURL, Values: map[string]string{
		"tenant_id": "contoso.example", "client_id": "0000-1", "client_secret": secret, "login_url": s.URL}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	vendortest.WantClass(t, tenant.Check(t.Context()), models.Config)
	if seen != 1 {
		t.Errorf("%d requests", seen)
	}
}

func TestRejectedTokenIsReplacedOnce(t *testing.T) {
	c := newCloud(t)
	rejected := 0
	c.instead["POST /api/machines/"+id+"/isolate"] = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			rejected++
			vendortest.Answer(w, 401, `{"error":{"code":"Unauthorized","message":"x"}}`)
			return
		}
		w.WriteHeader(201)
		_ = json.NewEncoder(w).Encode(newAction(9, isolate, "Pending", 9, 9))
	}
	if got, err := c.tenant().Isolate(t.Context(), id, ""); err != nil || got != nth(9) || rejected != 1 || c.tokens != 2 {
		t.Errorf("%q, %v, %d rejected, %d tokens", got, err, rejected, c.tokens)
	}
	c.instead["POST /api/machines/"+id+"/isolate"] = vendortest.Answering(401, `{"error":{"code":"Unauthorized","message":"x"}}`)
	vendortest.WantClass(t, only(c.tenant().Isolate(t.Context(), id, "")), models.Config)
}

func TestNewRejectsBadCredentials(t *testing.T) {
	for field, change := range map[string]func(*models.EDRCredentials){
		"tenant_id":      func(c *models.EDRCredentials) { c.Values["tenant_id"] = "a/../b" + secret },
		"client_id":      func(c *models.EDRCredentials) { c.Values["client_id"] = "" },
		"client_secret":  func(c *models.EDRCredentials) { delete(c.Values, "client_secret") },
		"base_url":       func(c *models.EDRCredentials) { c.BaseURL = "http://api.security.microsoft.com" },
		"base_url: is n": func(c *models.EDRCredentials) { c.BaseURL = "https://api.security.microsoft.com.evil.example" },
		"base_url: is":   func(c *models.EDRCredentials) { c.BaseURL = "https://10.0.0.1" },
		"login_url: is":  func(c *models.EDRCredentials) { c.Values["login_url"] = "https://login.microsoftonline.com:8443" },
		"login_url":      func(c *models.EDRCredentials) { c.Values["login_url"] = "https://user:" + secret + "@login.example" },
	} {
		c := newCloud(t).credentials()
		change(&c)
		if _, err := New(c, nil, 0); err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, base := range []string{"", BaseURL, "https://eu.api.security.microsoft.com", "https://api-eu.securitycenter.microsoft.com/"} {
		c := models.EDRCredentials{BaseURL: base, Values: map[string]string{"tenant_id": "t", "client_id": "c", "client_secret": "s"}}
		if _, err := New(c, nil, time.Second); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	c := newCloud(t)
	c.instead["POST /api/machines/"+id+"/isolate"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		vendortest.Answer(w, 429, `{"error":{"code":"TooManyRequests","message":"x","target":"trace-1"}}`)
	}
	v := vendortest.ErrorOf(t, only(c.tenant().Isolate(t.Context(), id, "")))
	if v.Class != models.Throttled || v.RetryAfter != 17*time.Second || v.Code != "TooManyRequests" || v.RequestID != "trace-1" {
		t.Errorf("%+v", v)
	}
}
