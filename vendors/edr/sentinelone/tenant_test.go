package sentinelone

import (
	"context"
	"errors"
	"fmt"
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
	id     = "123456789012345678"
	other  = "223456789012345678"
	secret = "topsecrettokenvalue"
)

// console is a pretended SentinelOne.
func console(t *testing.T, api http.HandlerFunc) *Tenant {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ApiToken "+secret {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		w.Header().Set("X-RQID", "trace-1")
		api(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	tenant, err := New(models.EDRCredentials{BaseURL: s.URL, Values: map[string]string{"api_token": secret}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, status, body) }
}

func agents(list ...string) string {
	return `{"data":[` + strings.Join(list, ",") + `],"pagination":{"totalItems":1,"nextCursor":null}}`
}

func agentJSON(id, name, status string) string {
	return fmt.Sprintf(`{"id":%q,"computerName":%q,"networkStatus":%q,"isActive":true,"machineType":"desktop"}`, id, name, status)
}

func vendorError(t *testing.T, err error) *models.VendorError {
	t.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		t.Fatalf("not a vendor error: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("an error text holds the token: %v", e)
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
		answer(w, 200, agents())
	})
	wantClass(t, tenant.Check(t.Context()), "")
	wantClass(t, console(t, answering(401, `{"errors":[{"code":4010010}]}`)).Check(t.Context()), models.Config)
	wantClass(t, console(t, answering(403, `{"errors":[{"code":4030010}]}`)).Check(t.Context()), models.Config)
}

func TestFailuresOfReads(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"token refused", `{"errors":[{"code":4010010,"title":"Authentication Failed","detail":null}]}`, 401, models.Config, "4010010"},
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
			tenant := console(t, answering(c.status, c.body))
			_, found := tenant.Find(t.Context(), "PC-1")
			_, state := tenant.State(t.Context(), id)
			for _, err := range []error{found, state} {
				wantClass(t, err, c.want)
				if v := vendorError(t, err); v.Code != c.code || v.HTTPStatus != c.status || v.RequestID != "trace-1" {
					t.Errorf("got %+v", v)
				}
			}
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	tenant := console(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		answer(w, 429, `{"errors":[{"code":4290010}]}`)
	})
	_, read := tenant.State(t.Context(), id)
	_, act := tenant.Isolate(t.Context(), id, "")
	for _, err := range []error{read, act} {
		wantClass(t, err, models.Throttled)
		if v := vendorError(t, err); v.RetryAfter != 7*time.Second || v.Code != "4290010" {
			t.Errorf("got %+v", v)
		}
	}
}

func TestTheContextEndsARequest(t *testing.T) {
	arrived := make(chan struct{})
	tenant := console(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client left
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := tenant.Isolate(ctx, id, "")
	wantClass(t, err, models.Ambiguous)
}
