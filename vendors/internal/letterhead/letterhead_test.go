package letterhead

import (
	"mime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		"ciso@client.example":             "ciso@client.example",
		"josé@client.example":             "josé@client.example",
		"josé@bücher.example":             "josé@xn--bcher-kva.example",
		"":                                "",
		"ciso":                            "",
		"Bob <bob@x.example>":             "",
		"<bob@x.example>":                 "",
		"bob@x.example, eve@x.example":    "",
		"bob@x.example\r\nBcc: e@x.com":   "",
		"bob@x.example> NOTIFY=NEVER":     "",
		"bob@x.example\x00@other.example": "",
	} {
		if got := Address(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
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
