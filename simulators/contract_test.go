package simulators

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
)

// contract holds requests and answers against a vendor's official description.
type contract struct {
	t       *testing.T
	routers []routers.Router
	answers bool // also check the answers
	checked int
}

func contractDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "shared", "contracts")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Skip("the vendors' official contracts are not beside this checkout (../shared/contracts)")
	}
	return dir
}

func loadContract(t *testing.T, files ...string) *contract {
	t.Helper()
	dir := contractDir(t)
	c := &contract{t: t, answers: true}
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

// readContract loads a description without its examples, one of which is malformed.
func readContract(t *testing.T, path string) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	dropExamples(tree)
	raw, err = json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
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

// RoundTrip sends a request that the contract allows and checks the answer; steering
// requests pass unchecked.
func (c *contract) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	in := c.request(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && in != nil && c.answers {
		c.answer(in, res)
	}
	return res, err
}

func (c *contract) request(r *http.Request) *openapi3filter.RequestValidationInput {
	c.t.Helper()
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
			c.t.Errorf("request %s %s: %v", r.Method, r.URL.Path, err)
		}
		c.checked++
		return in
	}
	c.t.Errorf("request %s %s: not in the contract", r.Method, r.URL.Path)
	return nil
}

func (c *contract) answer(in *openapi3filter.RequestValidationInput, res *http.Response) {
	c.t.Helper()
	body, _ := io.ReadAll(res.Body)
	res.Body = io.NopCloser(bytes.NewReader(body))
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header,
		Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true}}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		c.t.Errorf("answer %d to %s %s: %v", res.StatusCode, in.Request.Method, in.Request.URL.Path, err)
	}
}

// replay checks every journalled request the way an outsider would.
func (c *contract) replay(entries []Entry) {
	c.t.Helper()
	for _, e := range entries {
		r, err := http.NewRequest(e.Method, "/", strings.NewReader(e.Body))
		if err != nil {
			c.t.Fatal(err)
		}
		r.URL = &url.URL{Path: e.Path, RawQuery: e.Query}
		r.Header.Set("Content-Type", e.ContentType)
		c.request(r)
	}
}

func TestTwilioContract(t *testing.T) {
	c := loadContract(t, "twilio/twilio_api_v2010.trimmed.json")
	w := newWorld(t)
	w.web.Transport = c
	w.steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"no_answer"}}`)
	sid := w.place(nil).get("sid").(string)
	w.until("it is listed", func() bool {
		rows := w.do("GET", w.callsURL()+".json?To=%2B4930123456", "", "", asAccount).get("calls").([]any)
		return len(rows) == 1
	})
	w.do("GET", w.callsURL()+"/"+sid+".json", "", "", asAccount)
	w.do("POST", w.callsURL()+"/"+sid+".json", "application/x-www-form-urlencoded", "Status=canceled", asAccount)
	w.do("GET", w.callsURL()+"/"+sid+".json", "", "", asAccount)
	w.contractTexts()
	c.replay(w.journal(w.TwilioURL))
	if c.checked < 24 {
		t.Errorf("only %d requests were checked", c.checked)
	}
}

// contractTexts sends texts of every fate and looks at all of them.
func (w *world) contractTexts() {
	w.t.Helper()
	w.steer(w.TwilioURL, "personas", `{"sequence":{"sms:`+testCallee+`":["text-delivered","text-undelivered","text-landline","text-chatty"]}}`)
	for n := range 4 {
		w.textAnswered(nil)
		w.until("it has met its fate", func() bool { return w.texts()[n].Ended != nil })
	}
	w.until("an answer is in", func() bool { return len(w.inbound()) > 0 })
	for _, x := range append(w.texts(), w.inbound()...) {
		w.do("GET", w.textsURL()+"/"+x.Sid+".json", "", "", asAccount)
	}
	w.until("all are listed", func() bool {
		query := url.Values{"To": {testCallee}, "From": {testFrom}, "DateSent>": {"2020-01-01T00:00:00Z"}, "PageSize": {"2"}}
		rows, _ := w.do("GET", w.textsURL()+".json?"+query.Encode(), "", "", asAccount).get("messages").([]any)
		return len(rows) == 2
	})
	w.do("GET", w.textsURL()+".json", "", "", asAccount)
}

func TestSendGridContract(t *testing.T) {
	c := loadContract(t, "sendgrid/tsg_mail_v3.custom_args-overlay.json", "sendgrid/tsg_logs_v3.json")
	for _, persona := range []string{"delivered", "hard_bounce", "blocked", "suppressed", "deferred_then_delivered"} {
		t.Run(persona, func(t *testing.T) {
			w := newWorld(t)
			c.t = t
			w.web.Transport = c
			w.steer(w.SendGridURL, "personas", `{"personas":{"`+testRecipient+`":"`+persona+`"}}`)
			w.mail(nil)
			w.until("the mail has met its fate", func() bool {
				n := map[string]int{"suppressed": 1, "deferred_then_delivered": 3}[persona]
				return len(w.mails(testRecipient)[0].Events) >= max(n, 2) || n == 1 && len(w.mails(testRecipient)[0].Events) == 1
			})
			query, _ := json.Marshal(map[string]any{"query": `to_email="` + testRecipient + `"`, "limit": 1})
			found := w.do("POST", w.SendGridURL+"/v3/logs", "application/json", string(query), asSender)
			id := found.get("messages", "sg_message_id").(string)
			w.do("GET", w.SendGridURL+"/v3/logs/"+id, "", "", asSender)
			w.do("GET", w.SendGridURL+"/v3/logs/none", "", "", asSender)
			w.mail(func(m, _ map[string]any) { m["from"] = map[string]any{"email": "other@watchfire.example"} })
			c.replay(w.journal(w.SendGridURL))
		})
	}
	if c.checked < 50 {
		t.Errorf("only %d requests were checked", c.checked)
	}
}

func TestCrowdStrikeContract(t *testing.T) {
	c := loadContract(t, "crowdstrike/falcon_hosts_oauth2.openapi3.converted.json")
	w := newWorld(t)
	w.web.Transport = c
	w.login()
	w.steer(w.CrowdStrikeURL, "personas", `{"personas":{"DC-1":"protected"}}`)
	id := w.agent("PC-1")
	w.command("contain", id)
	w.command("contain", id)
	w.command("contain", w.agent("DC-1"))
	w.command("lift_containment", id)
	w.command("explode", id)
	w.hostState(id)
	w.hostState(HashHex("nobody"))
	w.falcon("GET", "/devices/entities/devices/v2?ids="+id, "")
	w.falcon("GET", "/devices/entities/online-state/v1?ids="+id+"&ids="+HashHex("nobody"), "")
	for op, status := range map[string]string{opQueryHosts: "429", opHostDetails: "403", opDeviceAction: "500", OpToken: "429"} {
		w.fault(w.CrowdStrikeURL, `{"op":"`+op+`","kind":"status","status":`+status+`}`)
		switch op {
		case opQueryHosts:
			w.falcon("GET", "/devices/queries/devices/v1?filter=hostname%3A%27PC-1%27", "")
		case opHostDetails:
			w.hostState(id)
		case opDeviceAction:
			w.command("contain", id)
		case OpToken:
			w.do("POST", w.CrowdStrikeURL+"/oauth2/token", "application/x-www-form-urlencoded", "client_id=a&client_secret=b")
		}
	}
	c.replay(w.journal(w.CrowdStrikeURL))
	if c.checked < 30 {
		t.Errorf("only %d requests were checked", c.checked)
	}
}
