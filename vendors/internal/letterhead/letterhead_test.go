package letterhead

import (
	"mime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestIsAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"ciso@client.example":             true,
		"josé@client.example":             true,
		"":                                false,
		"ciso":                            false,
		"Bob <bob@x.example>":             false,
		"<bob@x.example>":                 false,
		"bob@x.example, eve@x.example":    false,
		"bob@x.example\r\nBcc: e@x.com":   false,
		"bob@x.example> NOTIFY=NEVER":     false,
		" bob@x.example":                  false,
		"bob@x.example\x00@other.example": false,
	} {
		if got := IsAddress(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

func TestEncodedWordsAreNotSmuggled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hidden := mime.QEncoding.Encode("utf-8", "é"+rapid.String().Draw(t, "hidden"))
		subject := Subject(models.OutboundMail{Subject: rapid.String().Draw(t, "before") + hidden})
		shown, err := new(mime.WordDecoder).DecodeHeader(subject)
		if err != nil || shown != subject {
			t.Fatalf("%q is shown as %q, %v", subject, shown, err)
		}
	})
	if got := Name("=?=?utf-8?q?x?="); strings.Contains(got, "=?") {
		t.Errorf("name %q", got)
	}
}
