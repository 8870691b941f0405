package twilio

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
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	token   = "0123456789abcdef0123456789abcdef"
	from    = "+15550001111"
	to      = "+15550002222"
	sid     = "CA0123456789abcdef0123456789abcdef"
)

var request = models.OutboundCall{
	To: to, RingFor: 25 * time.Second,
	VoiceURL:  "https://mdr.example/hooks/twilio/voice?c=k1",
	StatusURL: "https://mdr.example/hooks/twilio/status?c=k1",
}

// serve starts a pretended Twilio and returns a caller that talks to it.
func serve(t *testing.T, h http.HandlerFunc) *Caller {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return callerAt(t, s.URL, 0)
}

func callerAt(t *testing.T, base string, timeout time.Duration) *Caller {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Settings{AccountSID: account, AuthToken: token, From: from, BaseURL: u, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Twilio-Request-Id", "RQ1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func callJSON(id, status, created string) string {
	return fmt.Sprintf(`{"sid":%q,"status":%q,"date_created":%s,"to":%q}`, id, status, created, to)
}

func vendorError(t *testing.T, err error) *models.VendorError {
	t.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		t.Fatalf("not a vendor error: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, secret := range []string{account, token, to, from, "%2B1555"} {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("an error text holds %q: %v", secret, e)
			}
		}
	}
	return v
}

