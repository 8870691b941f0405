package twilio

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func (w *world) answerTexts(status int, kind, body string) {
	w.Product.AnswerOn("/texts", func(stagetest.Received) (int, string, string) { return status, kind, body })
}

func TestAPersonRepliesWithTheCode(t *testing.T) {
	w := newWorld(t)
	w.setTextPersona("text-acknowledges")
	sid := w.sendText(nil).Get("sid").(string)
	w.Until("the reply arrives", func() bool { return len(w.inbound()) == 1 && len(w.inbound()[0].Callbacks) == 1 })
	r := w.Product.Requests("/texts")[0]
	want := url.Values{"From": {testCallee}, "To": {testFrom}, "Body": {"048213"}, "NumMedia": {"0"}, "NumSegments": {"1"},
		"AccountSid": {testSid}, "SmsStatus": {"received"}, "ApiVersion": {"2010-04-01"}}
	for name := range want {
		if r.Form.Get(name) != want.Get(name) {
			t.Errorf("%s is %q", name, r.Form.Get(name))
		}
	}
	id := r.Form.Get("MessageSid")
	if !regexp.MustCompile(`^SM[0-9a-f]{32}$`).MatchString(id) || id == sid || r.Form.Get("SmsSid") != id || r.Form.Get("SmsMessageSid") != id {
		t.Errorf("sids: %v", r.Form)
	}
	if r.URI != "/texts?k=a%2Fb" || r.Head.Get("X-Twilio-Signature") != independentTwilioSignature(testToken, w.Product.URL+r.URI, r.Form) {
		t.Errorf("signature over %s", r.URI)
	}
	if x := w.inbound()[0]; x.ReplyOf != sid || x.Sid != id || x.Status != "received" || x.Callbacks[0].HTTP != 204 {
		t.Errorf("inbound: %+v", x)
	}
	if v := w.Violations(w.TwilioURL); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestAPersonRepliesWithAWrongCode(t *testing.T) {
	w := newWorld(t)
	w.setTextPersona("text-wrong-code")
	w.sendText(nil)
	w.Until("the reply arrives", func() bool { return len(w.Product.Requests("/texts")) == 1 })
	if got := w.Product.Requests("/texts")[0].Form.Get("Body"); !regexp.MustCompile(`^[0-9]{6}$`).MatchString(got) || got == "048213" {
		t.Errorf("body %q", got)
	}
}

func TestAnAutoResponderGivesUpAfterTwentyTexts(t *testing.T) {
	w := newWorld(t)
	w.answerTexts(200, "text/xml", `<?xml version="1.0"?><Response><Message>Please reply with the code &amp; nothing else.</Message></Response>`)
	w.setTextPersona("text-chatty")
	w.sendText(nil)
	w.Until("the last answer has arrived", func() bool {
		texts := w.texts()
		return len(texts) == 21 && texts[20].Ended != nil
	})
	texts, inbound := w.texts(), w.inbound()
	if len(inbound) != 20 || texts[1].ReplyOf != inbound[0].Sid || inbound[1].ReplyOf != texts[1].Sid ||
		texts[1].Body != "Please reply with the code & nothing else." || strings.ContainsAny(inbound[0].Body, "0123456789") {
		t.Errorf("texts %+v, inbound %+v", texts, inbound)
	}
	w.Steer(w.TwilioURL, "personas", `{"personas":{"sms:+4930999999":"text-acknowledges"}}`)
	w.sendText(func(f url.Values) { f.Set("To", "+4930999999") })
	w.Until("somebody else has replied to a later text", func() bool {
		all := w.Product.Requests("/texts")
		return all[len(all)-1].Form.Get("From") == "+4930999999"
	})
	if n := len(w.inbound()); n != 20 {
		t.Errorf("%d texts of the auto-responder", n)
	}
	w.setTextPersona("text-chatty")
	w.sendText(nil)
	w.Until("it has started over", func() bool { return len(w.inbound()) > 20 })
}

func TestAPersonWritesFirst(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.TwilioURL, "text", `{"from":"`+testCallee+`","body":"048213 <b>"}`)
	w.Until("the text arrives", func() bool { return len(w.Product.Requests("/texts")) == 1 })
	if got := w.Product.Requests("/texts")[0].Form; got.Get("Body") != "048213 <b>" || got.Get("From") != testCallee {
		t.Errorf("text: %v", got)
	}
	if x := w.inbound()[0]; x.ReplyOf != "" {
		t.Errorf("inbound: %+v", x)
	}
}

