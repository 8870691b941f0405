package plain

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"ordinary text stays", "Incident SI-1042-0007: host isolated", "Incident SI-1042-0007: host isolated"},
		{"other scripts stay", "Vorfall für 日本 עברית", "Vorfall für 日本 עברית"},
		{"a header cannot be added", "Hello\r\nBcc: x@example.com", "Hello Bcc: x@example.com"},
		{"unicode line breaks", "a\u2028b\u2029c\u0085d", "a b c d"},
		{"nul and escape", "a\x00b\x1bc", "a b c"},
		{"direction marks", "invoice\u202Efdp.exe\u2066\u200F", "invoicefdp.exe"},
		{"broken UTF-8", "a\xff\xfeb", "ab"},
		{"outer and repeated space", "  a \t  b\n", "a b"},
		{"nothing left", "\r\n\u200b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Line(c.in, 100); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := Line(strings.Repeat("ab ", 5000), 20); got != "ab ab ab ab ab ab ab" {
		t.Errorf("not cut at the limit: %q", got)
	}
}

func TestLineIsAlwaysOneShortLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 50).Draw(t, "limit")
		got := Line(in, limit)
		if utf8.RuneCountInString(got) > limit || strings.ContainsAny(got, "\r\n\x00\u2028\u2029\u0085") {
			t.Fatalf("Line(%q, %d) = %q", in, limit, got)
		}
		if Line(got, limit) != got {
			t.Fatalf("not stable: %q", got)
		}
	})
}
