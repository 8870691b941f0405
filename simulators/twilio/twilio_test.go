package twilio

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

type callEffects struct {
	Calls      map[string][]callEffect `json:"calls"`
	Violations []stage.Violation       `json:"violations"`
}

func (w *world) callForm() url.Values {
	return url.Values{"To": {testCallee}, "From": {testFrom}, "Url": {w.Product.URL + "/voice?c=a%2Fb"}, "Method": {"POST"},
		"StatusCallback": {w.Product.URL + "/status?c=a%2Fb"}, "StatusCallbackMethod": {"POST"},
		"StatusCallbackEvent": {"initiated", "ringing", "answered", "completed"}, "Timeout": {"30"}}
}

func logIn(r *http.Request) { r.SetBasicAuth(testSid, testToken) }

func (w *world) callsURL() string { return w.TwilioURL + "/2010-04-01/Accounts/" + testSid + "/Calls" }

func (w *world) placeCall(change func(url.Values)) stagetest.Answered {
	w.T.Helper()
	form := w.callForm()
	if change != nil {
		change(form)
	}
	return w.Do("POST", w.callsURL()+".json", "application/x-www-form-urlencoded", form.Encode(), logIn)
}

func (w *world) calls() []callEffect {
	w.T.Helper()
	var e callEffects
	w.Effects(w.TwilioURL, &e)
	return e.Calls[testCallee]
}

// endedCall waits for the nth call to be over and for its last callback.
func (w *world) endedCall(n int) callEffect {
	w.T.Helper()
	last := func(c callbackRecord) bool {
		return slices.Contains([]string{"completed", "busy", "failed", "no-answer", "canceled"}, c.Status)
	}
	w.Until("the call ends", func() bool {
		calls := w.calls()
		return len(calls) > n && calls[n].Ended != nil && slices.ContainsFunc(calls[n].Callbacks, last)
	})
	return w.calls()[n]
}

