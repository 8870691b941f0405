package elastic

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

const (
	agentID  = "ed518850-681a-4d60-bb98-e22640cae2a8"
	otherID  = "9972d10e-4b9e-41aa-a534-a85e2a28ea42"
	actionID = "233db9ea-6733-4849-9226-5a7039c7161d"
	secret   = vendortest.Secret
)

// kibana is a pretended Kibana: one host's document and the actions it lists. Answers stand for
// what the test says at a method and path instead.
type kibana struct {
	*httptest.Server
	document string // of GET /api/endpoint/metadata/{agentID}
	actions  string // elements of GET /api/endpoint/action
	answers  map[string]http.HandlerFunc

	mu   sync.Mutex
	seen []string // method, path and query
	sent []string // bodies of POSTs
	head http.Header
}

func newKibana(t *testing.T) *kibana {
	t.Helper()
	k := &kibana{document: documentJSON(agentID, "PC-1", false), answers: map[string]http.HandlerFunc{}}
	k.Server = vendortest.Serve(t, k.ServeHTTP)
	return k
}

func (k *kibana) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	k.mu.Lock()
	k.seen, k.head = append(k.seen, r.Method+" "+r.URL.RequestURI()), r.Header.Clone()
	if r.Method == http.MethodPost {
		k.sent = append(k.sent, r.URL.Path+" "+string(body))
	}
	k.mu.Unlock()
	at := r.Method + " " + r.URL.Path
	switch {
	case k.answers[at] != nil:
		k.answers[at](w, r)
	case at == "GET /api/endpoint/metadata/"+agentID:
		vendortest.Answer(w, 200, k.document)
	case at == "GET /api/endpoint/metadata":
		vendortest.Answer(w, 200, `{"data":[`+k.document+`],"page":0,"pageSize":50,"total":1}`)
	case at == "GET /api/endpoint/action":
		vendortest.Answer(w, 200, `{"page":1,"pageSize":100,"total":1,"data":[`+k.actions+`]}`)
	default:
		vendortest.Answer(w, 404, `{"statusCode":404,"error":"Not Found","message":"Not Found"}`)
	}
}

func (k *kibana) askedSoFar() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.seen)
}

func (k *kibana) sentSoFar() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.sent)
}

