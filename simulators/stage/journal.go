package stage

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Entry is one request that a simulated vendor received. For SMTP the method is the command and the
// path its recipients, and only commands about a login, a recipient or a mail have entries.
type Entry struct {
	Vendor      string            `json:"vendor"` // "twilio", "sendgrid", "smtp" or an EDR product
	At          time.Time         `json:"at"`
	Method      string            `json:"method"`
	Path        string            `json:"path"`  // escaped as the client sent it
	Query       string            `json:"query"` // raw, without the question mark
	Headers     map[string]string `json:"headers"`
	ContentType string            `json:"content_type"`
	Body        string            `json:"body"`            // raw, except for masked secrets
	Status      int               `json:"status"`          // of the answer; of a connection cut before anything happened 0, of one cut afterwards the status the vendor had decided on
	Fault       string            `json:"fault,omitempty"` // kind of the fault rule that applied
}

const (
	journalEntries = 200_000
	journalBytes   = 256 << 20
	mask           = "***"
)

// Journal keeps the newest requests in the sequence of their arrival, bounded in number and in bytes.
type Journal struct {
	secrets []string

	mu      sync.Mutex
	entries []*Entry
	bytes   int
}

// NewJournal makes a journal that masks these secrets wherever they appear in an entry.
func NewJournal(secrets []string) *Journal {
	j := &Journal{}
	for _, s := range secrets {
		if len(s) >= 8 { // shorter ones would blot out innocent text
			j.secrets = append(j.secrets, s, url.QueryEscape(s))
		}
	}
	return j
}

// begin notes a request on arrival; finish completes it.
func (j *Journal) begin(vendor string, at time.Time, r *http.Request, body []byte) *Entry {
	return j.add(&Entry{
		Vendor: vendor, At: at.UTC(), Method: r.Method,
		Path: r.URL.EscapedPath(), Query: j.maskSecrets(r.URL.RawQuery),
		Headers: j.maskHeaders(r.Header), ContentType: r.Header.Get("Content-Type"),
		Body: j.maskSecrets(maskForm(r.Header.Get("Content-Type"), string(body))),
	})
}

// Record adds a complete entry and masks the secrets in its body.
func (j *Journal) Record(e Entry) {
	e.Body = j.maskSecrets(e.Body)
	j.add(&e)
}

func (j *Journal) add(e *Entry) *Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
	j.bytes += len(e.Body)
	j.trim()
	return e
}

func (j *Journal) finish(e *Entry, status int, fault string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Status, e.Fault = status, fault
}

func (j *Journal) all() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Entry, len(j.entries))
	for i, e := range j.entries {
		out[i] = *e
	}
	return out
}

// trim drops the oldest tenth when a bound is passed, so that the cost of dropping is spread.
func (j *Journal) trim() {
	for len(j.entries) > 1 && (len(j.entries) > journalEntries || j.bytes > journalBytes) {
		n := max(1, len(j.entries)/10)
		for _, e := range j.entries[:n] {
			j.bytes -= len(e.Body)
		}
		j.entries = append([]*Entry(nil), j.entries[n:]...)
	}
}

func (j *Journal) maskSecrets(s string) string {
	for _, secret := range j.secrets {
		s = strings.ReplaceAll(s, secret, mask)
	}
	return s
}

func (j *Journal) maskHeaders(h http.Header) map[string]string {
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
		out[name] = j.maskSecrets(v)
	}
	return out
}

// maskForm masks the secret fields of a form and leaves every other byte alone.
func maskForm(contentType, body string) string {
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