func TestACallFromQueueToKeyPress(t *testing.T) {
	w := newWorld(t)
	placed := w.placeCall(nil)
	sid, _ := placed.Get("sid").(string)
	if placed.Status != 201 || placed.Get("status") != "queued" || len(sid) != 34 || placed.Get("start_time") != nil {
		t.Fatalf("answer: %d %s", placed.Status, placed.Body)
	}
	call := w.endedCall(0)
	if call.Status != "completed" || call.Sid != sid || len(call.Keys) != 1 || call.Keys[0].Key != "1" || call.Problem != "" {
		t.Fatalf("call: %+v", call)
	}
	if len(call.Said) != 2 || call.Said[0].Text != "Press 1 to acknowledge." || call.Said[0].AfterKey != "" ||
		call.Said[1].Text != "Recorded & done." || call.Said[1].AfterKey != "1" {
		t.Errorf("said: %+v", call.Said)
	}
	if call.Answered == nil || !call.Placed.Before(*call.Answered) || !call.Answered.Before(*call.Ended) {
		t.Errorf("interval: %+v", call)
	}
	var statuses, numbers []string
	for _, r := range w.Product.Requests("/status") {
		statuses = append(statuses, r.Form.Get("CallStatus"))
		numbers = append(numbers, r.Form.Get("SequenceNumber"))
	}
	if strings.Join(statuses, " ") != "initiated ringing in-progress completed" || strings.Join(numbers, "") != "0123" {
		t.Errorf("callbacks: %v %v", statuses, numbers)
	}
	last := w.Product.Requests("/status")[3].Form
	if last.Get("CallDuration") == "" || last.Get("CallbackSource") != "call-progress-events" || last.Get("CallSid") != sid {
		t.Errorf("last callback: %v", last)
	}
	voice := w.Product.Requests("/voice")
	if len(voice) != 2 || voice[0].Form.Has("Digits") || voice[1].Form.Get("Digits") != "1" || voice[1].URI != "/voice?k=1" {
		t.Errorf("voice requests: %+v", voice)
	}
	if v := w.Violations(w.TwilioURL); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestEveryTwilioRequestIsSigned(t *testing.T) {
	w := newWorld(t)
	w.placeCall(nil)
	w.endedCall(0)
	all := append(w.Product.Requests("/voice"), w.Product.Requests("/status")...)
	for _, r := range all {
		if want := independentTwilioSignature(testToken, w.Product.URL+r.URI, r.Form); r.Head.Get("X-Twilio-Signature") != want {
			t.Errorf("%s: signature %s, want %s", r.URI, r.Head.Get("X-Twilio-Signature"), want)
		}
		if r.Head.Get("I-Twilio-Idempotency-Token") == "" {
			t.Errorf("%s: no idempotency token", r.URI)
		}
	}
	if len(all) != 6 {
		t.Errorf("%d requests", len(all))
	}
}

func TestPersonasOnThePhone(t *testing.T) {
	for _, c := range []struct {
		persona, status, keys, sip string
		documents                  int
	}{
		{"acknowledges", "completed", "1", "", 2},
		{"wrong_digit", "completed", "9", "", 2},
		{"repeats_then_acknowledges", "completed", "21", "", 3},
		{"passes", "completed", "3", "", 2},
		{"hangs_up", "completed", "", "", 1},
		{"voicemail", "completed", "", "", 2},
		{"silent", "completed", "", "", 2},
		{"busy", "busy", "", "486", 0},
		{"no_answer", "no-answer", "", "487", 0},
		{"unreachable", "failed", "", "480", 0},
	} {
		t.Run(c.persona, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"`+c.persona+`"}}`)
			w.placeCall(nil)
			call := w.endedCall(0)
			keys := ""
			for _, k := range call.Keys {
				keys += k.Key
			}
			if call.Status != c.status || keys != c.keys || (call.Answered == nil) != (c.documents == 0) {
				t.Errorf("call: %+v", call)
			}
			callbacks := w.Product.Requests("/status")
			if last := callbacks[len(callbacks)-1].Form; last.Get("CallStatus") != c.status || last.Get("SipResponseCode") != c.sip {
				t.Errorf("last callback: %v", last)
			}
			if n := len(w.Product.Requests("/voice")); n != c.documents {
				t.Errorf("%d documents asked for", n)
			}
		})
	}
}

func TestPersonaSequenceAndInvalidNumber(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.TwilioURL, "personas", `{"sequence":{"`+testCallee+`":["invalid","busy","acknowledges"]}}`)
	if a := w.placeCall(nil); a.Status != 400 || a.Get("code") != 21211.0 || a.Get("status") != 400.0 {
		t.Fatalf("invalid: %d %s", a.Status, a.Body)
	}
	for range 3 {
		w.placeCall(nil)
	}
	var got []string
	for i := range 3 {
		got = append(got, w.endedCall(i).Status)
	}
	if strings.Join(got, " ") != "busy completed completed" {
		t.Errorf("statuses: %v", got)
	}
	if v := w.Violations(w.TwilioURL); len(v) > 0 {
		t.Errorf("an invalid number is no violation: %v", v)
	}
}

func TestRingTimeIsHonoured(t *testing.T) {
	w := newWorld(t)
	w.placeCall(func(f url.Values) { f.Set("Timeout", "1") })
	if call := w.endedCall(0); call.Status != "no-answer" {
		t.Fatalf("rang longer than allowed: %+v", call)
	}
}

func TestBadCallsAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(url.Values)
		code   float64
	}{
		"no To":             {func(f url.Values) { f.Del("To") }, codeNoTo},
		"no From":           {func(f url.Values) { f.Del("From") }, codeNoFrom},
		"national number":   {func(f url.Values) { f.Set("To", "030123456") }, codeInvalidTo},
		"foreign From":      {func(f url.Values) { f.Set("From", "+18005550199") }, codeInvalidFrom},
		"nothing to say":    {func(f url.Values) { f.Del("Url") }, codeInvalidURL},
		"two sources":       {func(f url.Values) { f.Set("Twiml", "<Response/>") }, codeInvalidURL},
		"plain http":        {func(f url.Values) { f.Set("Url", "http://soc.example/voice") }, codeInvalidURL},
		"underscore":        {func(f url.Values) { f.Set("StatusCallback", "https://my_soc.example/") }, codeStatusCallback},
		"bogus event":       {func(f url.Values) { f.Add("StatusCallbackEvent", "exploded") }, codeStatusEvents},
		"bogus method":      {func(f url.Values) { f.Set("Method", "PUT") }, codeBadParameter},
		"bogus detection":   {func(f url.Values) { f.Set("MachineDetection", "Maybe") }, codeBadParameter},
		"digits and amd":    {func(f url.Values) { f.Set("SendDigits", "1"); f.Set("MachineDetection", "Enable") }, codeBadParameter},
		"timeout too long":  {func(f url.Values) { f.Set("Timeout", "601") }, codeBadParameter},
		"timeout no number": {func(f url.Values) { f.Set("Timeout", "30s") }, codeBadParameter},
		"unknown field":     {func(f url.Values) { f.Set("IdempotencyKey", "x") }, codeBadParameter},
		"To twice":          {func(f url.Values) { f.Add("To", "+4930123457") }, codeBadParameter},
		"broken Twiml":      {func(f url.Values) { f.Del("Url"); f.Set("Twiml", "<Response><Shout/></Response>") }, codeBadParameter},
	} {
		t.Run(name, func(t *testing.T) {
			if a := w.placeCall(c.change); a.Status != 400 || a.Get("code") != c.code || a.Get("more_info") == nil {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	if n := len(w.Violations(w.TwilioURL)); n != 17 {
		t.Errorf("%d violations", n)
	}
	if len(w.calls()) != 0 {
		t.Error("a refused call was placed")
	}
}

func TestTwilioCredentialsAndPaths(t *testing.T) {
	w := newWorld(t)
	a := w.Do("GET", w.callsURL()+".json", "", "", func(r *http.Request) { r.SetBasicAuth(testSid, "wrong") })
	if a.Status != 401 || a.Get("code") != 20003.0 {
		t.Errorf("wrong token: %d %s", a.Status, a.Body)
	}
	a = w.Do("GET", w.callsURL()+"/CA00000000000000000000000000000000.json", "", "", logIn)
	if a.Status != 404 || a.Get("code") != 20404.0 {
		t.Errorf("unknown call: %d %s", a.Status, a.Body)
	}
}

func TestCallsAppearInTheListWithADelay(t *testing.T) {
	w := unhurried(t)
	w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"no_answer"}}`)
	before := time.Now().Add(-time.Second)
	w.placeCall(func(f url.Values) { f.Set("Timeout", "600") })
	list := func(query string) stagetest.Answered {
		return w.Do("GET", w.callsURL()+".json?"+query, "", "", logIn)
	}
	calls := func(a stagetest.Answered) int { rows, _ := a.Get("calls").([]any); return len(rows) }
	if n := calls(list("")); n != 0 {
		t.Errorf("listed at once: %d", n)
	}
	since := url.Values{"To": {testCallee}, "From": {testFrom}, "StartTime>": {before.UTC().Format(time.RFC3339)}}.Encode()
	w.Until("the call is listed", func() bool { return calls(list(since)) == 1 })
	for query, want := range map[string]int{
		"To=%2B4930999999": 0, "Status=ringing": 1, "Status=completed": 0,
		"StartTime%3E=2999-01-01": 0, "StartTime%3C=2999-01-01": 1, "PageSize=1&Page=1&PageToken=PA1": 0,
	} {
		if a := list(query); a.Status != 200 || calls(a) != want {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	if a := list("Tag=x"); a.Status != 400 {
		t.Errorf("unknown filter: %d", a.Status)
	}
}

// A call tells whom Twilio asked because of it, but only some time after its end, and page by page.
func TestACallTellsItsEventsSomeTimeAfterItsEnd(t *testing.T) {
	w := worldAt(t, 0.002)
	sid := w.placeCall(nil).Get("sid").(string)
	list := func(query string) stagetest.Answered {
		return w.Do("GET", w.callsURL()+"/"+sid+"/Events.json?"+query, "", "", logIn)
	}
	events := func(a stagetest.Answered) []any { rows, _ := a.Get("events").([]any); return rows }
	w.Until("the call is over", func() bool {
		return w.Do("GET", w.callsURL()+"/"+sid+".json", "", "", logIn).Get("status") == "completed"
	})
	if a := list(""); a.Status != 200 || len(events(a)) != 0 {
		t.Errorf("told at once: %s", a.Body)
	}
	w.Until("the events are told", func() bool { return len(events(list(""))) > 0 })
	all := events(list(""))
	first, _ := all[len(all)-1].(map[string]any)
	request, _ := first["request"].(map[string]any)
	params, _ := request["parameters"].(map[string]any)
	if url, _ := request["url"].(string); !strings.HasPrefix(url, w.Product.URL) || request["method"] != "POST" || params["call_sid"] != sid {
		t.Errorf("an event is %v", first)
	}
	page := list("PageSize=1")
	if next, _ := page.Get("next_page_uri").(string); len(events(page)) != 1 || !strings.Contains(next, sid+"/Events.json?") ||
		len(events(w.Do("GET", w.TwilioURL+next, "", "", logIn))) != 1 {
		t.Errorf("pages: %s", page.Body)
	}
	if a := w.Do("GET", w.callsURL()+"/CA00000000000000000000000000000000/Events.json", "", "", logIn); a.Status != 404 {
		t.Errorf("events of no call: %d", a.Status)
	}
}

func TestACallIsCanceledWhileRinging(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"no_answer"}}`)
	sid := w.placeCall(func(f url.Values) { f.Set("Timeout", "600") }).Get("sid").(string)
	w.Until("it rings", func() bool { return w.calls()[0].Status == "ringing" })
	form := "application/x-www-form-urlencoded"
	a := w.Do("POST", w.callsURL()+"/"+sid+".json", form, "Status=canceled", logIn)
	if a.Status != 200 || a.Get("status") != "canceled" {
		t.Fatalf("cancel: %d %s", a.Status, a.Body)
	}
	if call := w.endedCall(0); call.Status != "canceled" || call.Answered != nil {
		t.Errorf("call: %+v", call)
	}
	if a := w.Do("POST", w.callsURL()+"/"+sid+".json", form, "Status=completed", logIn); a.Status != 400 || a.Get("code") != 21220.0 {
		t.Errorf("again: %d %s", a.Status, a.Body)
	}
}

func TestDocumentsNoCarrierUnderstandsFailTheCall(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body, status string
		violations         int
	}{
		"unknown verb":       {"text/xml", `<Response><Shout>hi</Shout></Response>`, "failed", 1},
		"unknown attribute":  {"text/xml", `<Response><Say accent="x">hi</Say></Response>`, "failed", 1},
		"broken xml":         {"text/xml", `<Response><Say>hi</Response>`, "failed", 1},
		"json":               {"application/json", `{}`, "failed", 1},
		"empty document":     {"text/xml", ``, "failed", 1},
		"endless redirect":   {"text/xml", `<Response><Redirect>/voice</Redirect></Response>`, "failed", 1},
		"redirect elsewhere": {"text/xml", `<Response><Redirect>http://soc.example/</Redirect></Response>`, "failed", 1},
		"nothing to do":      {"text/xml", `<Response></Response>`, "completed", 0},
		"hang up":            {"text/xml", `<Response><Hangup/></Response>`, "completed", 0},
		"speech markup":      {"text/xml", `<Response><Say loop="1"><prosody rate="slow">two words</prosody></Say><Pause length="1"/></Response>`, "completed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Product.AnswerOn("/voice", func(stagetest.Received) (int, string, string) { return 200, c.kind, c.body })
			w.placeCall(nil)
			call := w.endedCall(0)
			if call.Status != c.status || len(w.Violations(w.TwilioURL)) != c.violations {
				t.Errorf("call %+v, violations %v", call, w.Violations(w.TwilioURL))
			}
			if name == "speech markup" && (len(call.Said) != 1 || call.Said[0].Text != "two words") {
				t.Errorf("said %+v", call.Said)
			}
		})
	}
}

