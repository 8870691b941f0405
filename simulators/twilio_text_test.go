package simulators

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

type textEffects struct {
	Texts   map[string][]textEffect `json:"texts"`
	Inbound map[string][]textEffect `json:"inbound"`
}

func (w *world) textsURL() string {
	return w.TwilioURL + "/2010-04-01/Accounts/" + testSid + "/Messages"
}

const testText = "SI-1042-0007 critical. Reply 048213 to acknowledge."

// textAnswered asks for a text and returns the answer.
func (w *world) textAnswered(change func(url.Values)) answered {
	w.t.Helper()
	form := url.Values{"To": {testCallee}, "From": {testFrom}, "Body": {testText}, "StatusCallback": {w.product.URL + "/text-status?c=a%2Fb"}}
	if change != nil {
		change(form)
	}
	return w.do("POST", w.textsURL()+".json", "application/x-www-form-urlencoded", form.Encode(), asAccount)
}

func (w *world) texts() []textEffect {
	w.t.Helper()
	var e textEffects
	w.effects(w.TwilioURL, &e)
	return e.Texts[testCallee]
}

func (w *world) inbound() []textEffect {
	w.t.Helper()
	var e textEffects
	w.effects(w.TwilioURL, &e)
	return e.Inbound[testCallee]
}

func (w *world) textPersona(name string) {
	w.t.Helper()
	w.steer(w.TwilioURL, "personas", `{"personas":{"sms:`+testCallee+`":"`+name+`"}}`)
}

// statuses waits until the product was told the last of them and returns them all.
func (w *world) statuses(last string) []string {
	w.t.Helper()
	var got []string
	w.until("the text is "+last, func() bool {
		got = nil
		for _, r := range w.product.requests("/text-status") {
			got = append(got, r.form.Get("MessageStatus"))
		}
		return slices.Contains(got, last)
	})
	return got
}

func TestATextIsDelivered(t *testing.T) {
	w := newWorld(t)
	a := w.textAnswered(nil)
	sid, _ := a.get("sid").(string)
	if a.status != 201 || !regexp.MustCompile(`^SM[0-9a-f]{32}$`).MatchString(sid) || a.get("status") != "queued" ||
		a.get("num_segments") != "1" || a.get("direction") != "outbound-api" || a.get("date_sent") != nil || a.get("error_code") != nil {
		t.Fatalf("answer: %d %s", a.status, a.body)
	}
	if _, err := time.Parse(time.RFC1123Z, a.get("date_created").(string)); err != nil {
		t.Errorf("date_created: %v", err)
	}
	if got := strings.Join(w.statuses("delivered"), " "); got != "queued sending sent delivered" {
		t.Errorf("callbacks: %s", got)
	}
	for _, r := range w.product.requests("/text-status") {
		f := r.form
		if f.Get("MessageSid") != sid || f.Get("SmsSid") != sid || f.Get("SmsStatus") != f.Get("MessageStatus") || f.Get("AccountSid") != testSid ||
			f.Get("From") != testFrom || f.Get("To") != testCallee || f.Get("ApiVersion") != "2010-04-01" || f.Has("ErrorCode") {
			t.Errorf("callback: %v", f)
		}
		if want := independentTwilioSignature(testToken, w.product.URL+r.uri, f); r.head.Get("X-Twilio-Signature") != want {
			t.Errorf("signature %s, want %s", r.head.Get("X-Twilio-Signature"), want)
		}
	}
	fetched := w.do("GET", w.textsURL()+"/"+sid+".json", "", "", asAccount)
	if fetched.status != 200 || fetched.get("status") != "delivered" || fetched.get("date_sent") == nil || fetched.get("body") != testText {
		t.Errorf("fetched: %d %s", fetched.status, fetched.body)
	}
	w.until("the callbacks are noted", func() bool { return len(w.texts()[0].Callbacks) == 4 })
	x := w.texts()[0]
	if len(w.texts()) != 1 || x.Sid != sid || x.Body != testText || x.Status != "delivered" || x.Persona != "text-delivered" || x.Ended == nil {
		t.Errorf("effect: %+v", x)
	}
	if v := w.violations(w.TwilioURL); len(v) > 0 || len(w.inbound()) > 0 {
		t.Errorf("violations %v, inbound %v", v, w.inbound())
	}
}

