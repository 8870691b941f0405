// Package contracts holds what was sent to the vendors against the vendors' own published descriptions.
//
// The descriptions are not part of this project: they lie beside a checkout, in ../shared/contracts, where they are
// at hand. What the simulators think of a request does not count here, and no adapter's code is used.
package contracts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// ErrMissing says that the vendors' descriptions are not at hand.
var ErrMissing = errors.New("the vendors' official contracts are not beside this checkout (../shared/contracts)")

// Contracts are the descriptions of every vendor that has a simulator.
type Contracts struct {
	routers map[string][]routers.Router // by vendor
}

// Open reads the descriptions in a folder. ErrMissing: there is no such folder.
func Open(folder string) (*Contracts, error) {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	c := &Contracts{routers: map[string][]routers.Router{}}
	for vendor, files := range map[string][]string{
		"twilio":      {"twilio/twilio_api_v2010.trimmed.json"},
		"sendgrid":    {"sendgrid/tsg_mail_v3.custom_args-overlay.json", "sendgrid/tsg_logs_v3.json"},
		"crowdstrike": {"crowdstrike/falcon_hosts_oauth2.openapi3.converted.json"},
	} {
		for _, file := range files {
			router, err := read(filepath.Join(folder, file))
			if err != nil {
				return nil, fmt.Errorf("contract %s: %w", file, err)
			}
			c.routers[vendor] = append(c.routers[vendor], router)
		}
	}
	return c, nil
}

// read makes a router of a description, for any host and without its examples: some of those are malformed.
func read(path string) (routers.Router, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var tree any
	if err = json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	withoutExamples(tree)
	if raw, err = json.Marshal(tree); err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	doc.Servers = openapi3.Servers{{URL: "/"}}
	for _, item := range doc.Paths.Map() {
		item.Servers = nil
	}
	return gorillamux.NewRouter(doc)
}

func withoutExamples(node any) {
	switch node := node.(type) {
	case map[string]any:
		delete(node, "examples")
		for _, child := range node {
			withoutExamples(child)
		}
	case []any:
		for _, child := range node {
			withoutExamples(child)
		}
	}
}

// Check says what the vendor's contract has against a request in a simulator's journal, or nil. Parameters and form
// fields that the contract does not name count as wrong.
func (c *Contracts) Check(e stage.Entry) error {
	r, err := http.NewRequestWithContext(context.Background(), e.Method, "/", strings.NewReader(e.Body))
	if err != nil {
		return err
	}
	path, err := url.PathUnescape(e.Path)
	if err != nil {
		return err
	}
	r.URL = &url.URL{Path: path, RawPath: e.Path, RawQuery: e.Query}
	if e.ContentType != "" {
		r.Header.Set("Content-Type", e.ContentType)
	}
	route, parameters, err := c.route(e.Vendor, r)
	if err != nil {
		return err
	}
	if err := unknownFields(route, r.URL.Query(), e); err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

func (c *Contracts) route(vendor string, r *http.Request) (route *routers.Route, parameters map[string]string, err error) {
	err = fmt.Errorf("no contract of %q is known", vendor)
	for _, router := range c.routers[vendor] {
		if route, parameters, err = router.FindRoute(r); err == nil {
			return route, parameters, nil
		}
	}
	return nil, nil, err
}

// unknownFields finds what the validator lets through: query parameters and form fields that the contract does not name.
func unknownFields(route *routers.Route, query url.Values, e stage.Entry) error {
	for name := range query {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("the contract knows no query parameter %s", name)
		}
	}
	const form = "application/x-www-form-urlencoded"
	kind, _, _ := mime.ParseMediaType(e.ContentType) // an unreadable one is the validator's matter
	if kind != form || e.Body == "" {
		return nil
	}
	values, err := url.ParseQuery(e.Body)
	if err != nil {
		return err
	}
	if route.Operation.RequestBody == nil || route.Operation.RequestBody.Value.Content[form] == nil {
		return errors.New("the contract takes no form here")
	}
	for name := range values {
		if route.Operation.RequestBody.Value.Content[form].Schema.Value.Properties[name] == nil {
			return fmt.Errorf("the contract knows no form field %s", name)
		}
	}
	return nil
}
