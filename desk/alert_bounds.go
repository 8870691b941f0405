package desk

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/models"
)

// Bounds of the fields that people work with: entries of a list, characters of a text. A finding id is bounded in
// bytes. A source may send more; the payload is kept whole.
const (
	maxTitle     = 200
	maxDetail    = 16 << 10
	maxValue     = 500
	maxFindingID = 500
	maxEntries   = 100
)

// boundAlert brings the fields of an alert within their bounds and notes in Truncated what it leaves out. A list keeps
// its first entries, each once. A value that is too long is left out of its list: half of an address is another one.
func boundAlert(a models.Alert) models.Alert {
	left := map[string]int{}
	a.Title = cutText(a.Title, maxTitle, "title", left)
	a.Detail = cutText(a.Detail, maxDetail, "detail", left)
	itself := func(s string) string { return s }
	a.Techniques = cutList(a.Techniques, itself, "techniques", left)
	a.Indicators = cutList(a.Indicators, func(i models.Indicator) string { return i.Value }, "indicators", left)
	a.Hostnames = cutList(a.Hostnames, itself, "hostnames", left)
	if len(left) > 0 {
		a.Truncated = left
	}
	return a
}

// cutText returns at most the first limit characters of a text and adds to left how many it cuts.
func cutText(s string, limit int, field string, left map[string]int) string {
	if n := utf8.RuneCountInString(s); n > limit {
		left[field] = n - limit
		return strings.TrimSpace(string([]rune(s)[:limit]))
	}
	return s
}

// cutList returns the first of equal entries, at most maxEntries and none with a long value. It adds to left how many
// different entries it leaves out.
func cutList[T comparable](all []T, value func(T) string, field string, left map[string]int) []T {
	if all == nil {
		return nil
	}
	seen := map[T]bool{}
	distinct := slices.DeleteFunc(slices.Clone(all), func(v T) bool {
		known := seen[v]
		seen[v] = true
		return known
	})
	kept := slices.DeleteFunc(slices.Clone(distinct), func(v T) bool { return utf8.RuneCountInString(value(v)) > maxValue })
	kept = kept[:min(len(kept), maxEntries)]
	if n := len(distinct) - len(kept); n > 0 {
		left[field] = n
	}
	return kept
}
