package bearer

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

var op = exchange.Op{Vendor: "acme", Name: "do it", Effect: true}

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
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/login" {
			w.WriteHeader(h.status(r.Header.Get("Authorization")))
			return
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("client_id") != "client" || r.Method != http.MethodPost {
			t.Errorf("%s %v %v", r.Method, r.PostForm, err)
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%d}`, h.issued.Add(1), h.seconds)
	}))
	t.Cleanup(h.Close)
	base, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	line, err := exchange.NewLine(base, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	failure := func(ex *exchange.Exchange, op exchange.Op) *models.VendorError { return ex.Failure(op) }
	return h, New(line, "/login", url.Values{"client_id": {"client"}}, failure)
}

// do makes one request and returns its status.
func do(t *testing.T, tokens *Tokens) int {
	t.Helper()
	ex, err := tokens.Do(t.Context(), op, func(token string) *exchange.Exchange {
		ex := tokens.line.Begin(t.Context())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vendor.invalid/x", nil)
		if err != nil {
			t.Error(err)
			return ex
		}
		req.Header.Set("Authorization", token)
		if resp, err := ex.Client().Do(req); err == nil {
			_ = resp.Body.Close()
		}
		return ex
	})
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

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
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

func TestWaitingEndsWithTheContext(t *testing.T) {
	_, tokens := newHouse(t)
	tokens.turn <- struct{}{} // somebody is fetching one
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := tokens.Do(ctx, op, func(string) *exchange.Exchange { t.Error("without a token"); return nil })
	if models.ClassOf(err) != models.Transient {
		t.Errorf("%v", err)
	}
}
