package twilio

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

type textEffects struct {
	Texts   map[string][]textEffect `json:"texts"`
	Inbound map[string][]textEffect `json:"inbound"`
}

func (w *world) textsURL() string {
	return w.TwilioURL + "/2010-04-01/Accounts/" + testSid + "/Messages"
}

const testText = "SI-1042-0007 critical. Reply 048213 to acknowledge."

// sendText asks for a text and returns the answer.
func (w *world) sendText(change func(url.Values)) stagetest.Answered {
	w.T.Helper()
	form := url.Values{"To": {testCallee}, "From": {testFrom}, "Body": {testText}, "StatusCallback": {w.Product.URL + "/text-status?c=a%2Fb"}}
	if change != nil {
		change(form)
	}
	return w.Do("POST", w.textsURL()+".json", "application/x-www-form-urlencoded", form.Encode(), logIn)
}

func (w *world) texts() []textEffect {
	w.T.Helper()
	var e textEffects
	w.Effects(w.TwilioURL, &e)
	return e.Texts[testCallee]
}

func (w *world) inbound() []textEffect {
	w.T.Helper()
	var e textEffects
	w.Effects(w.TwilioURL, &e)
	return e.Inbound[testCallee]
}

func (w *world) setTextPersona(name string) {
	w.T.Helper()
	w.Steer(w.TwilioURL, "personas", `{"personas":{"sms:`+testCallee+`":"`+name+`"}}`)
}

// statusesUntil returns all statuses that the product received, once the last has arrived.
func (w *world) statusesUntil(last string) []string {
	w.T.Helper()
	var got []string
	w.Until("the text is "+last, func() bool {
		got = nil
		for _, r := range w.Product.Requests("/text-status") {
			got = append(got, r.Form.Get("MessageStatus"))
		}
		return slices.Contains(got, last)
	})
	return got
}

