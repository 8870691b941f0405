package stagetest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// Client speaks to simulators, as the product and as their operator.
type Client struct {
	T   *testing.T
	Web *http.Client
}

// NewClient makes a client with a connection of its own for every request.
func NewClient(t *testing.T) *Client {
	return &Client{T: t, Web: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// Answered is a simulator's answer. Err is set and Status may be 0 when the connection was cut.
type Answered struct {
	Status int
	Head   http.Header
	Body   []byte
	Err    error
}

// Get returns a value inside a JSON answer, of a list that of its first element; nil when absent.
func (a Answered) Get(path ...string) any {
	var v any
	_ = json.Unmarshal(a.Body, &v)
	for _, key := range path {
		switch node := v.(type) {
		case map[string]any:
			v = node[key]
		case []any:
			v = nil
			if len(node) > 0 {
				first, _ := node[0].(map[string]any)
				v = first[key]
			}
		}
	}
	return v
}

// Do sends a request, after the given changes to it.
func (c *Client) Do(method, url, kind, body string, prepare ...func(*http.Request)) Answered {
	c.T.Helper()
	req, err := http.NewRequestWithContext(c.T.Context(), method, url, strings.NewReader(body))
	if err != nil {
		c.T.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for _, p := range prepare {
		p(req)
	}
	res, err := c.Web.Do(req)
	if err != nil {
		return Answered{Err: err}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return Answered{Status: res.StatusCode, Head: res.Header, Body: b, Err: err}
}

// Steer sends steering, which must be taken.
func (c *Client) Steer(base, path, body string) {
	c.T.Helper()
	if a := c.Do(http.MethodPost, base+"/_sim/"+path, "application/json", body); a.Status != http.StatusOK {
		c.T.Fatalf("steering %s: %d %s", path, a.Status, a.Body)
	}
}

// Fault replaces all fault rules by these, given as JSON objects with commas between them.
func (c *Client) Fault(base, rules string) {
	c.T.Helper()
	c.Steer(base, "faults", `{"clear":true,"rules":[`+rules+`]}`)
}

// Effects reads everything that requests really did.
func (c *Client) Effects(base string, into any) {
	c.T.Helper()
	if err := json.Unmarshal(c.Do(http.MethodGet, base+"/_sim/effects", "", "").Body, into); err != nil {
		c.T.Fatal(err)
	}
}

// Violations returns the requests that no correct client would send.
func (c *Client) Violations(base string) []stage.Violation {
	c.T.Helper()
	var e struct{ Violations []stage.Violation }
	c.Effects(base, &e)
	return e.Violations
}

// Journal returns the requests a simulator received.
func (c *Client) Journal(base string) []stage.Entry {
	c.T.Helper()
	var entries []stage.Entry
	if err := json.Unmarshal(c.Do(http.MethodGet, base+"/_sim/journal", "", "").Body, &entries); err != nil {
		c.T.Fatal(err)
	}
	return entries
}

// Until polls for something that happens by itself.
func (c *Client) Until(what string, holds func() bool) {
	c.T.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			c.T.Fatalf("never happened: %s", what)
		}
	}
}
