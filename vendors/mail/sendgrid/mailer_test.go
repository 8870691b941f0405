package sendgrid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	key = "SG.0123456789.abcdefghij"
	to  = "ciso@client.example"
)

var letter = models.OutboundMail{
	To: to, ToName: "Chris Example",
	Subject: "[SI-1042-0007] revision 1: critical incident",
	Text:    "Please read.", HTML: "<p>Please read.</p>",
	MessageID:  "abc123@mdr.example",
	References: []string{"first@mdr.example", "second@mdr.example"},
	Opaque:     map[string]string{"mdr_delivery_id": "d1", "mdr_incident": "SI-1042-0007"},
}

// serve starts a pretended SendGrid and returns a mailer that talks to it.
func serve(t *testing.T, h http.HandlerFunc) *Mailer {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return mailerAt(t, s.URL, 0)
}

func mailerAt(t *testing.T, base string, timeout time.Duration) *Mailer {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Settings{APIKey: key, From: "soc@mdr.example", FromName: "MDR", BaseURL: u, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func accepting(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Message-Id", "m1")
	w.WriteHeader(http.StatusAccepted)
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func vendorError(t *testing.T, err error) *models.VendorError {
	t.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		t.Fatalf("not a vendor error: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), to) || strings.Contains(e.Error(), key) {
			t.Errorf("an error text holds an address or the key: %v", e)
		}
	}
	return v
}

// sent is the part of a message the tests look at.
type sent struct {
	From struct{ Email, Name string }

	Personalizations []struct {
		To         []struct{ Email, Name string }
		CustomArgs map[string]string `json:"custom_args"`
	}
	Subject string
	Content []struct{ Type, Value string }
	Headers map[string]string

	CustomArgs json.RawMessage `json:"custom_args"`
	Tracking   map[string]struct {
		Enable     *bool `json:"enable"`
		EnableText *bool `json:"enable_text"`
	} `json:"tracking_settings"`
}

// capture sends one mail and returns what arrived.
func capture(t *testing.T, out models.OutboundMail) sent {
	t.Helper()
	var got sent
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		accepting(w, r)
	})
	if _, err := m.Send(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSendAsksForOneMail(t *testing.T) {
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.String() != "/v3/mail/send" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if r.Header.Get("Authorization") != "Bearer "+key || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		accepting(w, r)
	})
	if id, err := m.Send(t.Context(), letter); err != nil || id != "m1" {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestMessage(t *testing.T) {
	got := capture(t, letter)
	if got.From.Email != "soc@mdr.example" || got.From.Name != "MDR" || got.Subject != letter.Subject {
		t.Errorf("from %+v, subject %q", got.From, got.Subject)
	}
	if len(got.Personalizations) != 1 || len(got.Personalizations[0].To) != 1 ||
		got.Personalizations[0].To[0].Email != to || got.Personalizations[0].To[0].Name != "Chris Example" {
		t.Errorf("to %+v", got.Personalizations)
	}
	if !maps.Equal(got.Personalizations[0].CustomArgs, letter.Opaque) || got.CustomArgs != nil {
		t.Errorf("custom args %v and %s", got.Personalizations[0].CustomArgs, got.CustomArgs)
	}
	if len(got.Content) != 2 || got.Content[0].Type != "text/plain" || got.Content[1].Type != "text/html" ||
		got.Content[0].Value != letter.Text || got.Content[1].Value != letter.HTML {
		t.Errorf("content %+v", got.Content)
	}
	want := map[string]string{
		"Message-ID": "<abc123@mdr.example>", "In-Reply-To": "<second@mdr.example>",
		"References": "<first@mdr.example> <second@mdr.example>",
	}
	if !maps.Equal(got.Headers, want) {
		t.Errorf("headers %v", got.Headers)
	}
	for _, name := range []string{"click_tracking", "open_tracking", "subscription_tracking"} {
		if s := got.Tracking[name]; s.Enable == nil || *s.Enable {
			t.Errorf("%s is not off", name)
		}
	}
	if s := got.Tracking["click_tracking"]; s.EnableText == nil || *s.EnableText {
		t.Error("links in plain text are tracked")
	}
}

// A mail goes to a domain by its A-labels, and is looked for there.
func TestDomainsAreALabels(t *testing.T) {
	var asked []string
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		asked = append(asked, query+string(body))
		if strings.HasSuffix(r.URL.Path, "/mail/send") {
			accepting(w, r)
		} else {
			answering(http.StatusOK, `{"messages":[]}`)(w, r)
		}
	})
	out := letter
	out.To = "ada@BÜCHER.example"
	_, err := m.Send(t.Context(), out)
	_, _, lookup := m.Lookup(t.Context(), out, time.Now())
	if err != nil || lookup != nil || len(asked) < 2 {
		t.Fatalf("%v, %v, %q", err, lookup, asked)
	}
	for _, request := range asked {
		if !strings.Contains(request, "ada@xn--bcher-kva.example") || strings.Contains(strings.ToLower(request), "bücher") {
			t.Errorf("asked %s", request)
		}
	}
}

