package twilio

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

const (
	testSid    = "AC0123456789abcdef0123456789abcdef"
	testToken  = "twilio-secret-token-000001"
	testFrom   = "+18005550100"
	testCallee = "+4930123456"
)

const menu = `<?xml version="1.0" encoding="UTF-8"?><Response><Gather numDigits="1" timeout="5" action="/voice?k=1" method="POST" actionOnEmptyResult="true"><Say voice="Polly.Joanna">Press 1 to acknowledge.</Say></Gather></Response>`

// world is the simulator with a product behind it that speaks and takes texts.
type world struct {
	*stagetest.World
	TwilioURL string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, stagetest.Hurried)
}

func unhurried(t *testing.T) *world {
	t.Helper()
	return worldAt(t, stagetest.Unhurried)
}

func worldAt(t *testing.T, pace float64) *world {
	t.Helper()
	w := stagetest.NewWorld(t, pace)
	w.Product.AnswerOn("/voice", answerCall)
	w.Product.AnswerOn("/texts", func(stagetest.Received) (int, string, string) { return 204, "", "" })
	return &world{World: w, TwilioURL: serve(w, w.Product.URL+"/texts?k=a%2Fb")}
}

// serve starts the simulator, which posts texts of people to inboundURL, and returns its base URL.
func serve(w *stagetest.World, inboundURL string) string {
	w.T.Helper()
	v, err := New(w.Stage, Options{AccountSID: testSid, AuthToken: testToken, From: testFrom, InboundTextURL: inboundURL})
	if err != nil {
		w.T.Fatal(err)
	}
	return w.Serve(v, testToken)
}

// answerCall answers a call with a menu, and a key with the answer to it.
func answerCall(r stagetest.Received) (int, string, string) {
	switch {
	case !r.Form.Has("Digits") || r.Form.Get("Digits") == "2":
		return 200, "text/xml", menu
	case r.Form.Get("Digits") == "1":
		return 200, "text/xml", `<Response><Say>Recorded &amp; done.</Say><Hangup/></Response>`
	}
	return 200, "text/xml", `<Response><Say>Goodbye.</Say></Response>`
}