func TestAProductThatFailsEndsTheCallWithoutViolation(t *testing.T) {
	w := newWorld(t)
	w.Product.AnswerOn("/voice", func(stagetest.Received) (int, string, string) { return 503, "text/plain", "" })
	w.placeCall(nil)
	if call := w.endedCall(0); call.Status != "completed" || call.Problem == "" || len(w.Violations(w.TwilioURL)) != 0 {
		t.Errorf("call: %+v", call)
	}
}

func TestSilenceWithoutEmptyResultFallsThrough(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"silent"}}`)
	w.Product.AnswerOn("/voice", func(stagetest.Received) (int, string, string) {
		return 200, "text/xml", `<Response><Gather numDigits="1" timeout="1"><Say>Press.</Say></Gather><Say>Nobody there.</Say></Response>`
	})
	w.placeCall(nil)
	call := w.endedCall(0)
	if len(w.Product.Requests("/voice")) != 1 || len(call.Said) != 2 || call.Said[1].Text != "Nobody there." {
		t.Errorf("call: %+v", call)
	}
}

func TestCallbackFaults(t *testing.T) {
	for kind, check := range map[string]func(w *world, status []stagetest.Received){
		"drop": func(w *world, got []stagetest.Received) {
			if len(got) != 3 || got[0].Form.Get("SequenceNumber") != "1" {
				w.T.Errorf("%d callbacks", len(got))
			}
		},
		"duplicate": func(w *world, got []stagetest.Received) {
			same := got[0].Head.Get("I-Twilio-Idempotency-Token") == got[1].Head.Get("I-Twilio-Idempotency-Token")
			if len(got) != 5 || got[0].Body != got[1].Body || !same {
				w.T.Errorf("%d callbacks", len(got))
			}
		},
		"missign": func(w *world, got []stagetest.Received) {
			right := independentTwilioSignature(testToken, w.Product.URL+got[0].URI, got[0].Form)
			if len(got) != 4 || got[0].Head.Get("X-Twilio-Signature") == right {
				w.T.Errorf("%d callbacks", len(got))
			}
		},
		"reorder": func(w *world, got []stagetest.Received) {
			if len(got) != 4 || got[0].Form.Get("SequenceNumber") == "0" {
				w.T.Errorf("%d callbacks, first %v", len(got), got[0].Form)
			}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := unhurried(t)
			w.Steer(w.TwilioURL, "faults", `{"rules":[{"op":"callback","kind":"`+kind+`","times":1}]}`)
			w.placeCall(nil)
			w.endedCall(0)
			w.Until("all callbacks are out", func() bool {
				n := len(w.Product.Requests("/status"))
				return kind == "drop" && n == 3 || kind == "duplicate" && n == 5 || n == 4 && kind != "duplicate"
			})
			check(w, w.Product.Requests("/status"))
		})
	}
}

func TestRetryPolicyOfCallbacks(t *testing.T) {
	w := newWorld(t)
	w.Product.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Product.Note(r)
		rw.WriteHeader(500)
	})
	w.placeCall(func(f url.Values) {
		f.Set("StatusCallback", w.Product.URL+"/gone#rc=2&rp=all")
		f["StatusCallbackEvent"] = []string{"completed"}
		f.Set("Url", w.Product.URL+"/voice")
	})
	w.endedCall(0)
	if got := w.Product.Requests("/gone"); len(got) != 3 || strings.Contains(got[0].URI, "#") {
		t.Errorf("%d attempts", len(got))
	}
}