func TestHostileFieldsCannotAddHeaders(t *testing.T) {
	out := letter
	out.Subject = "Alert\r\nBcc: thief@evil.example\u2028X: y\x00"
	out.ToName = "Bob\r\nCc: thief@evil.example"
	out.MessageID = "<a b\r\nX-Evil: 1>@x"
	out.References = []string{"r1\r\nX: y", "", "<>", "r2\u2028"}
	got := capture(t, out)
	if got.Subject != "Alert Bcc: thief@evil.example X: y" || got.Personalizations[0].To[0].Name != "Bob Cc: thief@evil.example" {
		t.Errorf("subject %q, name %q", got.Subject, got.Personalizations[0].To[0].Name)
	}
	want := map[string]string{"Message-ID": "<abX-Evil:1@x>", "References": "<r1X:y> <r2>", "In-Reply-To": "<r2>"}
	if !maps.Equal(got.Headers, want) {
		t.Errorf("headers %q", got.Headers)
	}
}

func TestLongThreadsKeepTheFirstAndTheNearest(t *testing.T) {
	out := letter
	out.References = nil
	for i := range 100 {
		out.References = append(out.References, fmt.Sprintf("r%d@mdr.example", i))
	}
	refs := strings.Fields(capture(t, out).Headers["References"])
	if len(refs) != 20 || refs[0] != "<r0@mdr.example>" || refs[19] != "<r99@mdr.example>" || refs[1] != "<r81@mdr.example>" {
		t.Errorf("references %v", refs)
	}
}

func TestSendRejectsWithoutAsking(t *testing.T) {
	m := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for code, spoil := range map[string]func(*models.OutboundMail){
		"invalid_address": func(o *models.OutboundMail) { o.To = "Bob <bob@x.example>" },
		"no_content":      func(o *models.OutboundMail) { o.Text, o.HTML = "", "" },
		"no_subject":      func(o *models.OutboundMail) { o.Subject = "\r\n" },
		"opaque_key":      func(o *models.OutboundMail) { o.Opaque = map[string]string{"event": "x"} },
		"opaque_size":     func(o *models.OutboundMail) { o.Opaque = map[string]string{"mdr_x": strings.Repeat("x", 10_001)} },
	} {
		out := letter
		spoil(&out)
		_, err := m.Send(t.Context(), out)
		if v := vendorError(t, err); v.Class != models.Rejected || v.Code != code {
			t.Errorf("%s: %+v", code, v)
		}
	}
	out := letter
	out.To = "bob@x.example\r\nBcc: c@x.example"
	_, err := m.Send(t.Context(), out)
	if v := vendorError(t, err); v.Class != models.Rejected {
		t.Errorf("%+v", v)
	}
}

