package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

var (
	effect = Op{Vendor: "acme", Name: "do it", Effect: true}
	look   = Op{Vendor: "acme", Name: "look"}
)

// post sends one POST to the server at base and returns the exchange.
func post(t *testing.T, ctx context.Context, base string, transport http.RoundTripper, timeout time.Duration) *Exchange {
	t.Helper()
	ex := begin(t, ctx, base, transport, timeout)
	send(ex)
	return ex
}

func begin(t *testing.T, ctx context.Context, base string, transport http.RoundTripper, timeout time.Duration) *Exchange {
	t.Helper()
	return lineTo(t, base, transport, timeout).Begin(ctx)
}

func lineTo(t *testing.T, base string, transport http.RoundTripper, timeout time.Duration) *Line {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	line, err := NewLine(u, transport, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// send uses a context-free request to some other host, as the SDKs do.
func send(ex *Exchange) {
	req, _ := http.NewRequest(http.MethodPost, "https://vendor.example/v1/act", strings.NewReader("a=b"))
	if resp, err := ex.Client().Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// brokenConn stops taking bytes when told to.
type brokenConn struct {
	net.Conn
	broken atomic.Bool
}

func (c *brokenConn) Write(b []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(b)
}

func wantClass(t *testing.T, ex *Exchange, op Op, want models.VendorClass) {
	t.Helper()
	f := ex.Failure(op)
	if f.Class != want {
		t.Errorf("%s: class %q (status %d, cause %v), want %q", op.Name, f.Class, f.HTTPStatus, f.Cause, want)
	}
	if f.Vendor != op.Vendor || f.Op != op.Name {
		t.Errorf("the error names %s %s", f.Vendor, f.Op)
	}
}

func TestClassOfEveryStatus(t *testing.T) {
	for status, want := range map[int]models.VendorClass{
		200: models.Ambiguous, 202: models.Ambiguous, 302: models.Ambiguous, 307: models.Ambiguous,
		400: models.Rejected, 401: models.Config, 403: models.Config, 404: models.Rejected,
		405: models.Rejected, 407: models.Config, 408: models.Ambiguous, 409: models.Rejected,
		413: models.Rejected, 422: models.Rejected, 429: models.Throttled,
		500: models.Ambiguous, 502: models.Ambiguous, 503: models.Ambiguous, 504: models.Ambiguous,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := vendortest.Serve(t, vendortest.Answering(status, "<html>not what was expected"))
			ex := post(t, t.Context(), s.URL, nil, 0)
			wantClass(t, ex, effect, want)
			if want == models.Ambiguous {
				want = models.Transient // a read may simply be repeated
			}
			wantClass(t, ex, look, want)
		})
	}
}

func TestNothingWasSent(t *testing.T) {
	t.Run("connection refused", func(t *testing.T) {
		wantClass(t, post(t, t.Context(), vendortest.Nobody(), nil, 0), effect, models.Transient)
	})
	t.Run("name not found", func(t *testing.T) {
		noName := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "vendor.example", IsNotFound: true}
		}}
		wantClass(t, post(t, t.Context(), "https://vendor.example", noName, 0), effect, models.Transient)
	})
	t.Run("certificate not trusted", func(t *testing.T) {
		s := httptest.NewUnstartedServer(vendortest.Answering(200, "{}"))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		wantClass(t, post(t, t.Context(), s.URL, nil, 0), effect, models.Transient)
	})
	t.Run("context over before the start", func(t *testing.T) {
		s := vendortest.Serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request was sent") })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ex := post(t, ctx, s.URL, nil, 0)
		wantClass(t, ex, effect, models.Transient)
		if !errors.Is(ex.Failure(effect), context.Canceled) {
			t.Error("the cause is not the cancelled context")
		}
	})
	t.Run("kept connection broken, vendor gone", func(t *testing.T) {
		s := vendortest.Serve(t, vendortest.Answering(200, "{}"))
		kept := &brokenConn{}
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			if kept.Conn != nil {
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			kept.Conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return kept, err
		}}
		if ex := post(t, t.Context(), s.URL, transport, 0); !ex.OK() {
			t.Fatal("the first exchange failed")
		}
		kept.broken.Store(true)
		wantClass(t, post(t, t.Context(), s.URL, transport, 0), effect, models.Transient)
	})
	t.Run("request never built", func(t *testing.T) {
		wantClass(t, begin(t, t.Context(), "https://vendor.example", nil, 0), effect, models.Config)
	})
}

