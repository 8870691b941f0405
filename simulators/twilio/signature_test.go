package twilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/url"
	"sort"
	"testing"
)

// independentTwilioSignature is written a second time, from the vendor's description, so
// that a mistake in the simulator's own does not go unseen.
func independentTwilioSignature(token, address string, params url.Values) string {
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	sort.Strings(names)
	text := address
	for _, name := range names {
		text += name + params.Get(name)
	}
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// The expected value was computed outside of Go with another HMAC implementation.
func TestTwilioSignatureVector(t *testing.T) {
	got := signRequest("f0e1d2c3b4a5968778695a4b3c2d1e0f", "https://soc.example/hooks/twilio/voice?c=a%2Fb&n=1", url.Values{
		"To": {"+4930123456"}, "CallSid": {"CA00000000000000000000000000000001"}, "Digits": {"1"},
		"From": {"+18005550100"}, "FinishedOnKey": {""},
	})
	if got != "97QxBsqHj6Uunw/9P8ifCppmTbI=" {
		t.Errorf("signature %s", got)
	}
}
