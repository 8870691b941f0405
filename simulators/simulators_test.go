package simulators

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testSid      = "AC0123456789abcdef0123456789abcdef"
	testToken    = "twilio-secret-token-000001"
	testFrom     = "+18005550100"
	testCallee   = "+4930123456"
	testMailKey  = "SG.sendgrid-secret-key-000001"
	testSender   = "soc@watchfire.example"
	testClientID = "falconclient0001"
	testSecret   = "falcon-secret-000001"

	testSMTPPassword = "smtp-secret-000001"
)

// product is a stand-in for the application the vendors call back.
type product struct {
	*httptest.Server
	mu   sync.Mutex
	got  []received
	says func(r received) (status int, kind, body string) // what /voice answers
	text func(r received) (status int, kind, body string) // what /texts answers
}

type received struct {
	path string
	uri  string // as sent, with the query
	head http.Header
	body string
	form url.Values
}

const menu = `<?xml version="1.0" encoding="UTF-8"?><Response><Gather numDigits="1" timeout="5" action="/voice?k=1" method="POST" actionOnEmptyResult="true"><Say voice="Polly.Joanna">Press 1 to acknowledge.</Say></Gather></Response>`

func newProduct(t *testing.T) *product {
	p := &product{says: func(r received) (int, string, string) {
		switch {
		case !r.form.Has("Digits") || r.form.Get("Digits") == "2":
			return 200, "text/xml", menu
		case r.form.Get("Digits") == "1":
			return 200, "text/xml", `<Response><Say>Recorded &amp; done.</Say><Hangup/></Response>`
		}
		return 200, "text/xml", `<Response><Say>Goodbye.</Say></Response>`
	}}
	p.text = func(received) (int, string, string) { return 204, "", "" }
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *product) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	got := received{path: r.URL.Path, uri: r.RequestURI, head: r.Header.Clone(), body: string(body), form: form}
	p.mu.Lock()
	p.got = append(p.got, got)
	says := map[string]func(received) (int, string, string){"/voice": p.says, "/texts": p.text}[r.URL.Path]
	p.mu.Unlock()
	if says != nil {
		status, kind, answer := says(got)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}
}

func (p *product) requests(path string) []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []received
	for _, r := range p.got {
		if r.path == path {
			out = append(out, r)
		}
	}
	return out
}

// world is a set of simulators with a product behind them.
type world struct {
	t *testing.T
	*Running
	product *product
	key     *ecdsa.PrivateKey
	web     *http.Client
	bearer  string // of CrowdStrike
}

// newWorld is fifty times faster than life: for what is waited for.
func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, 0.02)
}

// unhurried is for tests that look at something before it is over: a sensor takes almost half a second.
func unhurried(t *testing.T) *world {
	t.Helper()
	return worldAt(t, 0.2)
}

