package sendgrid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"testing"
)

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

func TestSendGridSignatureCoversTimestampAndBody(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := "[{\"event\":\"delivered\"}]\r\n"
	signature, err := signEvents(key, "1700000000", []byte(body))
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
