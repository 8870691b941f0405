package twilio

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func (w *world) withDetection(kind string) func(url.Values) {
	return func(f url.Values) {
		f.Set("MachineDetection", kind)
		f.Set("AsyncAmd", "true")
		f.Set("AsyncAmdStatusCallback", w.Product.URL+"/amd?c=a%2Fb")
		f.Set("AsyncAmdStatusCallbackMethod", "POST")
	}
}

// talkForLong keeps a call going for longer than any detection takes.
func talkForLong(stagetest.Received) (int, string, string) {
	return 200, "text/xml", `<Response><Pause length="60"/></Response>`
}

func TestWhoAnsweredIsDetectedBesideTheConversation(t *testing.T) {
	for _, c := range []struct{ persona, detection, verdict, shown string }{
		{"silent", "Enable", "human", "human"},
		{"voicemail", "Enable", "machine_start", "machine"},
		{"voicemail", "DetectMessageEnd", "machine_end_beep", "machine"},
	} {
		t.Run(c.persona+" "+c.detection, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"`+c.persona+`"}}`)
			w.Product.AnswerOn("/voice", talkForLong)
			sid := w.placeCall(w.withDetection(c.detection)).Get("sid").(string)
			w.Until("the verdict is noted", func() bool { return len(w.calls()[0].Detections) > 0 })
			got := w.Product.Requests("/amd")
			if call := w.calls()[0]; len(got) != 1 || call.Status != "in-progress" {
				t.Fatalf("%d detections, call %+v", len(got), call)
			}
			f := got[0].Form
			ms, err := strconv.Atoi(f.Get("MachineDetectionDuration"))
			if f.Get("CallSid") != sid || f.Get("AccountSid") != testSid || f.Get("AnsweredBy") != c.verdict || err != nil || ms < 1000 || len(f) != 4 {
				t.Errorf("detection: %v", f)
			}
			if want := independentTwilioSignature(testToken, w.Product.URL+got[0].URI, f); got[0].Head.Get("X-Twilio-Signature") != want {
				t.Errorf("signature %s, want %s", got[0].Head.Get("X-Twilio-Signature"), want)
			}
			if first := w.Product.Requests("/voice")[0].Form; first.Has("AnsweredBy") {
				t.Errorf("the document was asked for with the verdict: %v", first)
			}
			a := w.Do("GET", w.callsURL()+"/"+sid+".json", "", "", logIn)
			if d := w.calls()[0].Detections; a.Get("answered_by") != c.shown || len(d) != 1 || d[0].AnsweredBy != c.verdict || d[0].HTTP != 200 {
				t.Errorf("answered_by %v, effects %+v", a.Get("answered_by"), d)
			}
		})
	}
}

func TestNobodyIsDetectedWithoutBeingAsked(t *testing.T) {
	for name, change := range map[string]func(w *world, f url.Values){
		"not asked":     func(*world, url.Values) {},
		"asked in sync": func(w *world, f url.Values) { f.Set("MachineDetection", "Enable"); f.Set("AsyncAmd", "false") },
		"hung up": func(w *world, f url.Values) {
			w.withDetection("Enable")(f)
			f.Del("Url")
			f.Set("Twiml", "<Response><Hangup/></Response>")
		},
		"no answer": func(w *world, f url.Values) { w.withDetection("Enable")(f); f.Set("Timeout", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.placeCall(func(f url.Values) { change(w, f) })
			w.endedCall(0)
			w.Product.AnswerOn("/voice", talkForLong)
			w.placeCall(w.withDetection("Enable"))
			w.Until("a later call is detected", func() bool { return len(w.calls()[1].Detections) == 1 })
			if call := w.calls()[0]; len(call.Detections) != 0 || len(w.Product.Requests("/amd")) != 1 {
				t.Errorf("call: %+v", call)
			}
		})
	}
}

func TestDetectionsShareTheFaultsOfCallbacks(t *testing.T) {
	w := newWorld(t)
	w.Product.AnswerOn("/voice", talkForLong)
	w.Fault(w.TwilioURL, `{"op":"callback","kind":"duplicate","times":1}`)
	w.placeCall(func(f url.Values) {
		w.withDetection("Enable")(f)
		f.Del("StatusCallback")
	})
	w.Until("the verdict comes twice", func() bool { return len(w.Product.Requests("/amd")) == 2 })
}

func TestBadDetectionsAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(url.Values){
		"async without detection": func(f url.Values) { f.Set("AsyncAmd", "true") },
		"callback without async":  func(f url.Values) { w.withDetection("Enable")(f); f.Del("AsyncAmd") },
		"callback in sync":        func(f url.Values) { w.withDetection("Enable")(f); f.Set("AsyncAmd", "false") },
		"bogus async":             func(f url.Values) { w.withDetection("Enable")(f); f.Set("AsyncAmd", "True") },
		"bogus detection":         func(f url.Values) { w.withDetection("enable")(f) },
		"bogus method":            func(f url.Values) { w.withDetection("Enable")(f); f.Set("AsyncAmdStatusCallbackMethod", "PUT") },
		"callback over plain http": func(f url.Values) {
			w.withDetection("Enable")(f)
			f.Set("AsyncAmdStatusCallback", "http://soc.example/")
		},
		"callback to an odd address": func(f url.Values) {
			w.withDetection("Enable")(f)
			f.Set("AsyncAmdStatusCallback", "https://a_b.example/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			if a := w.placeCall(change); a.Status != 400 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	if n := len(w.Violations(w.TwilioURL)); n != 8 || len(w.calls()) != 0 {
		t.Errorf("%d violations", n)
	}
}