func TestTextsThatDoNotArrive(t *testing.T) {
	for persona, c := range map[string]struct{ statuses, code string }{
		"text-undelivered": {"queued sending sent undelivered", "30003"},
		"text-landline":    {"queued sending failed", "30006"},
		"text-silent":      {"queued sending sent", ""},
	} {
		t.Run(persona, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.textPersona(persona)
			sid := w.textAnswered(nil).get("sid").(string)
			last := c.statuses[strings.LastIndex(c.statuses, " ")+1:]
			if got := strings.Join(w.statuses(last), " "); got != c.statuses {
				t.Errorf("callbacks: %s", got)
			}
			all := w.product.requests("/text-status")
			if got := all[len(all)-1].form.Get("ErrorCode"); got != c.code {
				t.Errorf("error code %q", got)
			}
			a := w.do("GET", w.textsURL()+"/"+sid+".json", "", "", asAccount)
			if code, _ := a.get("error_code").(float64); a.get("status") != last || strconv.Itoa(int(code)) != strings.TrimPrefix("0"+c.code, "0") && c.code != "" {
				t.Errorf("fetched: %s", a.body)
			}
			if x := w.texts()[0]; (x.Ended == nil) != (persona == "text-silent") {
				t.Errorf("effect: %+v", x)
			}
		})
	}
}

func TestTextsTheVendorRefusesForThePerson(t *testing.T) {
	w := newWorld(t)
	for persona, code := range map[string]float64{"text-unsubscribed": 21610, "text-invalid": 21211} {
		w.textPersona(persona)
		if a := w.textAnswered(nil); a.status != 400 || a.get("code") != code {
			t.Errorf("%s: %d %s", persona, a.status, a.body)
		}
	}
	if len(w.texts()) != 0 || len(w.violations(w.TwilioURL)) != 0 {
		t.Errorf("texts %v, violations %v", w.texts(), w.violations(w.TwilioURL))
	}
}

func TestBadTextsAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(url.Values)
		code   float64
	}{
		"no To":           {func(f url.Values) { f.Del("To") }, codeNoTextTo},
		"no From":         {func(f url.Values) { f.Del("From") }, codeNoTextFrom},
		"no body":         {func(f url.Values) { f.Del("Body") }, 21602},
		"long body":       {func(f url.Values) { f.Set("Body", strings.Repeat("ü", 1601)) }, 21617},
		"national number": {func(f url.Values) { f.Set("To", "030123456") }, 21211},
		"foreign From":    {func(f url.Values) { f.Set("From", "+18005550199") }, 21606},
		"named From":      {func(f url.Values) { f.Set("From", "WATCHFIRE") }, 21212},
		"validity period": {func(f url.Values) { f.Set("ValidityPeriod", "36001") }, codeValidity},
		"plain http":      {func(f url.Values) { f.Set("StatusCallback", "http://soc.example/") }, codeStatusCallback},
		"unknown field":   {func(f url.Values) { f.Set("IdempotencyKey", "x") }, codeBadParameter},
		"media":           {func(f url.Values) { f.Set("MediaUrl", "https://soc.example/x.png") }, codeBadParameter},
		"To twice":        {func(f url.Values) { f.Add("To", "+4930123457") }, codeBadParameter},
	} {
		t.Run(name, func(t *testing.T) {
			if a := w.textAnswered(c.change); a.status != 400 || a.get("code") != c.code || a.get("more_info") == nil {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	if n := len(w.violations(w.TwilioURL)); n != 12 || len(w.texts()) != 0 {
		t.Errorf("%d violations, texts %v", n, w.texts())
	}
	if a := w.textAnswered(func(f url.Values) { f.Set("Body", strings.Repeat("ü", 1600)) }); a.status != 201 {
		t.Errorf("1600 characters: %d %s", a.status, a.body)
	}
	for _, r := range [][2]string{{"DELETE", "/SM00000000000000000000000000000000.json"}, {"POST", "/SM00000000000000000000000000000000.json"}} {
		if a := w.do(r[0], w.textsURL()+r[1], "", "", asAccount); a.status != 404 {
			t.Errorf("%s: %d", r[0], a.status)
		}
	}
	if a := w.do("GET", w.textsURL()+".json", "", ""); a.status != 401 {
		t.Errorf("no login: %d", a.status)
	}
}

func TestLinksInTextsAreViolations(t *testing.T) {
	for body, violations := range map[string]int{
		"See HTTPS://portal.example": 1, "http://x": 1, "Visit www.soc.example": 1, "Open the portal. SI-1042-0007": 0,
	} {
		w := newWorld(t)
		if a := w.textAnswered(func(f url.Values) { f.Set("Body", body) }); a.status != 201 {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
		if got := w.violations(w.TwilioURL); len(got) != violations {
			t.Errorf("%q: %v", body, got)
		}
	}
}

// Bodies and counts are from the vendor's description of segments.
func TestSegments(t *testing.T) {
	for _, c := range []struct {
		body string
		want int
	}{
		{"a", 1}, {strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("a", 306), 2}, {strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, {strings.Repeat("€", 81), 2}, {strings.Repeat("ж", 70), 1}, {strings.Repeat("ж", 71), 2},
		{strings.Repeat("👍", 35), 1}, {strings.Repeat("👍", 36), 2}, {"Grüße", 1},
	} {
		if got := segments(c.body); got != c.want {
			t.Errorf("%d runes: %d segments, want %d", len([]rune(c.body)), got, c.want)
		}
	}
}

func TestTextsAppearInTheListWithADelay(t *testing.T) {
	w := unhurried(t)
	list := func(query string) answered { return w.do("GET", w.textsURL()+".json?"+query, "", "", asAccount) }
	texts := func(a answered) int { rows, _ := a.get("messages").([]any); return len(rows) }
	since := url.Values{"To": {testCallee}, "From": {testFrom}, "DateSent>": {time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)}}.Encode()
	w.textAnswered(nil)
	if n := texts(list("")); n != 0 {
		t.Errorf("listed at once: %d", n)
	}
	w.until("the text is listed", func() bool { return texts(list(since)) == 1 })
	w.textAnswered(nil)
	w.until("both are listed", func() bool { return texts(list(since)) == 2 })
	first := list("PageSize=1")
	if next, _ := first.get("next_page_uri").(string); texts(first) != 1 || !strings.Contains(next, "/Messages.json?") || texts(w.do("GET", w.TwilioURL+next, "", "", asAccount)) != 1 {
		t.Errorf("pages: %s", first.body)
	}
	for query, want := range map[string]int{
		"To=%2B4930999999": 0, "DateSent%3E=2999-01-01": 0, "DateSent%3C=2999-01-01": 2, "PageSize=1&Page=2": 0,
	} {
		if a := list(query); a.status != 200 || texts(a) != want {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	for _, query := range []string{"Body=x", "DateSent=soon", "PageSize=1001"} {
		if a := list(query); a.status != 400 {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

func TestFaultsOfTexts(t *testing.T) {
	w := newWorld(t)
	w.fault(w.TwilioURL, `{"op":"create_message","kind":"reset_after","times":1},{"op":"list_messages","kind":"status","status":503},{"op":"fetch_message","kind":"status","status":429}`)
	if a := w.textAnswered(nil); a.err == nil || len(w.texts()) != 1 {
		t.Errorf("answered %d, texts %v", a.status, w.texts())
	}
	if a := w.do("GET", w.textsURL()+".json", "", "", asAccount); a.status != 503 {
		t.Errorf("list: %d", a.status)
	}
	if a := w.do("GET", w.textsURL()+"/"+w.texts()[0].Sid+".json", "", "", asAccount); a.status != 429 || a.get("code") != 20429.0 {
		t.Errorf("fetch: %d", a.status)
	}
}

func TestFaultsOfTextCallbacks(t *testing.T) {
	for kind, c := range map[string]struct {
		count int
		holds func(w *world, got []received) bool
	}{
		"drop":      {3, func(_ *world, got []received) bool { return got[0].form.Get("MessageStatus") == "sending" }},
		"duplicate": {5, func(_ *world, got []received) bool { return got[0].body == got[1].body }},
		"reorder":   {4, func(_ *world, got []received) bool { return got[0].form.Get("MessageStatus") != "queued" }},
		"missign": {4, func(w *world, got []received) bool {
			return got[0].head.Get("X-Twilio-Signature") != independentTwilioSignature(testToken, w.product.URL+got[0].uri, got[0].form)
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := unhurried(t)
			w.fault(w.TwilioURL, `{"op":"callback","kind":"`+kind+`","times":1}`)
			w.textAnswered(nil)
			w.statuses("delivered")
			w.until("all callbacks are out", func() bool { return len(w.product.requests("/text-status")) == c.count })
			if got := w.product.requests("/text-status"); !c.holds(w, got) {
				t.Errorf("callbacks: %+v", got)
			}
		})
	}
}