func TestPlaceSendsTheRequest(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Calls.json" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		if user, password, _ := r.BasicAuth(); user != account || password != token {
			t.Error("wrong credentials")
		}
		if got := r.Header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
			t.Errorf("content type %q", got)
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		want := url.Values{
			"To": {to}, "From": {from}, "Timeout": {"25"},
			"Url": {request.VoiceURL}, "Method": {"POST"},
			"StatusCallback": {request.StatusURL}, "StatusCallbackMethod": {"POST"},
			"StatusCallbackEvent": {"initiated", "ringing", "answered", "completed"},
		}
		if !reflect.DeepEqual(r.PostForm, want) {
			t.Errorf("form %v", r.PostForm)
		}
		answering(201, callJSON(sid, "queued", `"Sun, 01 Mar 2026 12:00:00 +0000"`))(w, r)
	})
	got, err := c.Place(t.Context(), request)
	want := models.PlacedCall{ID: sid, Status: models.CallQueued, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPlaceAsksInTheBackgroundWhetherAMachineAnswers(t *testing.T) {
	const findings = "https://mdr.example/hooks/twilio/machine?c=k1"
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"MachineDetection": "Enable", "AsyncAmd": "true",
			"AsyncAmdStatusCallback": findings, "AsyncAmdStatusCallbackMethod": "POST", "Url": request.VoiceURL,
		} {
			if got := r.PostFormValue(name); got != want {
				t.Errorf("%s=%q, want %q", name, got, want)
			}
		}
		answering(201, callJSON(sid, "queued", "null"))(w, r)
	})
	o := request
	o.MachineURL = findings
	if _, err := c.Place(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestPlaceTakesTheTimeOfTheAnswerWhenTwilioNamesNone(t *testing.T) {
	c := serve(t, answering(201, callJSON(sid, "queued", "null")))
	got, err := c.Place(t.Context(), request)
	if err != nil || time.Since(got.At) > time.Minute {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRingTime(t *testing.T) {
	for ring, want := range map[time.Duration]string{
		0: "", 1500 * time.Millisecond: "2", 30 * time.Second: "30", time.Hour: "600",
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.PostFormValue("Timeout"); got != want {
				t.Errorf("%v: Timeout %q, want %q", ring, got, want)
			}
			answering(201, callJSON(sid, "queued", "null"))(w, r)
		})
		o := request
		o.RingFor = ring
		if _, err := c.Place(t.Context(), o); err != nil {
			t.Error(err)
		}
	}
}

func TestPlaceRejectsWithoutAsking(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for _, number := range []string{"", "5550002222", "+0155500", "+1555000222x", "+15550002222\r\nX: y", "client:bob"} {
		o := request
		o.To = number
		_, err := c.Place(t.Context(), o)
		if v := vendorError(t, err); v.Class != models.Rejected {
			t.Errorf("%q: %v", number, v)
		}
	}
	for _, address := range []string{"", "/relative", "ftp://mdr.example/x"} {
		o := request
		o.VoiceURL = address
		_, err := c.Place(t.Context(), o)
		if v := vendorError(t, err); v.Class != models.Config {
			t.Errorf("%q: %v", address, v)
		}
	}
	o := request
	o.MachineURL = "/relative"
	_, err := c.Place(t.Context(), o)
	if v := vendorError(t, err); v.Class != models.Config {
		t.Errorf("machine URL: %v", v)
	}
}

func TestPlaceFailures(t *testing.T) {
	problem := func(code int) string {
		return fmt.Sprintf(`{"code":%d,"message":"The number %s is not valid","more_info":"https://x","status":400}`, code, to)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		class  models.VendorClass
		code   string
	}{
		{"invalid number", 400, problem(21211), models.Rejected, "21211"},
		{"number not permitted, as 403", 403, problem(21215), models.Rejected, "21215"},
		{"our number is wrong", 400, problem(21212), models.Config, "21212"},
		{"other rejection", 400, problem(21000), models.Rejected, "21000"},
		{"wrong token", 401, problem(20003), models.Config, "20003"},
		{"account suspended", 403, problem(20005), models.Config, "20005"},
		{"not found", 404, problem(20404), models.Rejected, "20404"},
		{"too many", 429, problem(20429), models.Throttled, "20429"},
		{"too many calls at once", 400, problem(10004), models.Throttled, "10004"},
		{"broken", 500, problem(20500), models.Ambiguous, "20500"},
		{"proxy page", 503, "<html>Service Unavailable</html>", models.Ambiguous, ""},
		{"empty proxy error", 502, "", models.Ambiguous, ""},
		{"empty success", 201, "", models.Ambiguous, ""},
		{"cut success", 201, `{"sid":"CA01`, models.Ambiguous, ""},
		{"success without a call", 201, `{}`, models.Ambiguous, ""},
		{"success of another shape", 200, `[]`, models.Ambiguous, ""},
		{"redirect that carries a call", 302, callJSON(sid, "queued", "null"), models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := serve(t, answering(c.status, c.body)).Place(t.Context(), request)
			v := vendorError(t, err)
			if v.Class != c.class || v.Code != c.code || v.HTTPStatus != c.status || v.RequestID != "RQ1" {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "12")
		answering(429, `{"code":20429}`)(w, r)
	})
	_, err := c.Place(t.Context(), request)
	if v := vendorError(t, err); v.Class != models.Throttled || v.RetryAfter != 12*time.Second {
		t.Errorf("got %+v", v)
	}
}

func TestPlaceWithoutAnswer(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		_, err = callerAt(t, "http://"+l.Addr().String(), 0).Place(t.Context(), request)
		if v := vendorError(t, err); v.Class != models.Transient {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("cut after the request", func(t *testing.T) {
		var requests atomic.Int32
		_, err := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}).Place(t.Context(), request)
		if v := vendorError(t, err); v.Class != models.Ambiguous || requests.Load() != 1 {
			t.Errorf("got %+v after %d requests", v, requests.Load())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		defer close(over)
		_, err := serve(t, func(http.ResponseWriter, *http.Request) { cancel(); <-over }).Place(ctx, request)
		if v := vendorError(t, err); v.Class != models.Ambiguous || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("too slow", func(t *testing.T) {
		over := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
		defer s.Close()
		defer close(over)
		_, err := callerAt(t, s.URL, time.Second).Place(t.Context(), request)
		if v := vendorError(t, err); v.Class != models.Ambiguous || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v", v)
		}
	})
}

func TestEnvironmentDoesNotMoveTheHost(t *testing.T) {
	t.Setenv("TWILIO_EDGE", "sydney")
	t.Setenv("TWILIO_REGION", "au1")
	hosts := make(chan string, 1)
	c, err := New(Settings{AccountSID: account, AuthToken: token, From: from,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			hosts <- r.URL.Scheme + "://" + r.URL.Host
			return nil, errors.New("no network")
		})})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Place(t.Context(), request)
	if got := <-hosts; got != "https://api.twilio.com" {
		t.Errorf("went to %s", got)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestStatus(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Calls/"+sid+".json" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		answering(200, callJSON(sid, "no-answer", "null"))(w, r)
	})
	if got, err := c.Status(t.Context(), sid); err != nil || got.Status != models.CallNoAnswer || got.ID != sid {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, id := range []string{"", "CA1", sid + "/../x", "*"} {
		_, err := c.Status(t.Context(), id)
		if v := vendorError(t, err); v.Class != models.Rejected {
			t.Errorf("%q: %+v", id, v)
		}
	}
}

func TestStatusFailures(t *testing.T) {
	for status, want := range map[int]models.VendorClass{
		404: models.Rejected, 401: models.Config, 429: models.Throttled, 500: models.Transient, 200: models.Transient,
	} {
		_, err := serve(t, answering(status, `{"code":20404}`)).Status(t.Context(), sid)
		if v := vendorError(t, err); v.Class != want {
			t.Errorf("%d: %+v", status, v)
		}
	}
}

func TestHangup(t *testing.T) {
	for _, c := range []struct {
		name                 string
		update               int
		now                  string
		want                 models.VendorClass
		updateBody, readBody string
	}{
		{name: "a call that rings", update: 200, updateBody: callJSON(sid, "completed", "null")},
		{name: "already over", update: 400, updateBody: `{"code":21220}`, readBody: callJSON(sid, "busy", "null")},
		{name: "rejected while it lasts", update: 400, updateBody: `{"code":21220}`, readBody: callJSON(sid, "ringing", "null"), want: models.Rejected},
		{name: "unknown call", update: 404, updateBody: `{"code":20404}`, want: models.Rejected},
		{name: "broken", update: 500, want: models.Ambiguous},
		{name: "empty success", update: 200, want: models.Ambiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					if r.PostFormValue("Status") != "completed" || len(r.PostForm) != 1 {
						t.Errorf("form %v", r.PostForm)
					}
					answering(c.update, c.updateBody)(w, r)
					return
				}
				if c.readBody == "" {
					answering(404, `{"code":20404}`)(w, r)
					return
				}
				answering(200, c.readBody)(w, r)
			}).Hangup(t.Context(), sid)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if v := vendorError(t, err); v.Class != c.want {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestRecentFindsWaitingAndStartedCalls(t *testing.T) {
	id := func(n int) string { return fmt.Sprintf("CA%032d", n) }
	waiting := callJSON(id(1), "queued", "null")
	var asked []url.Values
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query())
		w.Header().Set("Date", "Sun, 01 Mar 2026 13:00:00 GMT")
		if r.URL.Query().Get("Status") == "queued" {
			answering(200, `{"calls":[`+waiting+`]}`)(w, r)
			return
		}
		answering(200, `{"calls":[`+strings.Join([]string{
			callJSON(id(1), "ringing", `"Sun, 01 Mar 2026 12:00:00 +0000"`), // it started meanwhile
			callJSON(id(2), "completed", `"Sun, 01 Mar 2026 12:00:05 +0000"`),
		}, ",")+`]}`)(w, r)
	})
	got, now, err := c.Recent(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != id(1) || got[0].Status != models.CallRinging || got[1].ID != id(2) {
		t.Errorf("got %+v", got)
	}
	if want := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC); !now.Equal(want) {
		t.Errorf("the carrier's time is %v, want %v", now, want)
	}
	for _, q := range asked {
		if q.Get("To") != to || q.Get("From") != from {
			t.Errorf("asked %v", q)
		}
	}
	if asked[0].Get("Status") != "queued" {
		t.Error("a waiting call may start between the two questions")
	}
}

