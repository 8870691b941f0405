package twilio

import (
	"net/http"
	"strings"
	"testing"
)

func TestACallThatWasResetAfterwardsIsPlaced(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.TwilioURL, `{"op":"place_call","kind":"reset_after"}`)
	if a := w.placeCall(nil); a.Err == nil {
		t.Errorf("answered %d", a.Status)
	}
	if call := w.endedCall(0); call.Status != "completed" {
		t.Errorf("call: %+v", call)
	}
}

func TestTruncatedAnswersBreakOff(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.TwilioURL, `{"op":"place_call","kind":"truncate"}`)
	a := w.placeCall(nil)
	if a.Err == nil || a.Status != 201 || len(a.Body) == 0 || a.Get("sid") != nil {
		t.Errorf("%d %q %v", a.Status, a.Body, a.Err)
	}
	if len(w.calls()) != 1 {
		t.Error("the call must have been placed")
	}
}

func TestTwilioLimitsTheRate(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.TwilioURL, `{"op":"*","kind":"status","status":429,"times":1}`)
	if a := w.placeCall(nil); a.Status != 429 || a.Get("code") != 20429.0 || a.Head.Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", a.Status, a.Head, a.Body)
	}
}

func TestOwnBodyAndHeaders(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.TwilioURL, `{"op":"list_calls","kind":"status","status":503,"body":"<html>proxy</html>","headers":{"Retry-After":"7"}}`)
	a := w.Do("GET", w.callsURL()+".json", "", "", logIn)
	if a.Status != 503 || string(a.Body) != "<html>proxy</html>" || a.Head.Get("Content-Type") != "text/html" || a.Head.Get("Retry-After") != "7" {
		t.Errorf("%d %v %s", a.Status, a.Head, a.Body)
	}
	if call := w.placeCall(nil); call.Status != http.StatusCreated {
		t.Errorf("another operation is not concerned: %d", call.Status)
	}
}

func TestSteeringRefusesTypos(t *testing.T) {
	w := newWorld(t)
	for path, body := range map[string]string{
		"faults":      `{"rules":[{"op":"plase_call","kind":"status"}]}`,
		"faults?":     `{"rules":[{"op":"place_call","kind":"explode"}]}`,
		"personas":    `{"personas":{"+4930123456":"friendly"}}`,
		"personas?":   `{"personas":{"+4930123456":"text-silent"}}`,
		"personas??":  `{"personas":{"sms:+4930123456":"busy"}}`,
		"personas???": `{"sequence":{"sms:+4930123456":["text-silent","busy"]}}`,
		"faults???":   `{"rules":[{"op":"inbound_text","kind":"status"}]}`,
		"text":        `{"from":"030123456","body":"hello"}`,
		"text?":       `{"from":"` + testFrom + `","body":"hello"}`,
		"text??":      `{"from":"+4930123456","body":""}`,
		"text???":     `{"from":"+4930123456","text":"hello"}`,
		"faults??":    `{"rule":[]}`,
	} {
		if a := w.Do("POST", w.TwilioURL+"/_sim/"+strings.TrimRight(path, "?"), "application/json", body); a.Status != 400 {
			t.Errorf("%s: %d", body, a.Status)
		}
	}
}
