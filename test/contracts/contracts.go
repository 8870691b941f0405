// Package contracts checks requests to the vendors against the vendors' own published descriptions.
//
// The descriptions are not part of this project: where they are at hand, they lie beside a checkout, in
// ../shared/contracts. The package uses neither the simulators' judgement of a request nor an adapter's code.
package contracts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// ErrMissing reports that the vendors' descriptions are not at hand.
var ErrMissing = errors.New("the vendors' official contracts are not beside this checkout: put them into ../shared/contracts")

// Contracts are the descriptions of Twilio, SendGrid and CrowdStrike. Their methods may be used from several
// goroutines.
type Contracts struct {
	routers map[string][]routers.Router // by vendor
}

// Open reads the descriptions in a folder. It returns ErrMissing when there is no such folder, and an error that names
// the file when it cannot read one.
func Open(folder string) (*Contracts, error) {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	c := &Contracts{routers: map[string][]routers.Router{}}
	for _, contract := range []struct{ vendor, file string }{
		{"twilio", "twilio/twilio_api_v2010.trimmed.json"},
		{"sendgrid", "sendgrid/tsg_mail_v3.custom_args-overlay.json"},
		{"sendgrid", "sendgrid/tsg_logs_v3.json"},
		{"crowdstrike", "crowdstrike/falcon_hosts_oauth2.openapi3.converted.json"},
	} {
		router, err := readRouter(filepath.Join(folder, contract.file))
		if err != nil {
			return nil, fmt.Errorf("contract %s: %w", contract.file, err)
		}
		c.routers[contract.vendor] = append(c.routers[contract.vendor], router)
	}
	return c, nil
}

// readRouter makes a router of a description, for any host and without its examples, some of which are malformed.
func readRouter(path string) (routers.Router, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var tree any
	if err = json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	removeExamples(tree)
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

// removeExamples removes the examples below a node.
func removeExamples(node any) {
	switch node := node.(type) {
	case map[string]any:
		delete(node, "examples")
		for _, child := range node {
			removeExamples(child)
		}
	case []any:
		for _, child := range node {
			removeExamples(child)
		}
	}
}

// Check returns nil when a request in a simulator's journal keeps to its vendor's contract, else an error that says
// where it does not. Parameters and form fields that the contract does not name count as wrong.
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
	route, parameters, err := c.findRoute(e.Vendor, r)
	if err != nil {
		return err
	}
	if err := checkFields(route, r.URL.Query(), e); err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

// findRoute returns the operation of a request in a vendor's contracts, and its path parameters.
func (c *Contracts) findRoute(vendor string, r *http.Request) (route *routers.Route, parameters map[string]string, err error) {
	err = fmt.Errorf("contract of the vendor %q not found", vendor)
	for _, router := range c.routers[vendor] {
		if route, parameters, err = router.FindRoute(r); err == nil {
			return route, parameters, nil
		}
	}
	return nil, nil, err
}

// checkFields returns an error about query parameters and form fields that the contract does not name: the validator
// accepts them.
func checkFields(route *routers.Route, query url.Values, e stage.Entry) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("the contract has no query parameter %s", name)
		}
	}
	const form = "application/x-www-form-urlencoded"
	kind, _, _ := mime.ParseMediaType(e.ContentType) // the validator rejects an unreadable one
	if kind != form || e.Body == "" {
		return nil
	}
	values, err := url.ParseQuery(e.Body)
	if err != nil {
		return err
	}
	if route.Operation.RequestBody == nil || route.Operation.RequestBody.Value.Content[form] == nil {
		return errors.New("the contract has no form for this operation")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if route.Operation.RequestBody.Value.Content[form].Schema.Value.Properties[name] == nil {
			return fmt.Errorf("the contract has no form field %s", name)
		}
	}
	return nil
}