// pages serves lists of rows, so many a page, as Twilio does: the next page only by its token.
func pages(name string, size int, rows []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		first, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("PageToken"), "PA"))
		last, next := min(first+size, len(rows)), "null"
		if last < len(rows) {
			next = fmt.Sprintf(`"/2010-04-01/Accounts/%s/%s.json?PageSize=%d&Page=1&PageToken=PA%d"`, account, name, size, last)
		}
		answering(200, fmt.Sprintf(`{%q:[%s],"next_page_uri":%s}`, name, strings.Join(rows[first:last], ","), next))(w, r)
	}
}

func TestListsAreReadToTheEndOrNotAtAll(t *testing.T) {
	var calls, texts, events []string
	for n := range 451 {
		calls = append(calls, callJSON(fmt.Sprintf("CA%032d", n), "completed", `"Sun, 01 Mar 2026 12:00:00 +0000"`))
		texts = append(texts, textJSON(fmt.Sprintf("SM%032d", n), "sent", "null", "x"))
		events = append(events, fmt.Sprintf(`{"request":{"url":"https://mdr.example/hooks/%d","method":"POST","parameters":{}},"response":{}}`, n))
	}
	events = append(events, `{"request":null}`)
	if got, _, err := serve(t, pages("calls", 200, calls)).Recent(t.Context(), to); err != nil || len(got) != 451 {
		t.Errorf("%d calls, %v", len(got), err)
	}
	if got, err := serve(t, pages("messages", 200, texts)).RecentTexts(t.Context(), to); err != nil || len(got) != 451 {
		t.Errorf("%d texts, %v", len(got), err)
	}
	got, err := serve(t, pages("events", 200, events)).Requests(t.Context(), sid)
	if err != nil || len(got) != 451 || got[450] != "https://mdr.example/hooks/450" {
		t.Errorf("%d requests, %v", len(got), err)
	}
	for name, h := range map[string]http.HandlerFunc{
		"a list without end":          pages("calls", 1, calls),
		"a next page without a token": answering(200, `{"calls":[],"next_page_uri":"/2010-04-01/x?Page=1"}`),
		"a next page that is none":    answering(200, `{"calls":[],"next_page_uri":7}`),
		"a second page that fails": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("PageToken") {
				answering(503, "")(w, r)
				return
			}
			pages("calls", 200, calls)(w, r)
		},
	} {
		if got, _, err := serve(t, h).Recent(t.Context(), to); vendorError(t, err).Class != models.Transient || got != nil {
			t.Errorf("%s: %d calls, %v", name, len(got), err)
		}
	}
	if _, err := serve(t, answering(404, "")).Requests(t.Context(), sid); vendorError(t, err).Class != models.Rejected {
		t.Errorf("requests of no call: %v", err)
	}
}

