package cortex

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	hostID  = "aeec6a2cc92e46fab3b6f621722e9916"
	otherID = "23a86310665d413a958926fce5b794b3"
	keyID   = "17"
	secret  = vendortest.Secret
)

// cloud is a pretended Cortex tenant: its endpoints, and what the test says at a path.
type cloud struct {
	*httptest.Server
	endpoints string // elements of the answers with pages
	listed    string // elements of the list of all
	answers   map[string]http.HandlerFunc

	mu   sync.Mutex
	seen []string // path and body
	head []http.Header
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{endpoints: endpointJSON("AGENT_UNISOLATED"), answers: map[string]http.HandlerFunc{}}
	c.Server = vendortest.Serve(t, c.ServeHTTP)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.Path, "/public_api/v1")
	c.mu.Lock()
	c.seen, c.head = append(c.seen, path+" "+string(body)), append(c.head, r.Header.Clone())
	c.mu.Unlock()
	switch {
	case c.answers[path] != nil:
		c.answers[path](w, r)
	case path == "/endpoints/get_endpoints":
		vendortest.Answer(w, 200, `{"reply":[`+c.listed+`]}`)
	case path == "/endpoints/get_endpoint":
		vendortest.Answer(w, 200, `{"reply":{"total_count":1,"result_count":1,"endpoints":[`+c.endpoints+`]}}`)
	default:
		vendortest.Answer(w, 404, "")
	}
}

func (c *cloud) askedSoFar() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

// actions are the requests that are not reads.
func (c *cloud) actions() (actions []string) {
	for _, s := range c.askedSoFar() {
		if strings.HasPrefix(s, "/endpoints/isolate") || strings.HasPrefix(s, "/endpoints/unisolate") {
			actions = append(actions, s)
		}
	}
	return actions
}

