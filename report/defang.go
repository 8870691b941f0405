package report

import (
	"regexp"
	"strings"
)

// label are the characters of a part of a name: names may hold accents, emoji and joiners.
const label = `[\pL\pM\pN\p{So}\x{200C}\x{200D}_-]`

// dot are the full stops that IDNA takes for the dot between two labels (RFC 3490, section 3.1).
const dot = `[.\x{3002}\x{FF0E}\x{FF61}]`

var (
	dots   = regexp.MustCompile(dot)
	web    = regexp.MustCompile(`(?i)\b(h)(tt)(ps?)(:)`)
	scheme = regexp.MustCompile(`[\pL\pN+._-]*://`)
	script = regexp.MustCompile(`(?i)\b(javascript|vbscript|data|file)(\s*):`) // run or open something without ://
	share  = regexp.MustCompile(`(\[?)([\\\x{FF3C}]{2,})(\]?)`)                // \\host\share: opening it gives away a password's hash
	dotted = regexp.MustCompile(label + `+(?:` + dot + label + `+)+`)
	mailTo = regexp.MustCompile(`([\pL\pN._%+-])@([\pL\pN-]+(?:\[?` + dot + `\]?))`)
)

// Defang makes addresses in a text harmless: no reader and no mail program can follow them by accident. It writes
// hxxp for http, [:] after other schemes, [\\] before the host of a Windows share, [.] for the dots of names and numbers,
// and [@] in mail addresses. Defanging twice is the same as once.
func Defang(s string) string {
	s = web.ReplaceAllString(s, "${1}xx${3}${4}")
	s = script.ReplaceAllString(s, "$1$2[:]")
	s = share.ReplaceAllStringFunc(s, func(slashes string) string {
		if slashes[0] == '[' && strings.HasSuffix(slashes, "]") {
			return slashes
		}
		return share.ReplaceAllString(slashes, "$1[$2]$3")
	})
	s = scheme.ReplaceAllStringFunc(s, func(name string) string {
		if strings.EqualFold(name, "hxxp://") || strings.EqualFold(name, "hxxps://") {
			return name
		}
		return strings.TrimSuffix(name, "://") + "[:]//"
	})
	s = dotted.ReplaceAllStringFunc(s, func(name string) string { return dots.ReplaceAllString(name, "[$0]") })
	return mailTo.ReplaceAllString(s, "$1[@]$2")
}