func TestItMayHaveHappened(t *testing.T) {
	t.Run("connection cut after the request", func(t *testing.T) {
		wantClass(t, post(t, t.Context(), vendortest.Serve(t, vendortest.Cut).URL, nil, 0), effect, models.Ambiguous)
	})
	t.Run("no answer in time", func(t *testing.T) {
		s := vendortest.Serve(t, vendortest.Hanging(func() {}))
		ex := post(t, t.Context(), s.URL, nil, time.Second)
		wantClass(t, ex, effect, models.Ambiguous)
		wantClass(t, ex, look, models.Transient)
	})
	t.Run("cancelled while waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := vendortest.Serve(t, vendortest.Hanging(cancel))
		wantClass(t, post(t, ctx, s.URL, nil, 0), effect, models.Ambiguous)
	})
	t.Run("body cut", func(t *testing.T) {
		s := vendortest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"id":`)
		})
		ex := post(t, t.Context(), s.URL, nil, 0)
		if err := ex.Decode(&struct{}{}); err == nil {
			t.Error("half a body was decoded")
		}
		wantClass(t, ex, effect, models.Ambiguous)
	})
	t.Run("body without end", func(t *testing.T) {
		s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"id":"`)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		})
		ex := post(t, t.Context(), s.URL, nil, 0)
		if len(ex.body) > maxBody || ex.Decode(&struct{}{}) == nil {
			t.Errorf("%d bytes were read", len(ex.body))
		}
		wantClass(t, ex, effect, models.Ambiguous)
	})
}

func TestStatusIsKnownWhenTheBodyOfAnErrorIsCut(t *testing.T) {
	s := vendortest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"co`)
	})
	wantClass(t, post(t, t.Context(), s.URL, nil, 0), effect, models.Rejected)
}

func TestALongAnswerIsCutWhereTheRequestSays(t *testing.T) {
	long := `{"x":"` + strings.Repeat("y", maxBody) + `"}`
	s := vendortest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) })
	line := lineTo(t, s.URL, nil, 0)
	for most, cut := range map[int64]bool{0: true, int64(len(long)) - 1: true, int64(len(long)): false, 2 * maxBody: false} {
		ex := line.Send(t.Context(), Request{Method: http.MethodGet, Path: "/", Most: most})
		if ex.Cut() != cut || (ex.Decode(&struct{}{}) == nil) == cut || !ex.OK() {
			t.Errorf("%d bytes: cut %v, %d read", most, ex.Cut(), len(ex.body))
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := vendortest.Serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request went elsewhere") })
	s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	ex := post(t, t.Context(), s.URL, nil, 0)
	if ex.Status() != http.StatusTemporaryRedirect {
		t.Errorf("status %d", ex.Status())
	}
}

func TestAnExchangeSendsOnce(t *testing.T) {
	requests := 0
	s := vendortest.Serve(t, func(http.ResponseWriter, *http.Request) { requests++ })
	ex := post(t, t.Context(), s.URL, nil, 0)
	send(ex)
	if requests != 1 || ex.Status() != 200 {
		t.Errorf("%d requests, status %d", requests, ex.Status())
	}
}

func TestRequestsGoToTheLine(t *testing.T) {
	s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "127.0.0.1:") || r.URL.Path != "/sim/v1/act" {
			t.Errorf("host %q, path %q", r.Host, r.URL.Path)
		}
	})
	if ex := post(t, t.Context(), s.URL+"/sim/", nil, 0); !ex.OK() {
		t.Error("not sent")
	}
}