func TestSendFailures(t *testing.T) {
	problem := `{"errors":[{"message":"` + to + ` is not valid","field":"personalizations.0.to.0.email","help":null}]}`
	for _, c := range []struct {
		name   string
		status int
		body   string
		class  models.VendorClass
		code   string
	}{
		{"bad request", 400, problem, models.Rejected, "personalizations.0.to.0.email"},
		{"wrong key", 401, `{"errors":[{"message":"denied","field":null}]}`, models.Config, ""},
		{"sender not verified", 403, `{"errors":[{"message":"x","field":"from"}]}`, models.Config, "from"},
		{"wrong path", 404, "", models.Rejected, ""},
		{"too large", 413, "", models.Rejected, ""},
		{"broken", 500, `{"errors":[]}`, models.Ambiguous, ""},
		{"proxy page", 503, "<html>", models.Ambiguous, ""},
		{"accepted without an id", 202, "", models.Ambiguous, ""},
		{"sandbox", 200, "", models.Ambiguous, ""},
		{"redirect", 307, "", models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := serve(t, answering(c.status, c.body)).Send(t.Context(), letter)
			if v := vendorError(t, err); v.Class != c.class || v.Code != c.code || v.HTTPStatus != c.status {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.Format(http.TimeFormat))
		w.Header().Set("X-RateLimit-Reset", fmt.Sprint(at.Unix()+4))
		w.WriteHeader(429)
	})
	_, err := m.Send(t.Context(), letter)
	if v := vendorError(t, err); v.Class != models.Throttled || v.RetryAfter != 4*time.Second {
		t.Errorf("got %+v", v)
	}
}

func TestSendWithoutAnswer(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		_, err = mailerAt(t, "http://"+l.Addr().String(), 0).Send(t.Context(), letter)
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
		}).Send(t.Context(), letter)
		if v := vendorError(t, err); v.Class != models.Ambiguous || requests.Load() != 1 {
			t.Errorf("got %+v after %d requests", v, requests.Load())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		defer close(over)
		_, err := serve(t, func(http.ResponseWriter, *http.Request) { cancel(); <-over }).Send(ctx, letter)
		if v := vendorError(t, err); v.Class != models.Ambiguous || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", v)
		}
	})
}

func TestFiftyMailsAtOnce(t *testing.T) {
	var mu sync.Mutex
	mailed := map[string]int{}
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var got sent
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
			return
		}
		p := got.Personalizations[0]
		mu.Lock()
		defer mu.Unlock()
		mailed[p.To[0].Email]++
		if p.CustomArgs["mdr_delivery_id"]+"@client.example" != p.To[0].Email {
			t.Errorf("mixed up: %+v", p)
		}
		w.Header().Set("X-Message-Id", p.CustomArgs["mdr_delivery_id"])
		w.WriteHeader(http.StatusAccepted)
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			out, name := letter, fmt.Sprintf("d%d", i)
			out.To, out.Opaque = name+"@client.example", map[string]string{"mdr_delivery_id": name}
			if id, err := m.Send(t.Context(), out); err != nil || id != name {
				t.Errorf("mail %d: %q, %v", i, id, err)
			}
		})
	}
	wg.Wait()
	for address, n := range mailed {
		if n != 1 {
			t.Errorf("%s got %d mails", address, n)
		}
	}
	if len(mailed) != 50 {
		t.Errorf("%d addresses were mailed", len(mailed))
	}
}

func TestNewRejectsBadSettings(t *testing.T) {
	good := Settings{APIKey: key, From: "soc@mdr.example"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Settings){
		"no key":            func(s *Settings) { s.APIKey = "" },
		"key with a break":  func(s *Settings) { s.APIKey = "SG.x\r\nX: y" },
		"no sender":         func(s *Settings) { s.From = "" },
		"sender with name":  func(s *Settings) { s.From = "SOC <soc@mdr.example>" },
		"plain http":        func(s *Settings) { s.BaseURL = &url.URL{Scheme: "http", Host: "api.sendgrid.com"} },
		"negative time out": func(s *Settings) { s.Timeout = -1 },
	} {
		s := good
		spoil(&s)
		if _, err := New(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
