package simulators

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

const (
	testSid      = "AC0123456789abcdef0123456789abcdef"
	testToken    = "twilio-secret-token-000001"
	testMailKey  = "SG.sendgrid-secret-key-000001"
	testClientID = "falconclient0001"
	testSecret   = "falcon-secret-000001"
)

func testOptions() Options {
	return Options{
		TwilioAccountSID: testSid, TwilioAuthToken: testToken, TwilioFrom: "+18005550100",
		SendGridAPIKey: testMailKey, SendGridFrom: "soc@watchfire.example",
		CrowdStrikeClientID: testClientID, CrowdStrikeClientSecret: testSecret, Pace: 0.02,
		SMTPUser: "soc", SMTPPassword: "smtp-secret-000001",
	}
}

func TestStartRefusesWhatIsUnsafe(t *testing.T) {
	fine := testOptions()
	for name, spoil := range map[string]func(*Options){
		"public address":        func(o *Options) { o.TwilioAddr = "0.0.0.0:0" },
		"empty auth token":      func(o *Options) { o.TwilioAuthToken = "" },
		"empty api key":         func(o *Options) { o.SendGridAPIKey = "" },
		"empty client secret":   func(o *Options) { o.CrowdStrikeClientSecret = "" },
		"events without a key":  func(o *Options) { o.SendGridWebhookURL = "http://127.0.0.1/x" },
		"account without an AC": func(o *Options) { o.TwilioAccountSID = "12" },
		"public mail server":    func(o *Options) { o.SMTPAddr = "0.0.0.0:0" },
		"half an SMTP login":    func(o *Options) { o.SMTPPassword = "" },
		"texts to plain http":   func(o *Options) { o.TwilioInboundTextURL = "http://soc.example/texts" },
		"negative pace":         func(o *Options) { o.Pace = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := fine
			spoil(&o)
			if r, err := Start(t.Context(), o); err == nil {
				_ = r.Close(context.Background())
				t.Fatal("started")
			}
		})
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := testOptions()
	o.SendGridAddr = l.Addr().String()
	_, err = Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "sendgrid") || !strings.Contains(err.Error(), o.SendGridAddr) {
		t.Fatalf("the error must name simulator and address: %v", err)
	}
}

func TestJournalKeepsOrderAndMasksSecrets(t *testing.T) {
	r, err := Start(t.Context(), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	w := stagetest.NewClient(t)
	form := "application/x-www-form-urlencoded"
	w.Do("POST", r.TwilioURL+"/2010-04-01/Accounts/"+testSid+"/Calls.json", form, "To=%2B4930123456&From=%2B18005550100&Url=https%3A%2F%2Fsoc.example%2F",
		func(r *http.Request) { r.SetBasicAuth(testSid, testToken) })
	w.Do("POST", r.SendGridURL+"/v3/mail/send", "application/json", `{"subject":"`+testMailKey+`"}`,
		func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testMailKey) })
	bearer, _ := w.Do("POST", r.CrowdStrikeURL+"/oauth2/token", form, "client_id="+testClientID+"&client_secret="+testSecret).Get("access_token").(string)
	w.Do("GET", r.CrowdStrikeURL+"/nowhere?x="+testSecret, "", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bearer) })
	for _, base := range []string{r.TwilioURL, r.SendGridURL, r.CrowdStrikeURL} {
		raw := w.Do("GET", base+"/_sim/journal", "", "").Body
		if len(w.Journal(base)) == 0 {
			t.Errorf("the journal of %s is empty", base)
		}
		for _, secret := range []string{testToken, testMailKey, testSecret, bearer, url.QueryEscape(testMailKey)} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("a secret is in the journal of %s", base)
			}
		}
	}
	entries := w.Journal(r.CrowdStrikeURL)
	if len(entries) != 2 || entries[0].Path != "/oauth2/token" || entries[1].Status != 404 || entries[1].Query != "x=***" {
		t.Fatalf("journal: %+v", entries)
	}
	if got := entries[0]; got.Status != 201 || got.Body != "client_id="+testClientID+"&client_secret=***" || got.Vendor != "crowdstrike" {
		t.Errorf("token entry: %+v", got)
	}
	call := w.Journal(r.TwilioURL)[0]
	if call.Headers["Authorization"] != "Basic ***" || call.Method != "POST" || call.Status != 201 ||
		!strings.Contains(call.Body, "To=%2B4930123456") || call.ContentType != "application/x-www-form-urlencoded" {
		t.Errorf("call entry: %+v", call)
	}
}
