package hooks_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
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

// A signature of each vendor that has its form and that nobody made.
var (
	forgedCall = map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(make([]byte, 20))}
	forgedMail = map[string]string{
		"X-Twilio-Email-Event-Webhook-Signature": "MAYCAQECAQE=", "X-Twilio-Email-Event-Webhook-Timestamp": "1773889800",
	}
)

const (
	mailPath = "/hooks/sendgrid/events"
	flood    = 100 // connections
	held     = 1 << 20
)

// meter counts the bytes of bodies that handlers have read and not given back by ending.
type meter struct {
	mu         sync.Mutex
	changed    *sync.Cond
	now, most  int
	full, ends int // requests whose body was read as far as it was sent, and that were answered
}

func newMeter() *meter {
	m := &meter{}
	m.changed = sync.NewCond(&m.mu)
	return m
}

func (m *meter) note(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	m.most = max(m.most, m.now)
	m.changed.Broadcast()
}

// await waits until something is true of the meter.
func (m *meter) await(is func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !is() {
		m.changed.Wait()
	}
}

func (m *meter) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &metered{ReadCloser: r.Body, meter: m}
		r.Body = body
		h.ServeHTTP(w, r)
		m.note(func() {
			m.now -= body.read
			m.ends++
			if body.read >= held {
				m.full--
			}
		})
	})
}

type metered struct {
	io.ReadCloser
	meter *meter
	read  int
}

func (b *metered) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.meter.note(func() {
		b.meter.now += n
		if b.read < held && b.read+n >= held {
			b.meter.full++
		}
		b.read += n
	})
	return n, err
}

// pour opens a connection, sends a request's head and the first megabyte of a body that is larger, and goes on holding
// the connection. It returns the answer, if there is one, when the connection ends.
func pour(t *testing.T, address, path string, headers map[string]string, announced int) (c net.Conn, answer <-chan *http.Response) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: soc\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", path, announced)
	for name, value := range headers {
		head += name + ": " + value + "\r\n"
	}
	answers := make(chan *http.Response, 1)
	go func() {
		defer close(answers)
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			_ = res.Body.Close()
			answers <- res
		}
	}()
	go func() { _, _ = io.WriteString(c, head+"\r\n"+strings.Repeat("x", held)) }() // it fails when the server has had enough
	return c, answers
}

// Strangers hold as many connections as they like, and send large bodies slowly. What the process keeps of them is
// bounded, and other vendors' reports go through meanwhile.
func TestAFloodOfSlowBodiesHoldsBoundedMemory(t *testing.T) {
	const budget = 16 << 20
	d := newDoor(t)
	m := newMeter()
	server := httptest.NewServer(m.handler(d.handler))
	defer server.Close()
	var conns []net.Conn
	var answers []<-chan *http.Response
	for range flood {
		c, answer := pour(t, server.Listener.Addr().String(), mailPath, forgedMail, held+held/8)
		conns, answers = append(conns, c), append(answers, answer)
	}
	m.await(func() bool { return m.full+m.ends == flood })
	t.Logf("%d connections of %d bytes: the handlers held at most %d bytes and refused %d", flood, held, m.most, m.ends)
	if m.most > budget || m.ends < flood-budget/held || m.full == 0 {
		t.Errorf("at most %d bytes were held, %d requests wait, %d were refused", m.most, m.full, m.ends)
	}
	if w := d.twilio("status", d.call, "", url.Values{"CallSid": {sid}, "CallStatus": {"ringing"}, "SequenceNumber": {"1"}}); w.Code != http.StatusNoContent {
		t.Errorf("a call's report is answered %d meanwhile", w.Code)
	}
	for _, c := range conns {
		_ = c.(*net.TCPConn).CloseWrite()
	}
	refused := 0
	for _, answer := range answers {
		res := <-answer
		switch {
		case res == nil: // the refusal was lost when the rest of the body was not read
		case res.StatusCode == http.StatusServiceUnavailable:
			refused++
			if res.Header.Get("Retry-After") == "" || !res.Close {
				t.Errorf("refused with %v", res.Header)
			}
		case res.StatusCode != http.StatusBadRequest:
			t.Errorf("answered %s", res.Status)
		}
	}
	if refused == 0 {
		t.Error("nobody was told to come again")
	}
	m.await(func() bool { return m.ends == flood })
	if w := d.events(event(d.mail, "1", "delivered")); w.Code != http.StatusNoContent {
		t.Errorf("after the flood a report is answered %d", w.Code)
	}
}

// Without a signature that could be one, not a byte of the body is read.
func TestABodyWithoutASignatureIsNotRead(t *testing.T) {
	d := newDoor(t)
	m := newMeter()
	h := m.handler(d.handler)
	call := "/hooks/twilio/status/" + d.client.ID.String() + "/" + d.call.Token
	send := func(path string, headers map[string]string, body io.Reader) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	with := func(signature, timestamp string) map[string]string {
		return map[string]string{"X-Twilio-Email-Event-Webhook-Signature": signature, "X-Twilio-Email-Event-Webhook-Timestamp": timestamp}
	}
	for name, c := range map[string]struct {
		path    string
		headers map[string]string
	}{
		"a call without one":           {call, nil},
		"a call with words":            {call, map[string]string{"X-Twilio-Signature": "let me in"}},
		"a call with a short one":      {call, map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(make([]byte, 19))}},
		"a call with a mail's":         {call, forgedMail},
		"a reply without one":          {"/hooks/twilio/text", nil},
		"mails without one":            {mailPath, nil},
		"mails with a call's":          {mailPath, forgedCall},
		"mails without a time":         {mailPath, with("MAYCAQECAQE=", "")},
		"mails at no time":             {mailPath, with("MAYCAQECAQE=", "today")},
		"mails with no signature":      {mailPath, with("AAAA", "1773889800")},
		"mails with more than one":     {mailPath, with("MAYCAQECAQEA", "1773889800")},
		"mails with a signature of 0s": {mailPath, with("MAYCAQACAQA=", "1773889800")},
	} {
		if got := send(c.path, c.headers, strings.NewReader(strings.Repeat("x", held))); got != http.StatusForbidden {
			t.Errorf("%s: answered %d", name, got)
		}
	}
	if m.most != 0 {
		t.Errorf("%d bytes were read", m.most)
	}
	for name, c := range map[string]struct {
		path    string
		headers map[string]string
		size    int
	}{"call": {call, forgedCall, 64<<10 + 1}, "mails": {mailPath, forgedMail, 4<<20 + 1}} {
		if got := send(c.path, c.headers, strings.NewReader(strings.Repeat("x", c.size))); got != http.StatusRequestEntityTooLarge || m.most != 0 {
			t.Errorf("%s with a body that says it is too large: answered %d after %d bytes", name, got, m.most)
		}
		if got := send(c.path, c.headers, io.MultiReader(strings.NewReader(strings.Repeat("x", c.size)))); got != http.StatusRequestEntityTooLarge {
			t.Errorf("%s with a body that is too large: answered %d", name, got)
		}
		m.most = 0
	}
	if row := d.row(d.call); row.VendorState != "" {
		t.Errorf("the ledger moved: %+v", row)
	}
}

// A body that does not come in time is given up.
func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	d := newDoor(t)
	m := newMeter()
	server := httptest.NewServer(m.handler(d.handler))
	defer server.Close()
	began := time.Now()
	_, answer := pour(t, server.Listener.Addr().String(), mailPath, forgedMail, 2*held)
	if res := <-answer; res == nil || res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("answered %v", res)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("given up after %s", took)
	}
}
