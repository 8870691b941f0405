package sentinelone

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	id     = "123456789012345678"
	other  = "223456789012345678"
	secret = vendortest.Secret
)

// console is a pretended SentinelOne.
func console(t *testing.T, api http.HandlerFunc) *Tenant {
	t.Helper()
	s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ApiToken "+secret {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		w.Header().Set("X-RQID", "trace-1")
		api(w, r)
	})
	tenant, err := New(models.EDRCredentials{BaseURL: s.URL, Values: map[string]string{"api_token": secret}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func agents(list ...string) string {
	return `{"data":[` + strings.Join(list, ",") + `],"pagination":{"totalItems":1,"nextCursor":null}}`
}

func agentJSON(id, name, status string) string {
	return fmt.Sprintf(`{"id":%q,"computerName":%q,"networkStatus":%q,"isActive":true,"machineType":"desktop"}`, id, name, status)
}

func TestNewNamesTheFieldAndNotItsValue(t *testing.T) {
	for _, c := range []struct{ base, token, field string }{
		{"https://usea1-mdr.sentinelone.net", "", "api_token"},
		{"https://usea1-mdr.sentinelone.net", secret + "\r\nX-Evil: 1", "api_token"},
		{"https://usea1-mdr.sentinelone.net", secret + " ", "api_token"},
		{"", secret, "base_url"},
		{"://" + secret, secret, "base_url"},
		{"http://usea1-mdr.sentinelone.net", secret, "base_url"},
		{"https://sentinelone.net.evil.example", secret, "base_url"},
		{"https://evilsentinelone.net", secret, "base_url"},
		{"https://169.254.169.254", secret, "base_url"},
		{"https://usea1-mdr.sentinelone.net/elsewhere", secret, "base_url"},
		{"https://user:" + secret + "@usea1-mdr.sentinelone.net", secret, "base_url"},
	} {
		_, err := New(models.EDRCredentials{BaseURL: c.base, Values: map[string]string{"api_token": c.token}}, nil, 0)
		if err == nil || !strings.Contains(err.Error(), c.field) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, base := range []string{"https://usea1-mdr.sentinelone.net", "https://EUCE1.sentinelone.net/", "http://127.0.0.1:1"} {
		if _, err := New(models.EDRCredentials{BaseURL: base, Values: map[string]string{"api_token": secret}}, nil, time.Second); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestCheckReadsOneAgent(t *testing.T) {
	tenant := console(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/web/api/v2.1/agents" || r.URL.RawQuery != "limit=1" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		vendortest.Answer(w, 200, agents())
	})
	vendortest.WantClass(t, tenant.Check(t.Context()), "")
	vendortest.WantClass(t, console(t, vendortest.Answering(401, `{"errors":[{"code":4010010}]}`)).Check(t.Context()), models.Config)
	vendortest.WantClass(t, console(t, vendortest.Answering(403, `{"errors":[{"code":4030010}]}`)).Check(t.Context()), models.Config)
}

func TestFailuresOfReads(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"token rejected", `{"errors":[{"code":4010010,"title":"Authentication Failed","detail":null}]}`, 401, models.Config, "4010010"},
		{"not allowed", `{"errors":[{"code":4030010}]}`, 403, models.Config, "4030010"},
		{"bad request", `{"errors":[{"code":4000040}]}`, 400, models.Rejected, "4000040"},
		{"broken", `{"errors":[{"code":5000010}]}`, 500, models.Transient, "5000010"},
		{"proxy page", "<html>", 502, models.Transient, ""},
		{"redirect", "", 302, models.Transient, ""},
		{"errors inside 200", `{"data":[],"errors":[{"code":4030010}]}`, 200, models.Config, "4030010"},
		{"strange error inside 200", `{"data":[],"errors":[{"code":7}]}`, 200, models.Transient, "7"},
		{"no data", `{}`, 200, models.Transient, ""},
		{"cut", `{"data":[{"id"`, 200, models.Transient, ""},
		{"empty", "", 200, models.Transient, ""},
		{"a list", "[]", 200, models.Transient, ""},
		{"wrong type", `{"data":[{"id":5}]}`, 200, models.Transient, ""},
		{"an id of another form", agents(agentJSON("../../x", "PC-1", "connected")), 200, models.Transient, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := console(t, vendortest.Answering(c.status, c.body))
			_, found := tenant.Find(t.Context(), "PC-1")
			_, state := tenant.State(t.Context(), id)
			for _, err := range []error{found, state} {
				vendortest.WantClass(t, err, c.want)
				if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status || v.RequestID != "trace-1" {
					t.Errorf("got %+v", v)
				}
			}
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	tenant := console(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		vendortest.Answer(w, 429, `{"errors":[{"code":4290010}]}`)
	})
	_, read := tenant.State(t.Context(), id)
	_, act := tenant.Isolate(t.Context(), id, "")
	for _, err := range []error{read, act} {
		vendortest.WantClass(t, err, models.Throttled)
		if v := vendortest.ErrorOf(t, err); v.RetryAfter != 7*time.Second || v.Code != "4290010" {
			t.Errorf("got %+v", v)
		}
	}
}

func TestTheContextEndsARequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := console(t, vendortest.Hanging(cancel)).Isolate(ctx, id, "")
	vendortest.WantClass(t, err, models.Ambiguous)
}
