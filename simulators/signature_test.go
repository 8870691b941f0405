package simulators

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
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

// validEventSignature checks an event signature by its parts.
func validEventSignature(key *ecdsa.PublicKey, signature, stamp, body string) bool {
	der, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	var parts struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 {
		return false
	}
	digest := sha256.Sum256([]byte(stamp + body))
	return ecdsa.Verify(key, digest[:], parts.R, parts.S)
}

// The expected value was computed outside of Go with another HMAC implementation.
func TestTwilioSignatureVector(t *testing.T) {
	got := twilioSignature("f0e1d2c3b4a5968778695a4b3c2d1e0f", "https://soc.example/hooks/twilio/voice?c=a%2Fb&n=1", url.Values{
		"To": {"+4930123456"}, "CallSid": {"CA00000000000000000000000000000001"}, "Digits": {"1"},
		"From": {"+18005550100"}, "FinishedOnKey": {""},
	})
	if got != "97QxBsqHj6Uunw/9P8ifCppmTbI=" {
		t.Errorf("signature %s", got)
	}
}

func TestSendGridSignatureCoversTimestampAndBody(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := "[{\"event\":\"delivered\"}]\r\n"
	signature, err := sendGridSignature(key, "1700000000", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"as sent":          validEventSignature(&key.PublicKey, signature, "1700000000", body),
		"another time":     !validEventSignature(&key.PublicKey, signature, "1700000001", body),
		"trimmed line end": !validEventSignature(&key.PublicKey, signature, "1700000000", body[:len(body)-2]),
	} {
		if !ok {
			t.Errorf("%s: wrong verdict", name)
		}
	}
}
