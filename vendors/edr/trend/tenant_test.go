package trend

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	host  = "035f7d86-9872-4f54-8c78-b67d2e320462"
	other = "135f7d86-9872-4f54-8c78-b67d2e320462"
	token = "topsecrettoken"
)

func newVision(t *testing.T, api http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(api)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func newTenant(t *testing.T, api http.HandlerFunc, timeout ...time.Duration) *Tenant {
	t.Helper()
	tenant, err := New(credentials(newVision(t, api).URL), nil, append(timeout, 0)[0])
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func credentials(base string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: base, Values: map[string]string{"api_token": token}}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Trace-Id", "trace-1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, status, body) }
}

func cutting(w http.ResponseWriter, _ *http.Request) {
	conn, _, _ := http.NewResponseController(w).Hijack()
	_ = conn.Close()
}

func vendorError(t *testing.T, err error) *models.VendorError {
	t.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		t.Fatalf("not a vendor error: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), token) {
			t.Errorf("an error text holds a secret: %v", e)
		}
	}
	return v
}

func wantClass(t *testing.T, err error, want models.VendorClass) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("failed: %v", err)
		}
		return
	}
	if v := vendorError(t, err); v.Class != want {
		t.Errorf("got %+v, want %s", v, want)
	}
}

func TestNewRefusesBadCredentials(t *testing.T) {
	for name, c := range map[string]models.EDRCredentials{
		"api_token: is empty": {BaseURL: "https://api.xdr.trendmicro.com"},
		"api_token":           {BaseURL: "https://api.xdr.trendmicro.com", Values: map[string]string{"api_token": token + "\r\n"}},
		"base_url":            credentials(""),
		"base_url:":           credentials("http://api.eu.xdr.trendmicro.com"),
		"base_url: is not a":  credentials("https://api.eu.xdr.trendmicro.com.evil.example"),
		"is not a region":     credentials("https://api.eu.xdr.trendmicro.com:8443"),
		"not a region":        credentials("https://evil.example/api.xdr.trendmicro.com"),
		"a region":            credentials("https://api.eu.xdr.trendmicro.com/v3.0"),
	} {
		if _, err := New(c, nil, 0); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, base := range []string{"https://api.xdr.trendmicro.com", "https://api.eu.xdr.trendmicro.com/", "https://api.usgov.xdr.trendmicro.com",
		"https://api.xdr.trendmicro.co.jp", "http://127.0.0.1:1"} {
		if _, err := New(credentials(base), nil, 0); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestCheckReadsEndpointsAndTasks(t *testing.T) {
	var asked []string
	tenant := newTenant(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("headers %v", r.Header)
		}
		answer(w, 200, `{"items":[]}`)
	})
	wantClass(t, tenant.Check(t.Context()), "")
	if strings.Join(asked, ", ") != "GET /v3.0/endpointSecurity/endpoints, GET /v3.0/response/tasks" {
		t.Errorf("asked %v", asked)
	}
	for _, c := range []struct {
		status int
		body   string
		want   models.VendorClass
	}{
		{401, `{"error":{"code":"InvalidToken"}}`, models.Config}, {403, `{"error":{"code":"AccessDenied"}}`, models.Config},
		{500, "", models.Transient}, {200, "", models.Transient}, {200, "{}", models.Transient}, {429, "", models.Throttled},
	} {
		wantClass(t, newTenant(t, answering(c.status, c.body)).Check(t.Context()), c.want)
	}
}
