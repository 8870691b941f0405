// Package plain makes untrusted text safe to put on one line: into a mail header, a spoken
// sentence, a comment in a vendor's console. It also tells which host names may be asked for.
// It knows nothing of any vendor.
package plain

import (
	"strings"
	"unicode"
)

// Line returns s as one line of at most limit runes. Runs of white space, line breaks
// (U+2028 and U+0085 too) and control characters become one space; unprintable characters
// (zero-width and direction marks, private use, broken UTF-8) are dropped.
func Line(s string, limit int) string {
	var b strings.Builder
	runes, gap := 0, false
	for _, r := range strings.ToValidUTF8(s, "") {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			gap = runes > 0
			continue
		}
		if !unicode.IsPrint(r) {
			continue
		}
		width := 1
		if gap {
			width = 2
		}
		if runes += width; runes > limit {
			break
		}
		if gap {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		gap = false
	}
	return b.String()
}