func TestRecentNeverTakesABrokenAnswerForNoCalls(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"calls":null}`, `{"calls":[{}]}`, `{"calls":[`} {
		_, _, err := serve(t, answering(200, body)).Recent(t.Context(), to)
		if v := vendorError(t, err); v.Class != models.Transient {
			t.Errorf("%q: %+v", body, v)
		}
	}
	got, _, err := serve(t, answering(200, `{"calls":[]}`)).Recent(t.Context(), to)
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFiftyCallsAtOnce(t *testing.T) {
	var mu sync.Mutex
	called := map[string]int{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		number := r.PostFormValue("To")
		called[number]++
		answering(201, callJSON("CA"+fmt.Sprintf("%032s", number[1:]), "queued", "null"))(w, r)
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			o := request
			o.To = fmt.Sprintf("+1555000%04d", i)
			got, err := c.Place(t.Context(), o)
			if err != nil || !strings.HasSuffix(got.ID, o.To[1:]) {
				t.Errorf("call %d: %+v, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	for number, n := range called {
		if n != 1 {
			t.Errorf("%s was called %d times", number, n)
		}
	}
	if len(called) != 50 {
		t.Errorf("%d numbers were called", len(called))
	}
}

func TestNewRejectsBadSettings(t *testing.T) {
	good := Settings{AccountSID: account, AuthToken: token, From: from}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Settings){
		"no token":            func(s *Settings) { s.AuthToken = "" },
		"token with a hyphen": func(s *Settings) { s.AuthToken = "secret-token" },
		"no account":          func(s *Settings) { s.AccountSID = "" },
		"short account":       func(s *Settings) { s.AccountSID = "AC01" },
		"upper-case account":  func(s *Settings) { s.AccountSID = strings.ToUpper(account) },
		"no number":           func(s *Settings) { s.From = "" },
		"local number":        func(s *Settings) { s.From = "0301234567" },
		"plain http":          func(s *Settings) { s.BaseURL = &url.URL{Scheme: "http", Host: "api.twilio.com"} },
	} {
		s := good
		spoil(&s)
		_, err := New(s)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: the error quotes the token", name)
		}
	}
}