func (c *cloud) tenant(t *testing.T) *Tenant {
	t.Helper()
	tenant, err := New(models.EDRCredentials{Vendor: vendor, BaseURL: c.URL,
		Values: map[string]string{"api_key_id": keyID, "api_key": secret}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func rejected(status int, extra string) string {
	return fmt.Sprintf(`{"reply":{"err_code":%d,"err_msg":"An error occurred while processing XDR public API","err_extra":%s}}`, status, extra)
}

func endpointJSON(isolation string) string {
	return `{"endpoint_id":"` + hostID + `","endpoint_name":"PC-1","endpoint_type":"AGENT_TYPE_WORKSTATION","endpoint_status":"CONNECTED",` +
		`"os_type":"AGENT_OS_WINDOWS","last_seen":1772366405000,"is_isolated":"` + isolation + `","group_name":null,` +
		`"tags":{"server_tags":["finance"],"endpoint_tags":["vip"]}}`
}

func TestEveryRequestIsSignedAnew(t *testing.T) {
	c := newCloud(t)
	tenant := c.tenant(t)
	tenant.sign.now = func() time.Time { return time.UnixMilli(1772366405123) }
	for range 2 {
		vendortest.WantClass(t, tenant.Check(t.Context()), "")
	}
	form := regexp.MustCompile(`^[0-9A-Za-z]{64}$`)
	for _, h := range c.head {
		nonce := h.Get("x-xdr-nonce")
		sum := sha256.Sum256([]byte(secret + nonce + "1772366405123"))
		if h.Get("x-xdr-auth-id") != keyID || h.Get("x-xdr-timestamp") != "1772366405123" ||
			!form.MatchString(nonce) || h.Get("Authorization") != hex.EncodeToString(sum[:]) {
			t.Errorf("headers %v", h)
		}
		if strings.Contains(fmt.Sprint(h), secret) {
			t.Error("the key was sent")
		}
	}
	if c.head[0].Get("x-xdr-nonce") == c.head[1].Get("x-xdr-nonce") {
		t.Error("a nonce was used twice")
	}
	want := `/endpoints/get_endpoint {"request_data":{"search_from":0,"search_to":1}}`
	if !slices.Equal(c.askedSoFar(), []string{want, want}) {
		t.Errorf("asked %v", c.askedSoFar())
	}
}

func TestTheClockIsTheRealOne(t *testing.T) {
	c := newCloud(t)
	before := time.Now().UnixMilli()
	vendortest.WantClass(t, c.tenant(t).Check(t.Context()), "")
	sent, err := strconv.ParseInt(c.head[0].Get("x-xdr-timestamp"), 10, 64)
	if err != nil || sent < before || sent > time.Now().UnixMilli() {
		t.Errorf("sent %d, %v", sent, err)
	}
}

func TestCheckFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   models.VendorClass
		code   string
	}{
		{"signature rejected", vendortest.Answering(401, rejected(401, `"x"`)), models.Config, "401"},
		{"licence missing", vendortest.Answering(402, rejected(402, `null`)), models.Config, "402"},
		{"role may not", vendortest.Answering(403, rejected(403, `{"a":1}`)), models.Config, "403"},
		{"broken", vendortest.Answering(500, rejected(500, `"x"`)), models.Transient, "500"},
		{"proxy page", vendortest.Answering(503, "<html>"), models.Transient, ""},
		{"another service", vendortest.Answering(200, `{"ok":true}`), models.Transient, ""},
		{"cut", vendortest.Cut, models.Transient, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.answers["/endpoints/get_endpoint"] = c.answer
			err := cl.tenant(t).Check(t.Context())
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code {
				t.Errorf("code %q", v.Code)
			}
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	c := newCloud(t)
	c.answers["/endpoints/isolate"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		vendortest.Answer(w, 429, "")
	}
	_, err := c.tenant(t).Isolate(t.Context(), hostID, "")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Throttled || v.RetryAfter != 9*time.Second {
		t.Errorf("got %+v", v)
	}
}

func TestCancelledBeforeTheActionNothingIsSent(t *testing.T) {
	c := newCloud(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.tenant(t).Isolate(ctx, hostID, "")
	vendortest.WantClass(t, err, models.Transient)
	if len(c.askedSoFar()) != 0 {
		t.Errorf("sent %v", c.askedSoFar())
	}
}

func TestNewRejectsBadCredentials(t *testing.T) {
	const base = "https://api-client.xdr.eu.paloaltonetworks.com"
	for name, c := range map[string]struct{ base, id, key, names string }{
		"no key":                {base, keyID, "", "api_key:"},
		"key with a break":      {base, keyID, secret + "\r\nX", "api_key:"},
		"no id":                 {base, "", secret, "api_key_id"},
		"id of words":           {base, "seventeen", secret, "api_key_id"},
		"no address":            {"", keyID, secret, "base_url"},
		"not an address":        {"https://%zz", keyID, secret, "base_url"},
		"plain http":            {"http://api-client.xdr.eu.paloaltonetworks.com", keyID, secret, "base_url"},
		"the console":           {"https://client.xdr.eu.paloaltonetworks.com", keyID, secret, "base_url"},
		"somewhere else":        {"https://api-client.paloaltonetworks.com.evil.example", keyID, secret, "base_url"},
		"another port":          {base + ":8443", keyID, secret, "base_url"},
		"a path of the address": {base + "/x", keyID, secret, "base_url"},
	} {
		_, err := New(models.EDRCredentials{BaseURL: c.base, Values: map[string]string{"api_key_id": c.id, "api_key": c.key}}, nil, 0)
		if err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, value := range []string{c.base, c.key} {
			if value != "" && strings.Contains(err.Error(), value) {
				t.Errorf("%s: the error quotes a value: %v", name, err)
			}
		}
	}
	for _, good := range []string{base, base + "/"} {
		if _, err := New(models.EDRCredentials{BaseURL: good, Values: map[string]string{"api_key_id": keyID, "api_key": secret}}, nil, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestCapabilities(t *testing.T) {
	want := models.Capabilities{Actions: true, Queues: true, Classes: true, Tags: true, Underway: true}
	if got := newCloud(t).tenant(t).Capabilities(); got != want {
		t.Errorf("%+v", got)
	}
}

// requestData is the part of a body that differs from call to call.
func requestData(t *testing.T, seen string, into any) {
	t.Helper()
	_, body, _ := strings.Cut(seen, " ")
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &envelope); err != nil || len(envelope) != 1 {
		t.Fatalf("%s: %v", seen, err)
	}
	if err := json.Unmarshal(envelope["request_data"], into); err != nil {
		t.Fatalf("%s: %v", seen, err)
	}
}
