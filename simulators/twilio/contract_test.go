package twilio

import (
	"net/url"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

func TestTwilioContract(t *testing.T) {
	c := stagetest.LoadContract(t, "twilio/twilio_api_v2010.trimmed.json")
	w := newWorld(t)
	w.Web.Transport = c
	w.Steer(w.TwilioURL, "personas", `{"personas":{"`+testCallee+`":"no_answer"}}`)
	sid := w.placeCall(nil).Get("sid").(string)
	w.Until("it is listed", func() bool {
		rows := w.Do("GET", w.callsURL()+".json?To=%2B4930123456", "", "", logIn).Get("calls").([]any)
		return len(rows) == 1
	})
	w.Do("GET", w.callsURL()+"/"+sid+".json", "", "", logIn)
	w.Do("POST", w.callsURL()+"/"+sid+".json", "application/x-www-form-urlencoded", "Status=canceled", logIn)
	w.Do("GET", w.callsURL()+"/"+sid+".json", "", "", logIn)
	if _, listed := w.Do("GET", w.callsURL()+"/"+sid+"/Events.json?PageSize=1", "", "", logIn).Get("events").([]any); !listed {
		t.Error("there is no list of events")
	}
	w.sendTextsOfEveryFate()
	c.Replay(w.Journal(w.TwilioURL))
	if c.Checked < 25 {
		t.Errorf("only %d requests were checked", c.Checked)
	}
}

// sendTextsOfEveryFate sends texts of every fate and looks at all of them.
func (w *world) sendTextsOfEveryFate() {
	w.T.Helper()
	w.Steer(w.TwilioURL, "personas", `{"sequence":{"sms:`+testCallee+`":["text-delivered","text-undelivered","text-landline","text-chatty"]}}`)
	for n := range 4 {
		w.sendText(nil)
		w.Until("it has met its fate", func() bool { return w.texts()[n].Ended != nil })
	}
	w.Until("an answer is in", func() bool { return len(w.inbound()) > 0 })
	for _, x := range append(w.texts(), w.inbound()...) {
		w.Do("GET", w.textsURL()+"/"+x.Sid+".json", "", "", logIn)
	}
	w.Until("all are listed", func() bool {
		query := url.Values{"To": {testCallee}, "From": {testFrom}, "DateSent>": {"2020-01-01T00:00:00Z"}, "PageSize": {"2"}}
		rows, _ := w.Do("GET", w.textsURL()+".json?"+query.Encode(), "", "", logIn).Get("messages").([]any)
		return len(rows) == 2
	})
	w.Do("GET", w.textsURL()+".json", "", "", logIn)
}