func TestATextIsDelivered(t *testing.T) {
	w := newWorld(t)
	a := w.sendText(nil)
	sid, _ := a.Get("sid").(string)
	if a.Status != 201 || !regexp.MustCompile(`^SM[0-9a-f]{32}$`).MatchString(sid) || a.Get("status") != "queued" ||
		a.Get("num_segments") != "1" || a.Get("direction") != "outbound-api" || a.Get("date_sent") != nil || a.Get("error_code") != nil {
		t.Fatalf("answer: %d %s", a.Status, a.Body)
	}
	if _, err := time.Parse(time.RFC1123Z, a.Get("date_created").(string)); err != nil {
		t.Errorf("date_created: %v", err)
	}
	if got := strings.Join(w.statusesUntil("delivered"), " "); got != "queued sending sent delivered" {
		t.Errorf("callbacks: %s", got)
	}
	for _, r := range w.Product.Requests("/text-status") {
		f := r.Form
		if f.Get("MessageSid") != sid || f.Get("SmsSid") != sid || f.Get("SmsStatus") != f.Get("MessageStatus") || f.Get("AccountSid") != testSid ||
			f.Get("From") != testFrom || f.Get("To") != testCallee || f.Get("ApiVersion") != "2010-04-01" || f.Has("ErrorCode") {
			t.Errorf("callback: %v", f)
		}
		if want := independentTwilioSignature(testToken, w.Product.URL+r.URI, f); r.Head.Get("X-Twilio-Signature") != want {
			t.Errorf("signature %s, want %s", r.Head.Get("X-Twilio-Signature"), want)
		}
	}
	fetched := w.Do("GET", w.textsURL()+"/"+sid+".json", "", "", logIn)
	if fetched.Status != 200 || fetched.Get("status") != "delivered" || fetched.Get("date_sent") == nil || fetched.Get("body") != testText {
		t.Errorf("fetched: %d %s", fetched.Status, fetched.Body)
	}
	w.Until("the callbacks are noted", func() bool { return len(w.texts()[0].Callbacks) == 4 })
	x := w.texts()[0]
	if len(w.texts()) != 1 || x.Sid != sid || x.Body != testText || x.Status != "delivered" || x.Persona != "text-delivered" || x.Ended == nil {
		t.Errorf("effect: %+v", x)
	}
	if v := w.Violations(w.TwilioURL); len(v) > 0 || len(w.inbound()) > 0 {
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
			w.setTextPersona(persona)
			sid := w.sendText(nil).Get("sid").(string)
			last := c.statuses[strings.LastIndex(c.statuses, " ")+1:]
			if got := strings.Join(w.statusesUntil(last), " "); got != c.statuses {
				t.Errorf("callbacks: %s", got)
			}
			all := w.Product.Requests("/text-status")
			if got := all[len(all)-1].Form.Get("ErrorCode"); got != c.code {
				t.Errorf("error code %q", got)
			}
			a := w.Do("GET", w.textsURL()+"/"+sid+".json", "", "", logIn)
			if code, _ := a.Get("error_code").(float64); a.Get("status") != last || strconv.Itoa(int(code)) != strings.TrimPrefix("0"+c.code, "0") && c.code != "" {
				t.Errorf("fetched: %s", a.Body)
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
		w.setTextPersona(persona)
		if a := w.sendText(nil); a.Status != 400 || a.Get("code") != code {
			t.Errorf("%s: %d %s", persona, a.Status, a.Body)
		}
	}
	if len(w.texts()) != 0 || len(w.Violations(w.TwilioURL)) != 0 {
		t.Errorf("texts %v, violations %v", w.texts(), w.Violations(w.TwilioURL))
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
			if a := w.sendText(c.change); a.Status != 400 || a.Get("code") != c.code || a.Get("more_info") == nil {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	if n := len(w.Violations(w.TwilioURL)); n != 12 || len(w.texts()) != 0 {
		t.Errorf("%d violations, texts %v", n, w.texts())
	}
	if a := w.sendText(func(f url.Values) { f.Set("Body", strings.Repeat("ü", 1600)) }); a.Status != 201 {
		t.Errorf("1600 characters: %d %s", a.Status, a.Body)
	}
	for _, r := range [][2]string{{"DELETE", "/SM00000000000000000000000000000000.json"}, {"POST", "/SM00000000000000000000000000000000.json"}} {
		if a := w.Do(r[0], w.textsURL()+r[1], "", "", logIn); a.Status != 404 {
			t.Errorf("%s: %d", r[0], a.Status)
		}
	}
	if a := w.Do("GET", w.textsURL()+".json", "", ""); a.Status != 401 {
		t.Errorf("no login: %d", a.Status)
	}
}

func TestLinksInTextsAreViolations(t *testing.T) {
	for body, violations := range map[string]int{
		"See HTTPS://portal.example": 1, "http://x": 1, "Visit www.soc.example": 1, "Open the portal. SI-1042-0007": 0,
	} {
		w := newWorld(t)
		if a := w.sendText(func(f url.Values) { f.Set("Body", body) }); a.Status != 201 {
			t.Errorf("%q: %d %s", body, a.Status, a.Body)
		}
		if got := w.Violations(w.TwilioURL); len(got) != violations {
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
		if got := countSegments(c.body); got != c.want {
			t.Errorf("%d runes: %d segments, want %d", len([]rune(c.body)), got, c.want)
		}
	}
}

func TestTextsAppearInTheListWithADelay(t *testing.T) {
	w := unhurried(t)
	list := func(query string) stagetest.Answered {
		return w.Do("GET", w.textsURL()+".json?"+query, "", "", logIn)
	}
	texts := func(a stagetest.Answered) int { rows, _ := a.Get("messages").([]any); return len(rows) }
	since := url.Values{"To": {testCallee}, "From": {testFrom}, "DateSent>": {time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)}}.Encode()
	w.sendText(nil)
	if n := texts(list("")); n != 0 {
		t.Errorf("listed at once: %d", n)
	}
	w.Until("the text is listed", func() bool { return texts(list(since)) == 1 })
	w.sendText(nil)
	w.Until("both are listed", func() bool { return texts(list(since)) == 2 })
	first := list("PageSize=1")
	if next, _ := first.Get("next_page_uri").(string); texts(first) != 1 || !strings.Contains(next, "/Messages.json?") || texts(w.Do("GET", w.TwilioURL+next, "", "", logIn)) != 1 {
		t.Errorf("pages: %s", first.Body)
	}
	for query, want := range map[string]int{
		"To=%2B4930999999": 0, "DateSent%3E=2999-01-01": 0, "DateSent%3C=2999-01-01": 2,
		"PageSize=1&Page=2&PageToken=PA2": 0, "PageSize=1&Page=2": 1, // the number of a page is nothing but a note
	} {
		if a := list(query); a.Status != 200 || texts(a) != want {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	for _, query := range []string{"Body=x", "DateSent=soon", "PageSize=1001", "PageToken=1", "PageToken=PAx"} {
		if a := list(query); a.Status != 400 {
			t.Errorf("%s: %d", query, a.Status)
		}
	}
}

func TestFaultsOfTexts(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.TwilioURL, `{"op":"create_message","kind":"reset_after","times":1},{"op":"list_messages","kind":"status","status":503},{"op":"fetch_message","kind":"status","status":429}`)
	if a := w.sendText(nil); a.Err == nil || len(w.texts()) != 1 {
		t.Errorf("answered %d, texts %v", a.Status, w.texts())
	}
	if a := w.Do("GET", w.textsURL()+".json", "", "", logIn); a.Status != 503 {
		t.Errorf("list: %d", a.Status)
	}
	if a := w.Do("GET", w.textsURL()+"/"+w.texts()[0].Sid+".json", "", "", logIn); a.Status != 429 || a.Get("code") != 20429.0 {
		t.Errorf("fetch: %d", a.Status)
	}
}

func TestFaultsOfTextCallbacks(t *testing.T) {
	for kind, c := range map[string]struct {
		count int
		holds func(w *world, got []stagetest.Received) bool
	}{
		"drop":      {3, func(_ *world, got []stagetest.Received) bool { return got[0].Form.Get("MessageStatus") == "sending" }},
		"duplicate": {5, func(_ *world, got []stagetest.Received) bool { return got[0].Body == got[1].Body }},
		"reorder":   {4, func(_ *world, got []stagetest.Received) bool { return got[0].Form.Get("MessageStatus") != "queued" }},
		"missign": {4, func(w *world, got []stagetest.Received) bool {
			return got[0].Head.Get("X-Twilio-Signature") != independentTwilioSignature(testToken, w.Product.URL+got[0].URI, got[0].Form)
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := unhurried(t)
			w.Fault(w.TwilioURL, `{"op":"callback","kind":"`+kind+`","times":1}`)
			w.sendText(nil)
			w.statusesUntil("delivered")
			w.Until("all callbacks are out", func() bool { return len(w.Product.Requests("/text-status")) == c.count })
			if got := w.Product.Requests("/text-status"); !c.holds(w, got) {
				t.Errorf("callbacks: %+v", got)
			}
		})
	}
}
