package stagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// Contract holds requests and answers against a vendor's description of its API, as the transport of
// a client.
type Contract struct {
	T       *testing.T
	Checked int // requests held against the contract

	routers []routers.Router
}

// LoadContract reads descriptions in the folder of contracts, or skips the test where the folder is
// not at hand.
func LoadContract(t *testing.T, files ...string) *Contract {
	t.Helper()
	dir := contractFolder(t)
	c := &Contract{T: t}
	for _, file := range files {
		doc := readContract(t, filepath.Join(dir, file))
		doc.Servers = openapi3.Servers{{URL: "/"}}
		for _, item := range doc.Paths.Map() {
			item.Servers = nil
		}
		r, err := gorillamux.NewRouter(doc)
		if err != nil {
			t.Fatal(err)
		}
		c.routers = append(c.routers, r)
	}
	return c
}

// contractFolder finds the contracts beside the checkout, whichever package is under test.
func contractFolder(t *testing.T) string {
	t.Helper()
	for dir := "."; ; dir = filepath.Join(dir, "..") {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			dir = filepath.Join(dir, "..", "shared", "contracts")
			if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
				t.Skip("the vendors' official contracts are not beside this checkout (../shared/contracts)")
			}
			return dir
		}
	}
}

// readContract loads a description; one in JSON without its examples, some of which are malformed.
func readContract(t *testing.T, path string) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile(path) //nolint:gosec // G304: the folder of contracts is the caller's
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(path) == ".json" {
		var tree any
		if err := json.Unmarshal(raw, &tree); err != nil {
			t.Fatal(err)
		}
		dropExamples(tree)
		if raw, err = json.Marshal(tree); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return doc
}

func dropExamples(node any) {
	switch n := node.(type) {
	case map[string]any:
		delete(n, "examples")
		for _, child := range n {
			dropExamples(child)
		}
	case []any:
		for _, child := range n {
			dropExamples(child)
		}
	}
}

// RoundTrip sends a request, after it has checked it, and checks the answer; steering requests pass
// unchecked.
func (c *Contract) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	in := c.checkRequest(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && in != nil {
		c.checkAnswer(in, res)
	}
	return res, err
}

func (c *Contract) checkRequest(r *http.Request) *openapi3filter.RequestValidationInput {
	c.T.Helper()
	relative := r.Clone(context.Background())
	relative.URL.Scheme, relative.URL.Host, relative.Host = "", "", ""
	for _, router := range c.routers {
		route, params, err := router.FindRoute(relative)
		if err != nil {
			continue
		}
		in := &openapi3filter.RequestValidationInput{Request: relative, PathParams: params, Route: route,
			Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			c.T.Errorf("request %s %s: %v", r.Method, r.URL.Path, err)
		}
		c.Checked++
		return in
	}
	c.T.Errorf("request %s %s: not in the contract", r.Method, r.URL.Path)
	return nil
}

func (c *Contract) checkAnswer(in *openapi3filter.RequestValidationInput, res *http.Response) {
	c.T.Helper()
	body, _ := io.ReadAll(res.Body)
	res.Body = io.NopCloser(bytes.NewReader(body))
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header,
		Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true}}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		c.T.Errorf("answer %d to %s %s: %v", res.StatusCode, in.Request.Method, in.Request.URL.Path, err)
	}
}

// Replay checks every request in a journal, as an outsider would.
func (c *Contract) Replay(entries []stage.Entry) {
	c.T.Helper()
	for _, e := range entries {
		r, err := http.NewRequestWithContext(c.T.Context(), e.Method, "/", strings.NewReader(e.Body))
		if err != nil {
			c.T.Fatal(err)
		}
		r.URL = &url.URL{Path: e.Path, RawQuery: e.Query}
		r.Header.Set("Content-Type", e.ContentType)
		c.checkRequest(r)
	}
}
