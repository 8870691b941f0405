package stagetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// Product stands in for the application that the vendors call back. It answers an empty 200 to
// everything but the paths given to AnswerOn.
type Product struct {
	*httptest.Server

	mu      sync.Mutex
	got     []Received
	answers map[string]func(Received) (status int, kind, body string)
}

// Received is a request of a vendor to the product.
type Received struct {
	Path string
	URI  string // as sent, with the query
	Head http.Header
	Body string
	Form url.Values
}

// NewProduct starts a product for the time of the test.
func NewProduct(t *testing.T) *Product {
	p := &Product{answers: map[string]func(Received) (int, string, string){}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// AnswerOn makes the product answer requests for a path, instead of with an earlier answer.
func (p *Product) AnswerOn(path string, answer func(Received) (status int, kind, body string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[path] = answer
}

// ServeHTTP notes a request and answers it.
func (p *Product) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got, answer := p.Note(r)
	if answer != nil {
		status, kind, body := answer(got)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Note keeps a request without answering it, and returns it with the answer for its path, if any.
func (p *Product) Note(r *http.Request) (Received, func(Received) (status int, kind, body string)) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	got := Received{Path: r.URL.Path, URI: r.RequestURI, Head: r.Header.Clone(), Body: string(body), Form: form}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, got)
	return got, p.answers[r.URL.Path]
}

// Requests returns the requests for a path, the oldest first.
func (p *Product) Requests(path string) []Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Received
	for _, r := range p.got {
		if r.Path == path {
			out = append(out, r)
		}
	}
	return out
}
