package bearer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

var (
	op   = exchange.Op{Vendor: "acme", Name: "do it", Effect: true}
	look = exchange.Request{Method: http.MethodGet, Path: "/x"}
)

// house hands out tokens and answers everything else with the status of the token.
type house struct {
	*httptest.Server
	issued  atomic.Int32
	seconds int
	status  func(token string) int
}

func newHouse(t *testing.T) (*house, *Tokens) {
	t.Helper()
	h := &house{seconds: 1800, status: func(string) int { return 200 }}
	h.Server = vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/login" {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			w.WriteHeader(h.status(token))
			return
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("client_id") != "client" || r.Method != http.MethodPost {
			t.Errorf("%s %v %v", r.Method, r.PostForm, err)
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%d}`, h.issued.Add(1), h.seconds)
	})
	failure := func(ex *exchange.Exchange, op exchange.Op) *models.VendorError { return ex.Failure(op) }
	return h, New(lineTo(t, h.URL), "/login", url.Values{"client_id": {"client"}}, failure)
}

func lineTo(t *testing.T, address string) *exchange.Line {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	line, err := exchange.NewLine(base, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// do makes one request and returns its status.
func do(t *testing.T, tokens *Tokens) int {
	t.Helper()
	ex, err := tokens.Do(t.Context(), op, tokens.line, look)
	if err != nil {
		t.Fatal(err)
	}
	return ex.Status()
}

func TestATokenIsUsedUntilShortlyBeforeItsEnd(t *testing.T) {
	for seconds, steps := range map[int][]struct {
		after time.Duration
		want  int32
	}{
		1800: {{0, 1}, {time.Second, 1}, {28 * time.Minute, 1}, {time.Minute, 2}},
		10:   {{0, 1}, {8 * time.Second, 1}, {2 * time.Second, 2}},
		0:    {{0, 1}, {0, 2}},
		-5:   {{0, 1}, {0, 2}},
	} {
		h, tokens := newHouse(t)
		h.seconds = seconds
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		tokens.Now = func() time.Time { return now }
		for _, step := range steps {
			now = now.Add(step.after)
			if do(t, tokens) != 200 || h.issued.Load() != step.want {
				t.Errorf("%d s, at %s: %d tokens, want %d", seconds, now.Format(time.TimeOnly), h.issued.Load(), step.want)
			}
		}
	}
}

func TestARejectedTokenIsReplacedOnce(t *testing.T) {
	h, tokens := newHouse(t)
	h.status = func(token string) int { return map[bool]int{true: 401, false: 200}[token == "token-1"] }
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := do(t, tokens); got != 200 {
				t.Errorf("status %d", got)
			}
		})
	}
	wg.Wait()
	if n := h.issued.Load(); n != 2 {
		t.Errorf("%d tokens", n)
	}
	h.status = func(string) int { return 401 }
	if got := do(t, tokens); got != 401 || h.issued.Load() != 3 {
		t.Errorf("status %d, %d tokens", got, h.issued.Load())
	}
}

func TestEveryAttemptHasTheHeadersOfTheRequest(t *testing.T) {
	var seen []string
	login, tokens := newHouse(t)
	api := vendortest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, strings.Join([]string{r.Header.Get("Authorization"), r.Header.Get("X-Tenant"), string(body)}, " "))
		w.WriteHeader(http.StatusUnauthorized)
	})
	header := http.Header{"X-Tenant": {"7"}}
	r := exchange.Request{Method: http.MethodPost, Path: "/x", Header: header, Body: []int{1}}
	if ex, err := tokens.Do(t.Context(), op, lineTo(t, api.URL), r); err != nil || ex.Status() != 401 {
		t.Errorf("%v, %v", ex, err)
	}
	if want := []string{"Bearer token-1 7 [1]", "Bearer token-2 7 [1]"}; !slices.Equal(seen, want) || login.issued.Load() != 2 {
		t.Errorf("asked %q, %d tokens", seen, login.issued.Load())
	}
	if len(header) != 1 {
		t.Errorf("the caller's headers became %v", header)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	h, tokens := newHouse(t)
	h.status = func(string) int { t.Error("a request was made without a token"); return 500 }
	tokens.turn <- struct{}{} // somebody is fetching one
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := tokens.Do(ctx, op, tokens.line, look)
	if models.ClassOf(err) != models.Transient {
		t.Errorf("%v", err)
	}
}
