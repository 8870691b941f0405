package vendors_test

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/test/contracts"
	"github.com/watchfire-mdr/watchfire/vendors/edr/crowdstrike"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// contract is a transport that holds every request against a vendor's published contract and
// answers from a list, by method and path.
type contract struct {
	t         *testing.T
	vendor    string
	contracts *contracts.Contracts
	answers   map[string]canned
	checked   int
}

type canned struct {
	status int
	header http.Header
	body   string
}

// newContract opens the vendor's contract, or skips the test where it is not at hand.
func newContract(t *testing.T, vendor string, answers map[string]canned) *contract {
	t.Helper()
	c, err := contracts.Open(filepath.Join("..", "..", "shared", "contracts"))
	if errors.Is(err, contracts.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &contract{t: t, vendor: vendor, contracts: c, answers: answers}
}

func (c *contract) RoundTrip(r *http.Request) (*http.Response, error) {
	c.checked++
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	err := c.contracts.Check(stage.Entry{
		Vendor: c.vendor, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Body: string(body),
	})
	if err != nil {
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

func (c *contract) wantChecked(n int) {
	c.t.Helper()
	if c.checked != n {
		c.t.Errorf("%d requests were checked, want %d", c.checked, n)
	}
}

func TestTwilioContract(t *testing.T) {
	const account, call = "AC0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdef"
	texts := "/2010-04-01/Accounts/" + account + "/Messages.json"
	text := `{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","body":"x","date_created":null}`
	calls := "/2010-04-01/Accounts/" + account + "/Calls"
	one := `{"sid":"` + call + `","status":"queued","date_created":null}`
	c := newContract(t, "twilio", map[string]canned{
		"POST " + calls + ".json":              {status: 201, body: one},
		"GET " + calls + ".json":               {status: 200, body: `{"calls":[` + one + `]}`},
		"GET " + calls + "/" + call + ".json":  {status: 200, body: one},
		"POST " + calls + "/" + call + ".json": {status: 200, body: one},
		"GET " + calls + "/" + call + "/Events.json": {status: 200,
			body: `{"events":[{"request":{"url":"https://mdr.example/voice?c=1","method":"POST","parameters":{}},"response":{}}],"next_page_uri":null}`},
		"POST " + texts: {status: 201, body: text},
		"GET " + texts:  {status: 200, body: `{"messages":[` + text + `]}`},
	})
	caller, err := twilio.New(twilio.Settings{AccountSID: account, AuthToken: "token", From: "+15550001111", Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = caller.Place(t.Context(), models.OutboundCall{
		To: "+15550002222", RingFor: 25 * time.Second,
		VoiceURL: "https://mdr.example/voice?c=1", StatusURL: "https://mdr.example/status?c=1",
		MachineURL: "https://mdr.example/machine?c=1",
	}); err != nil {
		t.Error(err)
	}
	if _, err = caller.Status(t.Context(), call); err != nil {
		t.Error(err)
	}
	if err = caller.Hangup(t.Context(), call); err != nil {
		t.Error(err)
	}
	if _, _, err = caller.Recent(t.Context(), "+15550002222"); err != nil {
		t.Error(err)
	}
	if _, err = caller.Requests(t.Context(), call); err != nil {
		t.Error(err)
	}
	if _, err = caller.Text(t.Context(), models.OutboundText{
		To: "+15550002222", Body: "Ünï & <1>", StatusURL: "https://mdr.example/text?c=1",
	}); err != nil {
		t.Error(err)
	}
	if _, err = caller.RecentTexts(t.Context(), "+15550002222"); err != nil {
		t.Error(err)
	}
	c.wantChecked(8)
}

func TestSendGridContract(t *testing.T) {
	c := newContract(t, "sendgrid", map[string]canned{
		"POST /v3/mail/send":  {status: 202, header: http.Header{"X-Message-Id": {"m1"}}},
		"POST /v3/logs":       {status: 200, body: `{"messages":[{"sg_message_id":"m1.f.2"}]}`},
		"GET /v3/logs/m1.f.2": {status: 200, body: `{"custom_args":{"mdr_delivery_id":"d1"}}`},
	})
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

func TestCrowdStrikeContract(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	listed := func(resource string) string {
		return `{"meta":{"query_time":0.1,"trace_id":"t"},"errors":[],"resources":[` + resource + `]}`
	}
	c := newContract(t, "crowdstrike", map[string]canned{
		"POST /oauth2/token":                        {status: 201, body: `{"access_token":"x","expires_in":1799}`},
		"GET /devices/queries/devices/v1":           {status: 200, body: listed(`"` + id + `"`)},
		"POST /devices/entities/devices/v2":         {status: 200, body: listed(`{"cid":"c","device_id":"` + id + `","hostname":"PC-1","status":"normal"}`)},
		"GET /devices/entities/online-state/v1":     {status: 200, body: listed(`{"id":"` + id + `","state":"online"}`)},
		"POST /devices/entities/devices-actions/v2": {status: 202, body: listed(`{"id":"` + id + `","path":"/x"}`)},
	})
	falcon, err := crowdstrike.New(models.EDRCredentials{Vendor: "crowdstrike", Values: map[string]string{"client_id": "a", "client_secret": "b", "member_cid": id}}, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	if hosts, err := falcon.Find(t.Context(), "PC-1"); err != nil || len(hosts) != 1 {
		t.Errorf("%v, %v", hosts, err)
	}
	if host, err := falcon.State(t.Context(), id); err != nil || !host.Online {
		t.Errorf("%+v, %v", host, err)
	}
	if _, err := falcon.Isolate(t.Context(), id, "SI-1042-0007"); err != nil {
		t.Error(err)
	}
	if _, err := falcon.Release(t.Context(), id, ""); err != nil {
		t.Error(err)
	}
	c.wantChecked(7)
}
