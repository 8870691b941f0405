package vendors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/edr/crowdstrike"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// contract is a transport that holds every request against a vendor's published contract and
// answers from a list, by method and path.
type contract struct {
	t       *testing.T
	routers []routers.Router
	answers map[string]canned
	checked int
}

type canned struct {
	status int
	header http.Header
	body   string
}

// newContract loads the vendor's files, or skips the test where they are not at hand.
func newContract(t *testing.T, answers map[string]canned, files ...string) *contract {
	t.Helper()
	folder := filepath.Join("..", "..", "shared", "contracts")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("the vendors' official contracts are not in %s", folder)
	}
	c := &contract{t: t, answers: answers}
	for _, file := range files {
		doc := load(t, filepath.Join(folder, file))
		doc.Servers = openapi3.Servers{{URL: "/"}}
		for _, item := range doc.Paths.Map() {
			item.Servers = nil
		}
		router, err := gorillamux.NewRouter(doc)
		if err != nil {
			t.Fatal(err)
		}
		c.routers = append(c.routers, router)
	}
	return c
}

// load reads a contract without its examples: some are not of the form OpenAPI asks for.
func load(t *testing.T, file string) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err = json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	withoutExamples(tree)
	if raw, err = json.Marshal(tree); err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
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

func (c *contract) RoundTrip(r *http.Request) (*http.Response, error) {
	c.checked++
	if err := c.check(r); err != nil {
		c.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	a, ok := c.answers[r.Method+" "+r.URL.Path]
	if !ok {
		c.t.Errorf("no answer prepared for %s %s", r.Method, r.URL.Path)
		a.status = http.StatusNotFound
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("Content-Type", "application/json")
	return &http.Response{StatusCode: a.status, Header: a.header, Request: r, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

func (c *contract) check(r *http.Request) error {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return err
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	route, parameters, err := c.find(r)
	if err != nil {
		return err
	}
	c.unknownFormKeys(route, r, body)
	return openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

func (c *contract) find(r *http.Request) (route *routers.Route, parameters map[string]string, err error) {
	for _, router := range c.routers {
		if route, parameters, err = router.FindRoute(r); err == nil {
			return route, parameters, nil
		}
	}
	return nil, nil, err
}

// unknownFormKeys fails on form fields and query parameters the contract does not name, which the
// validator lets through.
func (c *contract) unknownFormKeys(route *routers.Route, r *http.Request, body []byte) {
	for key := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", key) == nil {
			c.t.Errorf("%s: the contract knows no query parameter %s", r.URL.Path, key)
		}
	}
	const form = "application/x-www-form-urlencoded"
	if r.Method == http.MethodGet || r.Header.Get("Content-Type") != form {
		return
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		c.t.Error(err)
	}
	for key := range values {
		if route.Operation.RequestBody.Value.Content[form].Schema.Value.Properties[key] == nil {
			c.t.Errorf("%s: the contract knows no form field %s", r.URL.Path, key)
		}
	}
}

func (c *contract) wantChecked(n int) {
	c.t.Helper()
	if c.checked != n {
		c.t.Errorf("%d requests were checked, want %d", c.checked, n)
	}
}

func TestTwilioContract(t *testing.T) {
	const account, call = "AC0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdef"
	calls := "/2010-04-01/Accounts/" + account + "/Calls"
	one := `{"sid":"` + call + `","status":"queued","date_created":null}`
	c := newContract(t, map[string]canned{
		"POST " + calls + ".json":              {status: 201, body: one},
		"GET " + calls + ".json":               {status: 200, body: `{"calls":[` + one + `]}`},
		"GET " + calls + "/" + call + ".json":  {status: 200, body: one},
		"POST " + calls + "/" + call + ".json": {status: 200, body: one},
	}, "twilio/twilio_api_v2010.trimmed.json")
	caller, err := twilio.New(twilio.Settings{AccountSID: account, AuthToken: "token", From: "+15550001111", Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = caller.Place(t.Context(), models.OutboundCall{
		To: "+15550002222", RingFor: 25 * time.Second,
		VoiceURL: "https://mdr.example/voice?c=1", StatusURL: "https://mdr.example/status?c=1",
	}); err != nil {
		t.Error(err)
	}
	if _, err = caller.Status(t.Context(), call); err != nil {
		t.Error(err)
	}
	if err = caller.Hangup(t.Context(), call); err != nil {
		t.Error(err)
	}
	if _, err = caller.Recent(t.Context(), "+15550002222", time.Unix(0, 0)); err != nil {
		t.Error(err)
	}
	c.wantChecked(5)
}

func TestSendGridContract(t *testing.T) {
	c := newContract(t, map[string]canned{
		"POST /v3/mail/send":  {status: 202, header: http.Header{"X-Message-Id": {"m1"}}},
		"POST /v3/logs":       {status: 200, body: `{"messages":[{"sg_message_id":"m1.f.2"}]}`},
		"GET /v3/logs/m1.f.2": {status: 200, body: `{"custom_args":{"mdr_delivery_id":"d1"}}`},
	}, "sendgrid/"+mailContract(t), "sendgrid/tsg_logs_v3.json")
	mailer, err := sendgrid.New(sendgrid.Settings{APIKey: "SG.key", From: "soc@mdr.example", Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	mail := models.OutboundMail{
		To: "ciso@client.example", ToName: "Chris", Subject: "It's critical", Text: "Read.", HTML: "<p>Read.</p>",
		MessageID: "a@mdr.example", References: []string{"b@mdr.example"},
		Opaque: map[string]string{"mdr_delivery_id": "d1"},
	}
	if _, err = mailer.Send(t.Context(), mail); err != nil {
		t.Error(err)
	}
	if _, found, err := mailer.Lookup(t.Context(), mail, time.Unix(0, 0)); err != nil || !found {
		t.Errorf("found %v, %v", found, err)
	}
	c.wantChecked(3)
}

// mailContract names the mail contract that is at hand: as published, else with its one mistake
// corrected.
func mailContract(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join("..", "..", "shared", "contracts", "sendgrid", "tsg_mail_v3.json")); err == nil {
		return "tsg_mail_v3.json"
	}
	return "tsg_mail_v3.custom_args-overlay.json"
}

func TestCrowdStrikeContract(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	listed := func(resource string) string {
		return `{"meta":{"query_time":0.1,"trace_id":"t"},"errors":[],"resources":[` + resource + `]}`
	}
	c := newContract(t, map[string]canned{
		"POST /oauth2/token":                        {status: 201, body: `{"access_token":"x","expires_in":1799}`},
		"GET /devices/queries/devices/v1":           {status: 200, body: listed(`"` + id + `"`)},
		"POST /devices/entities/devices/v2":         {status: 200, body: listed(`{"cid":"c","device_id":"` + id + `","hostname":"PC-1","status":"normal"}`)},
		"GET /devices/entities/online-state/v1":     {status: 200, body: listed(`{"id":"` + id + `","state":"online"}`)},
		"POST /devices/entities/devices-actions/v2": {status: 202, body: listed(`{"id":"` + id + `","path":"/x"}`)},
	}, "crowdstrike/falcon_hosts_oauth2.openapi3.converted.json")
	falcon, err := crowdstrike.New(crowdstrike.Settings{ClientID: "a", ClientSecret: "b", MemberCID: id, Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	if hosts, err := falcon.Find(t.Context(), "PC-1"); err != nil || len(hosts) != 1 {
		t.Errorf("%v, %v", hosts, err)
	}
	if host, err := falcon.State(t.Context(), id); err != nil || !host.Online {
		t.Errorf("%+v, %v", host, err)
	}
	if err := falcon.Isolate(t.Context(), id, "SI-1042-0007"); err != nil {
		t.Error(err)
	}
	if err := falcon.Release(t.Context(), id, ""); err != nil {
		t.Error(err)
	}
	c.wantChecked(7)
}

// A validator that accepts everything would prove nothing.
func TestContractsRefuseWhatIsWrong(t *testing.T) {
	refuses := func(c *contract, contentType, method, path, body string) {
		t.Helper()
		r, err := http.NewRequest(method, "https://vendor.example"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		if c.check(r) == nil {
			t.Errorf("%s %s %s is accepted", method, path, body)
		}
	}
	const form, object = "application/x-www-form-urlencoded", "application/json"
	phone := newContract(t, nil, "twilio/twilio_api_v2010.trimmed.json")
	refuses(phone, form, "POST", "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls.json", "To=%2B15550002222")
	refuses(phone, form, "POST", "/2010-04-01/Nowhere.json", "")
	mail := newContract(t, nil, "sendgrid/"+mailContract(t))
	refuses(mail, object, "POST", "/v3/mail/send", `{"subject":"x"}`)
	edr := newContract(t, nil, "crowdstrike/falcon_hosts_oauth2.openapi3.converted.json")
	refuses(edr, form, "POST", "/oauth2/token", "client_id=a")
	refuses(edr, object, "POST", "/devices/entities/devices-actions/v2", `{"ids":["a"]}`)
}