func worldAt(t *testing.T, pace float64) *world {
	t.Helper()
	p := newProduct(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(p.URL+"/events", key)
	o.Pace = pace
	o.TwilioInboundTextURL = p.URL + "/texts?k=a%2Fb"
	r, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &world{t: t, Running: r, product: p, key: key, web: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

func testOptions(webhook string, key *ecdsa.PrivateKey) Options {
	return Options{
		TwilioAccountSID: testSid, TwilioAuthToken: testToken, TwilioFrom: testFrom,
		SendGridAPIKey: testMailKey, SendGridFrom: testSender, SendGridWebhookURL: webhook, SendGridWebhookKey: key,
		CrowdStrikeClientID: testClientID, CrowdStrikeClientSecret: testSecret, Pace: 0.02,
		SMTPUser: "soc", SMTPPassword: testSMTPPassword,
	}
}

// answered is what a simulator said; status 0 when the connection was cut.
type answered struct {
	status int
	head   http.Header
	body   []byte
	err    error
}

func (a answered) get(path ...string) any {
	var v any
	_ = json.Unmarshal(a.body, &v)
	for _, key := range path {
		switch node := v.(type) {
		case map[string]any:
			v = node[key]
		case []any:
			v = nil
			if len(node) > 0 {
				v = node[0].(map[string]any)[key]
			}
		}
	}
	return v
}

func (w *world) do(method, url, kind, body string, prepare ...func(*http.Request)) answered {
	w.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for _, p := range prepare {
		p(req)
	}
	res, err := w.web.Do(req)
	if err != nil {
		return answered{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return answered{status: res.StatusCode, head: res.Header, body: b, err: err}
}

func (w *world) steer(base, path, body string) {
	w.t.Helper()
	if a := w.do("POST", base+"/_sim/"+path, "application/json", body); a.status != 200 {
		w.t.Fatalf("steering %s: %d %s", path, a.status, a.body)
	}
}

func (w *world) effects(base string, into any) {
	w.t.Helper()
	if err := json.Unmarshal(w.do("GET", base+"/_sim/effects", "", "").body, into); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) journal(base string) []Entry {
	w.t.Helper()
	var entries []Entry
	if err := json.Unmarshal(w.do("GET", base+"/_sim/journal", "", "").body, &entries); err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// until polls for something that happens by itself.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("never happened: %s", what)
		}
	}
}

func TestStartRefusesWhatIsUnsafe(t *testing.T) {
	fine := testOptions("", nil)
	for name, spoil := range map[string]func(*Options){
		"public address":        func(o *Options) { o.TwilioAddr = "0.0.0.0:0" },
		"empty auth token":      func(o *Options) { o.TwilioAuthToken = "" },
		"empty api key":         func(o *Options) { o.SendGridAPIKey = "" },
		"empty client secret":   func(o *Options) { o.CrowdStrikeClientSecret = "" },
		"events without a key":  func(o *Options) { o.SendGridWebhookURL = "http://127.0.0.1/x" },
		"account without an AC": func(o *Options) { o.TwilioAccountSID = "12" },
		"public mail server":    func(o *Options) { o.SMTPAddr = "0.0.0.0:0" },
		"half an SMTP login":    func(o *Options) { o.SMTPPassword = "" },
		"texts to plain http":   func(o *Options) { o.TwilioInboundTextURL = "http://soc.example/texts" },
		"negative pace":         func(o *Options) { o.Pace = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := fine
			spoil(&o)
			if r, err := Start(t.Context(), o); err == nil {
				_ = r.Close(context.Background())
				t.Fatal("started")
			}
		})
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := testOptions("", nil)
	o.SendGridAddr = l.Addr().String()
	_, err = Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "sendgrid") || !strings.Contains(err.Error(), o.SendGridAddr) {
		t.Fatalf("the error must name simulator and address: %v", err)
	}
}

func TestNothingLeavesTheMachine(t *testing.T) {
	s := New(t.Context(), 0, nil)
	defer func() { _ = s.Close(context.Background()) }()
	_, err := s.web.Get("http://192.0.2.1:80/")
	if !errors.Is(err, errNotLoopback) {
		t.Fatalf("dialed: %v", err)
	}
}

func TestJournalKeepsOrderAndMasksSecrets(t *testing.T) {
	w := newWorld(t)
	w.place(nil)
	w.mail(nil)
	w.login()
	w.do("GET", w.CrowdStrikeURL+"/nowhere?x="+testSecret, "", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+w.bearer) })
	for _, base := range []string{w.TwilioURL, w.SendGridURL, w.CrowdStrikeURL} {
		raw := w.do("GET", base+"/_sim/journal", "", "").body
		for _, secret := range []string{testToken, testMailKey, testSecret, w.bearer, url.QueryEscape(testMailKey)} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("a secret is in the journal of %s", base)
			}
		}
	}
	entries := w.journal(w.CrowdStrikeURL)
	if len(entries) != 2 || entries[0].Path != "/oauth2/token" || entries[1].Status != 404 || entries[1].Query != "x=***" {
		t.Fatalf("journal: %+v", entries)
	}
	if got := entries[0]; got.Status != 201 || got.Body != "client_id="+testClientID+"&client_secret=***" || got.Vendor != "crowdstrike" {
		t.Errorf("token entry: %+v", got)
	}
	call := w.journal(w.TwilioURL)[0]
	if call.Headers["Authorization"] != "Basic ***" || call.Method != "POST" || call.Status != 201 ||
		!strings.Contains(call.Body, "To=%2B4930123456") || call.ContentType != "application/x-www-form-urlencoded" {
		t.Errorf("call entry: %+v", call)
	}
}

func TestJournalIsBounded(t *testing.T) {
	j := NewJournal(nil)
	r := httptest.NewRequest("POST", "/x", nil)
	body := make([]byte, 1<<20)
	for range 300 {
		j.begin("v", time.Now(), r, body)
	}
	if j.bytes > journalBytes || len(j.all()) > 256 || len(j.all()) < 200 {
		t.Fatalf("%d entries, %d bytes", len(j.all()), j.bytes)
	}
}

func TestSteeringRefusesTypos(t *testing.T) {
	w := newWorld(t)
	for path, body := range map[string]string{
		"faults":      `{"rules":[{"op":"plase_call","kind":"status"}]}`,
		"faults?":     `{"rules":[{"op":"place_call","kind":"explode"}]}`,
		"personas":    `{"personas":{"+4930123456":"friendly"}}`,
		"personas?":   `{"personas":{"+4930123456":"text-silent"}}`,
		"personas??":  `{"personas":{"sms:+4930123456":"busy"}}`,
		"personas???": `{"sequence":{"sms:+4930123456":["text-silent","busy"]}}`,
		"faults???":   `{"rules":[{"op":"inbound_text","kind":"status"}]}`,
		"text":        `{"from":"030123456","body":"hello"}`,
		"text?":       `{"from":"` + testFrom + `","body":"hello"}`,
		"text??":      `{"from":"+4930123456","body":""}`,
		"text???":     `{"from":"+4930123456","text":"hello"}`,
		"faults??":    `{"rule":[]}`,
	} {
		if a := w.do("POST", w.TwilioURL+"/_sim/"+strings.TrimRight(path, "?"), "application/json", body); a.status != 400 {
			t.Errorf("%s: %d", body, a.status)
		}
	}
}
