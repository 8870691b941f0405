package report

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	web    = regexp.MustCompile(`(?i)\b(h)(tt)(ps?)(:)`)
	scheme = regexp.MustCompile(`[\pL\pN+._-]*://`)
	dotted = regexp.MustCompile(`[\pL\pM\pN\p{So}_-]+(?:\.[\pL\pM\pN\p{So}_-]+)+`) // names may hold accents and emoji
	mailTo = regexp.MustCompile(`([\pL\pN._%+-])@([\pL\pN-]+(?:\[?\.\]?))`)
)

// Defang makes addresses in a text harmless: no reader and no mail program can follow them by accident. It writes
// hxxp for http, [:] after other schemes, [.] for the dots of names and numbers, and [@] in mail addresses. Defanging
// twice is the same as once.
func Defang(s string) string {
	s = web.ReplaceAllString(s, "${1}xx${3}${4}")
	s = scheme.ReplaceAllStringFunc(s, func(name string) string {
		if strings.EqualFold(name, "hxxp://") || strings.EqualFold(name, "hxxps://") {
			return name
		}
		return strings.TrimSuffix(name, "://") + "[:]//"
	})
	s = dotted.ReplaceAllStringFunc(s, func(name string) string { return strings.ReplaceAll(name, ".", "[.]") })
	return mailTo.ReplaceAllString(s, "$1[@]$2")
}

// OneLine makes a text fit for a header or a heading: control characters, line and paragraph separators and
// direction marks become spaces, and it is cut after limit runes.
func OneLine(s string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	clean = strings.Join(strings.Fields(clean), " ")
	if runes := []rune(clean); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return clean
}
