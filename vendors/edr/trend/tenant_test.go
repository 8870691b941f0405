package trend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	host  = "035f7d86-9872-4f54-8c78-b67d2e320462"
	other = "135f7d86-9872-4f54-8c78-b67d2e320462"
	token = vendortest.Secret
)

func newTenant(t *testing.T, api http.HandlerFunc, timeout ...time.Duration) *Tenant {
	t.Helper()
	s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Trace-Id", "trace-1")
		api(w, r)
	})
	tenant, err := New(credentials(s.URL), nil, append(timeout, 0)[0])
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func credentials(base string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: base, Values: map[string]string{"api_token": token}}
}

func TestNewRejectsBadCredentials(t *testing.T) {
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
		vendortest.Answer(w, 200, `{"items":[]}`)
	})
	vendortest.WantClass(t, tenant.Check(t.Context()), "")
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
		vendortest.WantClass(t, newTenant(t, vendortest.Answering(c.status, c.body)).Check(t.Context()), c.want)
	}
}
