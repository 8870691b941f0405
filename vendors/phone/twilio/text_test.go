package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

const textID = "SM0123456789abcdef0123456789abcdef"

var note = models.OutboundText{
	To: to, Body: "SI-1042-0007: critical incident. Reply 1 & say who you are.",
	StatusURL: "https://mdr.example/hooks/twilio/text?c=k1",
}

func textJSON(id, status, created, body string) string {
	return fmt.Sprintf(`{"sid":%q,"status":%q,"date_created":%s,"date_sent":null,"to":%q,"body":%q}`, id, status, created, to, body)
}

func TestTextSendsTheMessage(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		if user, password, _ := r.BasicAuth(); user != account || password != token {
			t.Error("wrong credentials")
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		want := url.Values{
			"To": {to}, "From": {from}, "Body": {note.Body},
			"StatusCallback": {note.StatusURL}, "ValidityPeriod": {"14400"},
		}
		if !reflect.DeepEqual(r.PostForm, want) {
			t.Errorf("form %v", r.PostForm)
		}
		answering(201, textJSON(textID, "queued", `"Sun, 01 Mar 2026 12:00:00 +0000"`, note.Body))(w, r)
	})
	got, err := c.Text(t.Context(), note)
	want := models.SentText{
		ID: textID, Status: models.TextQueued, Body: note.Body, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTextTakesTheTimeOfTheAnswerWhenTwilioNamesNone(t *testing.T) {
	got, err := serve(t, answering(201, textJSON(textID, "accepted", "null", note.Body))).Text(t.Context(), note)
	if err != nil || time.Since(got.At) > time.Minute {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTextRejectsWithoutAsking(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for name, wrong := range map[string]struct {
		spoil func(*models.OutboundText)
		class models.VendorClass
	}{
		"no number":        {func(o *models.OutboundText) { o.To = "" }, models.Rejected},
		"local number":     {func(o *models.OutboundText) { o.To = "5550002222" }, models.Rejected},
		"other channel":    {func(o *models.OutboundText) { o.To = "whatsapp:" + to }, models.Rejected},
		"empty":            {func(o *models.OutboundText) { o.Body = "" }, models.Rejected},
		"too long":         {func(o *models.OutboundText) { o.Body = strings.Repeat("ü", 1601) }, models.Rejected},
		"broken UTF-8":     {func(o *models.OutboundText) { o.Body = "a\xff" }, models.Rejected},
		"relative report":  {func(o *models.OutboundText) { o.StatusURL = "/text" }, models.Config},
		"other URL scheme": {func(o *models.OutboundText) { o.StatusURL = "ftp://mdr.example/x" }, models.Config},
	} {
		o := note
		wrong.spoil(&o)
		_, err := c.Text(t.Context(), o)
		if v := vendorError(t, err); v.Class != wrong.class {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestTheLongestTextIsSent(t *testing.T) {
	o := note
	o.Body = strings.Repeat("ü", 1600)
	if _, err := serve(t, answering(201, textJSON(textID, "queued", "null", o.Body))).Text(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestTextFailures(t *testing.T) {
	problem := func(code int) string {
		return fmt.Sprintf(`{"code":%d,"message":"%s cannot be reached from %s","more_info":"https://x","status":400}`, code, to, from)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		class  models.VendorClass
		code   string
	}{
		{"invalid number", 400, problem(21211), models.Rejected, "21211"},
		{"region not enabled, as 403", 403, problem(21408), models.Rejected, "21408"},
		{"opted out, as 403", 403, problem(21610), models.Rejected, "21610"},
		{"no route", 400, problem(21612), models.Rejected, "21612"},
		{"not a mobile", 400, problem(21614), models.Rejected, "21614"},
		{"landline", 400, problem(21635), models.Rejected, "21635"},
		{"too long after all", 400, problem(21617), models.Rejected, "21617"},
		{"our number sends no texts", 400, problem(21606), models.Config, "21606"},
		{"our number sends no texts, newer code", 400, problem(21661), models.Config, "21661"},
		{"our number is nobody's", 400, problem(21659), models.Config, "21659"},
		{"our number is another account's", 400, problem(21660), models.Config, "21660"},
		{"our number is malformed", 400, problem(21212), models.Config, "21212"},
		{"our report URL is wrong", 400, problem(21609), models.Config, "21609"},
		{"our queue is full", 400, problem(21611), models.Throttled, "21611"},
		{"too many", 429, problem(20429), models.Throttled, "20429"},
		{"wrong token", 401, problem(20003), models.Config, "20003"},
		{"broken", 500, problem(20500), models.Ambiguous, "20500"},
		{"proxy page", 503, "<html>Service Unavailable</html>", models.Ambiguous, ""},
		{"empty success", 201, "", models.Ambiguous, ""},
		{"cut success", 201, `{"sid":"SM01`, models.Ambiguous, ""},
		{"success without a message", 201, `{}`, models.Ambiguous, ""},
		{"success that names a call", 201, textJSON(sid, "queued", "null", "x"), models.Ambiguous, ""},
		{"redirect that carries a message", 302, textJSON(textID, "queued", "null", "x"), models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := serve(t, answering(c.status, c.body)).Text(t.Context(), note)
			v := vendorError(t, err)
			if v.Class != c.class || v.Code != c.code || v.HTTPStatus != c.status || v.RequestID != "RQ1" {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestTextWithoutAnswer(t *testing.T) {
	t.Run("cut after the request", func(t *testing.T) {
		var requests atomic.Int32
		_, err := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}).Text(t.Context(), note)
		if v := vendorError(t, err); v.Class != models.Ambiguous || requests.Load() != 1 {
			t.Errorf("got %+v after %d requests", v, requests.Load())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		defer close(over)
		_, err := serve(t, func(http.ResponseWriter, *http.Request) { cancel(); <-over }).Text(ctx, note)
		if v := vendorError(t, err); v.Class != models.Ambiguous || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", v)
		}
	})
}

func TestRecentTextsFindsWaitingAndSentMessages(t *testing.T) {
	id := func(n int) string { return fmt.Sprintf("SM%032d", n) }
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		want := url.Values{"To": {to}, "From": {from}, "PageSize": {"200"}} // a date would hide what still waits
		if r.Method != http.MethodGet || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" || !reflect.DeepEqual(r.URL.Query(), want) {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		answering(200, `{"messages":[`+strings.Join([]string{
			textJSON(id(1), "queued", "null", "waits"),
			textJSON(id(2), "delivered", `"Sun, 01 Mar 2026 12:00:05 +0000"`, "arrived"),
			textJSON(id(3), "sent", `"Sun, 01 Mar 2026 12:00:00 +0000"`, "same second"),
		}, ",")+`]}`)(w, r)
	})
	got, err := c.RecentTexts(t.Context(), to)
	want := []models.SentText{
		{ID: id(1), Status: models.TextQueued, Body: "waits"},
		{ID: id(2), Status: models.TextDelivered, Body: "arrived", At: time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)},
		{ID: id(3), Status: models.TextSent, Body: "same second", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRecentTextsNeverTakesABrokenAnswerForNoMessages(t *testing.T) {
	for _, body := range []string{"", "{}", "[]", `{"messages":null}`, `{"messages":[{}]}`, `{"messages":[`, `{"calls":[]}`} {
		_, err := serve(t, answering(200, body)).RecentTexts(t.Context(), to)
		if v := vendorError(t, err); v.Class != models.Transient {
			t.Errorf("%q: %+v", body, v)
		}
	}
	got, err := serve(t, answering(200, `{"messages":[]}`)).RecentTexts(t.Context(), to)
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = serve(t, answering(200, `{"messages":[]}`)).RecentTexts(t.Context(), "0301234567")
	if v := vendorError(t, err); v.Class != models.Rejected {
		t.Errorf("got %+v", v)
	}
}