func TestSendAsksForJSON(t *testing.T) {
	const json = "application/json"
	for _, c := range []struct {
		name            string
		request         Request
		uri, kind, body string // kind is the type of the body
		auth            string
	}{
		{"a read", Request{Method: http.MethodGet, Path: "/v1/hosts?name=PC-1", Header: http.Header{"Authorization": {"Bearer x"}}},
			"/v1/hosts?name=PC-1", "", "", "Bearer x"},
		{"an action", Request{Method: http.MethodPatch, Path: "/v1/hosts", Body: map[string]bool{"isolate": true}},
			"/v1/hosts", json, `{"isolate":true}`, ""},
		{"a type of its own", Request{Method: http.MethodPost, Path: "/", Header: http.Header{"Content-Type": {json + ";charset=utf-8"}}, Body: []int{}},
			"/", json + ";charset=utf-8", "[]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != c.request.Method || r.URL.RequestURI() != c.uri || string(body) != c.body || r.Header.Get("Content-Type") != c.kind ||
					r.Header.Get("Accept") != json || r.Header.Get("Authorization") != c.auth {
					t.Errorf("%s %s %s, headers %v", r.Method, r.URL, body, r.Header)
				}
				vendortest.Answer(w, 200, `{"ok":true}`)
			})
			var answer struct{ OK bool }
			if ex := lineTo(t, s.URL, nil, 0).Send(t.Context(), c.request); !ex.OK() || ex.Decode(&answer) != nil || !answer.OK {
				t.Errorf("status %d, %+v", ex.Status(), answer)
			}
		})
	}
}

func TestSendSendsNothingThatCannotBeBuilt(t *testing.T) {
	s := vendortest.Serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for _, r := range []Request{
		{Method: http.MethodPost, Path: "/", Body: func() {}}, {Method: "NO METHOD", Path: "/"}, {Method: http.MethodGet, Path: "/%zz"},
	} {
		wantClass(t, lineTo(t, s.URL, nil, 0).Send(t.Context(), r), effect, models.Config)
	}
}

func TestRetryAfter(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"7":                              7 * time.Second,
		"-7":                             0,
		"soon":                           0,
		"Sun, 01 Mar 2026 12:00:30 GMT":  30 * time.Second,
		"Sun, 01 Mar 2026 11:00:30 GMT":  0,
		fmt.Sprint(at.Unix() + 4):        4 * time.Second,
		fmt.Sprint(at.UnixMilli() + 400): 400 * time.Millisecond,
		fmt.Sprint(at.Unix() - 4):        0,
		"99999999999999999":              time.Hour,
		"86400":                          time.Hour,
	} {
		s := vendortest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", at.Format(http.TimeFormat))
			w.Header().Set("X-RateLimit-Reset", value)
			w.WriteHeader(429)
		})
		ex := post(t, t.Context(), s.URL, nil, 0)
		if got := ex.RetryAfter("X-Absent", "X-RateLimit-Reset"); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestNewLine(t *testing.T) {
	for base, good := range map[string]bool{
		"https://api.vendor.example":     true,
		"https://api.vendor.example/eu":  true,
		"http://127.0.0.1:8080":          true,
		"http://[::1]:8080":              true,
		"http://localhost:8080":          true,
		"http://api.vendor.example":      false,
		"http://127.0.0.1.evil.example":  false,
		"http://10.0.0.1":                false,
		"ftp://127.0.0.1":                false,
		"https://user:secret@v.example":  false,
		"https://api.vendor.example?a=b": false,
		"https://":                       false,
		"api.vendor.example":             false,
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewLine(u, nil, 0); (err == nil) != good {
			t.Errorf("%s: %v", base, err)
		}
	}
	if _, err := NewLine(nil, nil, 0); err == nil {
		t.Error("no base was accepted")
	}
	if _, err := NewLine(&url.URL{Scheme: "https", Host: "v.example"}, nil, -1); err == nil {
		t.Error("a negative timeout was accepted")
	}
}
