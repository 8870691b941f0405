package plain

import (
	"strings"
	"unicode"
)

const maxHostname = 255 // bytes

// Hostname reports whether s may be the name of one host: it has no wildcards (a pattern would
// find others too), no control characters and no white space around it. Quotes and other signs of
// a vendor's query language are left to be escaped.
func Hostname(s string) bool {
	return s != "" && len(s) <= maxHostname && strings.TrimSpace(s) == s &&
		!strings.ContainsAny(s, "*?") && !strings.ContainsFunc(s, unicode.IsControl)
}
