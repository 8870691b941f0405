package simulators

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Entry is one request a simulated vendor received. Of SMTP the method is the command, the
// path its recipients, and only what concerns a login, a recipient or a mail is kept.
type Entry struct {
	Vendor      string            `json:"vendor"` // "twilio", "sendgrid", "crowdstrike", "smtp"
	At          time.Time         `json:"at"`
	Method      string            `json:"method"`
	Path        string            `json:"path"`  // escaped as it came
	Query       string            `json:"query"` // raw, without the question mark
	Headers     map[string]string `json:"headers"`
	ContentType string            `json:"content_type"`
	Body        string            `json:"body"`            // raw, except for masked secrets
	Status      int               `json:"status"`          // of the answer; 0 when the connection was cut before anything happened; when it was cut afterwards, the status the vendor had decided on
	Fault       string            `json:"fault,omitempty"` // kind of the fault rule that applied
}

const (
	journalEntries = 200_000
	journalBytes   = 256 << 20
	mask           = "***"
)

// journal keeps the newest requests in arrival order, bounded in number and in bytes.
type journal struct {
	secrets []string

	mu      sync.Mutex
	entries []*Entry
	bytes   int
}

func newJournal(secrets []string) *journal {
	j := &journal{}
	for _, s := range secrets {
		if len(s) >= 8 { // shorter ones would blot out innocent text
			j.secrets = append(j.secrets, s, url.QueryEscape(s))
		}
	}
	return j
}

// begin notes a request on arrival; finish completes it.
func (j *journal) begin(vendor string, at time.Time, r *http.Request, body []byte) *Entry {
	return j.add(&Entry{
		Vendor: vendor, At: at.UTC(), Method: r.Method,
		Path: r.URL.EscapedPath(), Query: j.scrub(r.URL.RawQuery),
		Headers: j.maskedHeaders(r.Header), ContentType: r.Header.Get("Content-Type"),
		Body: j.scrub(maskedForm(r.Header.Get("Content-Type"), string(body))),
	})
}

func (j *journal) add(e *Entry) *Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
	j.bytes += len(e.Body)
	j.trim()
	return e
}

func (j *journal) finish(e *Entry, status int, fault string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Status, e.Fault = status, fault
}

func (j *journal) all() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Entry, len(j.entries))
	for i, e := range j.entries {
		out[i] = *e
	}
	return out
}

// trim drops the oldest tenth when a bound is passed, so that the cost of dropping is spread.
func (j *journal) trim() {
	for len(j.entries) > 1 && (len(j.entries) > journalEntries || j.bytes > journalBytes) {
		n := max(1, len(j.entries)/10)
		for _, e := range j.entries[:n] {
			j.bytes -= len(e.Body)
		}
		j.entries = append([]*Entry(nil), j.entries[n:]...)
	}
}

func (j *journal) scrub(s string) string {
	for _, secret := range j.secrets {
		s = strings.ReplaceAll(s, secret, mask)
	}
	return s
}

func (j *journal) maskedHeaders(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		v := strings.Join(values, ", ")
		switch name {
		case "Authorization", "Proxy-Authorization":
			scheme, _, _ := strings.Cut(v, " ")
			v = scheme + " " + mask
		case "Cookie", "X-Api-Key", "X-Auth-Token":
			v = mask
		}
		out[name] = j.scrub(v)
	}
	return out
}

// maskedForm hides the secret fields of a form and leaves every other byte alone.
func maskedForm(contentType, body string) string {
	if !strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		return body
	}
	fields := strings.Split(body, "&")
	for i, f := range fields {
		raw, _, _ := strings.Cut(f, "=")
		name, err := url.QueryUnescape(raw)
		if err == nil && isSecretField(name) {
			fields[i] = raw + "=" + mask
		}
	}
	return strings.Join(fields, "&")
}

func isSecretField(name string) bool {
	switch strings.ToLower(name) {
	case "client_secret", "token", "password", "sipauthpassword":
		return true
	}
	return false
}