func (k *kibana) tenant(t *testing.T, values ...string) *Tenant {
	t.Helper()
	c := models.EDRCredentials{Vendor: vendor, BaseURL: k.URL, Values: map[string]string{"api_key": secret}}
	for i := 0; i+1 < len(values); i += 2 {
		c.Values[values[i]] = values[i+1]
	}
	tenant, err := New(c, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func documentJSON(id, hostname string, isolated bool) string {
	state := "false"
	if isolated {
		state = "true"
	}
	return `{"host_status":"healthy","last_checkin":"2026-03-01T12:00:05.000Z","metadata":{"@timestamp":"2026-03-01T12:00:00.123456789Z",` +
		`"Endpoint":{"capabilities":["isolation","scan"],"state":{"isolation":` + state + `},"status":"enrolled"},` +
		`"agent":{"id":"` + id + `","type":"endpoint"},"host":{"hostname":"` + hostname + `","os":{"name":"Windows"}}}}`
}

// actionJSON is an action on the host; more are further fields.
func actionJSON(id, command, startedAt, more string) string {
	return `{"id":"` + id + `","agents":["` + agentID + `"],"command":"` + command + `","agentType":"endpoint","startedAt":"` + startedAt + `",` + more + `}`
}

const (
	pending   = `"isCompleted":false,"wasSuccessful":false,"isExpired":false`
	succeeded = `"isCompleted":true,"wasSuccessful":true,"isExpired":false,"completedAt":"2026-03-01T11:59:00Z"`
	failed    = `"isCompleted":true,"wasSuccessful":false,"isExpired":false`
	expired   = `"isCompleted":false,"wasSuccessful":false,"isExpired":true`
)

func TestEveryRequestSaysWhoAsks(t *testing.T) {
	k := newKibana(t)
	vendortest.WantClass(t, k.tenant(t).Check(t.Context()), "")
	want := map[string]string{"Authorization": "ApiKey " + secret, "Kbn-Xsrf": "true", "Elastic-Api-Version": "2023-10-31"}
	for name, value := range want {
		if got := k.head.Get(name); got != value {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !slices.Equal(k.askedSoFar(), []string{"GET /api/endpoint/metadata?pageSize=1"}) {
		t.Errorf("asked %v", k.askedSoFar())
	}
}

func TestSpacesArePartOfThePath(t *testing.T) {
	for space, want := range map[string]string{"": "/api/", "default": "/api/", "client-7": "/s/client-7/api/"} {
		k := newKibana(t)
		_ = k.tenant(t, "space", space).Check(t.Context())
		if len(k.askedSoFar()) != 1 || !strings.HasPrefix(k.askedSoFar()[0], "GET "+want) {
			t.Errorf("%q: %v", space, k.askedSoFar())
		}
	}
}

func TestCheckFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   models.VendorClass
	}{
		{"key rejected", vendortest.Answering(401, `{"statusCode":401,"error":"Unauthorized"}`), models.Config},
		{"privilege missing", vendortest.Answering(403, `{"statusCode":403,"error":"Forbidden"}`), models.Config},
		{"broken", vendortest.Answering(500, ""), models.Transient},
		{"another service", vendortest.Answering(200, `{"ok":true}`), models.Transient},
		{"a page", vendortest.Answering(200, "<html>"), models.Transient},
		{"cut", vendortest.Cut, models.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.answers["GET /api/endpoint/metadata"] = c.answer
			vendortest.WantClass(t, k.tenant(t).Check(t.Context()), c.want)
		})
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	k := newKibana(t)
	k.answers["POST /api/endpoint/action/isolate"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		vendortest.Answer(w, 429, `{"statusCode":429,"error":"Too Many Requests"}`)
	}
	_, err := k.tenant(t).Isolate(t.Context(), agentID, "")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Throttled || v.RetryAfter != 9*time.Second {
		t.Errorf("got %+v", v)
	}
}

func TestNothingListens(t *testing.T) {
	k := &kibana{Server: &httptest.Server{URL: vendortest.Nobody()}}
	_, err := k.tenant(t).Isolate(t.Context(), agentID, "")
	vendortest.WantClass(t, err, models.Transient)
}

func TestCancelledBeforeTheActionNothingIsSent(t *testing.T) {
	k := newKibana(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := k.tenant(t).Isolate(ctx, agentID, "")
	vendortest.WantClass(t, err, models.Transient)
	if len(k.sentSoFar()) != 0 {
		t.Errorf("sent %v", k.sentSoFar())
	}
}

func TestNewRejectsBadCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		base, key, space, names string
	}{
		"no key":            {"https://kibana.example", "", "", "api_key"},
		"key with a break":  {"https://kibana.example", "bXktaWQ6bXktc2VjcmV0\r\nX: y", "", "api_key"},
		"id and secret":     {"https://kibana.example", "my-id:my-secret-value", "", "api_key"},
		"space with a path": {"https://kibana.example", secret, "../default", "space"},
		"no address":        {"", secret, "", "base_url"},
		"not an address":    {"https://%zz", secret, "", "base_url"},
		"plain http":        {"http://kibana.example", secret, "", "base_url"},
		"with a password":   {"https://u:p@kibana.example", secret, "", "base_url"},
	} {
		_, err := New(models.EDRCredentials{BaseURL: c.base, Values: map[string]string{"api_key": c.key, "space": c.space}}, nil, 0)
		if err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, value := range []string{c.base, c.key, c.space} {
			if value != "" && strings.Contains(err.Error(), value) {
				t.Errorf("%s: the error quotes a value: %v", name, err)
			}
		}
	}
	good := models.EDRCredentials{BaseURL: "https://kibana.example:5601/base", Values: map[string]string{"api_key": secret}}
	if _, err := New(good, nil, 0); err != nil {
		t.Error(err)
	}
}

func TestCapabilities(t *testing.T) {
	if got := newKibana(t).tenant(t).Capabilities(); got != (models.Capabilities{Actions: true, Queues: true, Underway: true}) {
		t.Errorf("%+v", got)
	}
}