func TestAnswersToTexts(t *testing.T) {
	for name, c := range map[string]struct {
		status, violations, texts int
		kind, body                string
	}{
		"nothing":            {204, 0, 0, "", ""},
		"empty":              {200, 0, 0, "text/plain", ""},
		"empty document":     {200, 0, 0, "text/xml", "<Response/>"},
		"a message":          {200, 0, 1, "text/xml; charset=utf-8", "<Response>\n<Message>Thanks.</Message></Response>"},
		"a link":             {200, 1, 1, "text/xml", "<Response><Message>https://x.example</Message></Response>"},
		"json":               {200, 1, 0, "application/json", "{}"},
		"a voice document":   {200, 1, 0, "text/xml", "<Response><Say>hi</Say></Response>"},
		"an attribute":       {200, 1, 0, "text/xml", `<Response><Message to="+4930123457">hi</Message></Response>`},
		"an empty message":   {200, 1, 0, "text/xml", "<Response><Message> </Message></Response>"},
		"too long a message": {200, 1, 0, "text/xml", "<Response><Message>" + strings.Repeat("a", 1601) + "</Message></Response>"},
		"text outside":       {200, 1, 0, "text/xml", "<Response>hi</Response>"},
		"two documents":      {200, 1, 0, "text/xml", "<Response/><Response/>"},
		"broken":             {200, 1, 0, "text/xml", "<Response>"},
		"forbidden":          {403, 1, 0, "text/plain", "no"},
		"moved":              {302, 1, 0, "text/plain", ""},
		"down":               {503, 0, 0, "text/plain", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answerTexts(c.status, c.kind, c.body)
			w.Steer(w.TwilioURL, "text", `{"from":"`+testCallee+`","body":"hello"}`)
			w.Until("the answer had its effect", func() bool {
				in := w.inbound()
				return len(in) == 1 && len(in[0].Callbacks) == 1 && len(w.Violations(w.TwilioURL)) == c.violations && len(w.texts()) == c.texts
			})
			if c.texts == 1 && (w.texts()[0].ReplyOf != w.inbound()[0].Sid || w.texts()[0].From != testFrom) {
				t.Errorf("texts: %+v", w.texts())
			}
		})
	}
}

func TestFaultsOfInboundTexts(t *testing.T) {
	right := func(w *world, r stagetest.Received) bool {
		return r.Head.Get("X-Twilio-Signature") == independentTwilioSignature(testToken, w.Product.URL+r.URI, r.Form)
	}
	for kind, c := range map[string]struct {
		requests, noted int
		signed          bool
	}{"drop": {0, 1, true}, "duplicate": {2, 2, true}, "reorder": {1, 1, true}, "missign": {1, 1, false}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answerTexts(403, "text/plain", "")
			if c.signed {
				w.answerTexts(204, "", "")
			}
			w.Fault(w.TwilioURL, `{"op":"inbound_text","kind":"`+kind+`","times":1}`)
			w.Steer(w.TwilioURL, "text", `{"from":"`+testCallee+`","body":"hello"}`)
			w.Until("it is noted", func() bool { in := w.inbound(); return len(in) == 1 && len(in[0].Callbacks) == c.noted })
			got := w.Product.Requests("/texts")
			if len(got) != c.requests || len(w.Violations(w.TwilioURL)) > 0 {
				t.Errorf("%d requests, violations %v", len(got), w.Violations(w.TwilioURL))
			}
			for _, r := range got {
				if right(w, r) != c.signed || r.Form.Get("MessageSid") != got[0].Form.Get("MessageSid") {
					t.Errorf("request: %+v", r)
				}
			}
			w.Steer(w.TwilioURL, "text", `{"from":"`+testCallee+`","body":"again"}`)
			w.Until("the fault is used up", func() bool { return len(w.Product.Requests("/texts")) == c.requests+1 })
		})
	}
}

func TestVoiceAndTextPersonasAreApart(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"busy"," sms:`+testCallee+` ":"text-landline"}}`)
	w.placeCall(nil)
	w.sendText(nil)
	if call := w.endedCall(0); call.Status != "busy" {
		t.Errorf("call: %+v", call)
	}
	w.Until("the text fails", func() bool { return w.texts()[0].ErrorCode == 30006 })
}

func TestWithoutAnAddressTextsOfPeopleStayWithTheVendor(t *testing.T) {
	w := newWorld(t)
	w.TwilioURL = serve(w.World, "")
	w.setTextPersona("text-acknowledges")
	w.sendText(nil)
	w.Until("the person has replied", func() bool { return len(w.inbound()) == 1 })
	if n := len(w.Product.Requests("/texts")); n != 0 || len(w.inbound()[0].Callbacks) != 0 {
		t.Errorf("%d requests", n)
	}
	if a := w.Do("POST", w.TwilioURL+"/_sim/text", "application/json", `{"from":"`+testCallee+`","body":"x"}`); a.Status != 400 {
		t.Errorf("steering: %d", a.Status)
	}
}
