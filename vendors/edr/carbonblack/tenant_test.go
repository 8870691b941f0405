package carbonblack

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	id     = "98765"
	secret = vendortest.Secret
)

func values() map[string]string {
	return map[string]string{"org_key": "ORG12345", "api_id": "APIID12345", "api_secret": secret}
}

// cloud is a pretended Carbon Black Cloud.
func cloud(t *testing.T, api http.HandlerFunc) *Tenant {
	t.Helper()
	s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Auth-Token") != secret+"/APIID12345" || r.Header.Get("Authorization") != "" {
			t.Errorf("headers %v", r.Header)
		}
		api(w, r)
	})
	tenant, err := New(models.EDRCredentials{BaseURL: s.URL, Values: values()}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func TestNewNamesTheFieldAndNotItsValue(t *testing.T) {
	const good = "https://defense-eu.conferdeploy.net"
	for _, c := range []struct{ base, value, field string }{
		{good, "", "org_key"},
		{good, "../" + secret, "org_key"},
		{good, "", "api_id"},
		{good, secret + "/x", "api_id"},
		{good, "", "api_secret"},
		{good, secret + "\r\nX-Evil: 1", "api_secret"},
		{"", "", "base_url"},
		{"://" + secret, "", "base_url"},
		{"http://defense.conferdeploy.net", "", "base_url"},
		{"https://defense.conferdeploy.net.evil.example", "", "base_url"},
		{"https://evilconferdeploy.net", "", "base_url"},
		{"https://169.254.169.254", "", "base_url"},
		{good + "/elsewhere", "", "base_url"},
		{"https://user:" + secret + "@defense.conferdeploy.net", "", "base_url"},
	} {
		v := values()
		if c.field != "base_url" {
			v[c.field] = c.value
		}
		_, err := New(models.EDRCredentials{BaseURL: c.base, Values: v}, nil, 0)
		if err == nil || !strings.Contains(err.Error(), c.field) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, base := range []string{good, "https://Dashboard.Confer.net/", "https://ew2.carbonblackcloud.vmware.com",
		"https://gprd1usgw1.carbonblack-us-gov.vmware.com", "http://[::1]:8080"} {
		if _, err := New(models.EDRCredentials{BaseURL: base, Values: values()}, nil, time.Second); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestCheckSearchesForOneDevice(t *testing.T) {
	tenant := cloud(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/appservices/v6/orgs/ORG12345/devices/_search" || string(body) != `{"start":0,"rows":1}` {
			t.Errorf("%s %s %s", r.Method, r.URL, body)
		}
		vendortest.Answer(w, 200, `{"results":[],"num_found":0}`)
	})
	vendortest.WantClass(t, tenant.Check(t.Context()), "")
	vendortest.WantClass(t, cloud(t, vendortest.Answering(401, "")).Check(t.Context()), models.Config)
	vendortest.WantClass(t, cloud(t, vendortest.Answering(403, "")).Check(t.Context()), models.Config)
}

func TestFailuresOfReads(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"key rejected", `{"error_code":"UNAUTHENTICATED","message":"x"}`, 401, models.Config, "UNAUTHENTICATED"},
		{"not allowed", `{"error_code":"UNAUTHORIZED","message":"x"}`, 403, models.Config, "UNAUTHORIZED"},
		{"bad request", `{"error_code":"INVALID"}`, 400, models.Rejected, "INVALID"},
		{"a code with other text in it", `{"error_code":"no\nsuch thing"}`, 400, models.Rejected, ""},
		{"broken", "", 500, models.Transient, ""},
		{"proxy page", "<html>", 502, models.Transient, ""},
		{"redirect", "", 302, models.Transient, ""},
		{"nothing in it", `{}`, 200, models.Transient, ""},
		{"cut", `{"results":[{"id"`, 200, models.Transient, ""},
		{"empty", "", 200, models.Transient, ""},
		{"a list", "[]", 200, models.Transient, ""},
		{"an id that is a text", `{"id":"98765","quarantined":false,"results":[{"id":"98765"}]}`, 200, models.Transient, ""},
		{"an id below zero", `{"id":-5,"quarantined":false,"results":[{"id":-5,"quarantined":false}]}`, 200, models.Transient, ""},
		{"no word on the quarantine", `{"id":98765,"results":[{"id":98765,"name":"PC-1"}]}`, 200, models.Transient, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := cloud(t, vendortest.Answering(c.status, c.body))
			_, found := tenant.Find(t.Context(), "PC-1")
			_, state := tenant.State(t.Context(), id)
			for _, err := range []error{found, state} {
				vendortest.WantClass(t, err, c.want)
				if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status {
					t.Errorf("got %+v", v)
				}
			}
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	tenant := cloud(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "300")
		vendortest.Answer(w, 429, "")
	})
	_, read := tenant.State(t.Context(), id)
	_, act := tenant.Isolate(t.Context(), id, "")
	for _, err := range []error{read, act} {
		vendortest.WantClass(t, err, models.Throttled)
		if v := vendortest.ErrorOf(t, err); v.RetryAfter != 5*time.Minute {
			t.Errorf("got %+v", v)
		}
	}
}

func TestTheContextEndsARequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := cloud(t, vendortest.Hanging(cancel)).Isolate(ctx, id, "")
	vendortest.WantClass(t, err, models.Ambiguous)
}
