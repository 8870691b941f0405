package desk

import (
	"math"
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

// boundAlert cleans the texts of an alert, brings its fields within their bounds and notes in Truncated what it leaves
// out. A list keeps its first entries, each once. A value that is too long is left out of its list: half of an address
// is another one.
func boundAlert(a models.Alert) models.Alert {
	left := map[string]int{}
	a.Title = cutText(cleanLine(a.Title), maxTitle, "title", left)
	a.Detail = cutText(models.CleanText(a.Detail), maxDetail, "detail", left)
	a.Techniques = cutList(a.Techniques, wholeText, "techniques", left)
	a.Indicators = cutList(cleanIndicators(a.Indicators), func(i models.Indicator) string { return i.Value }, "indicators", left)
	a.Hostnames = cutList(cleanLines(a.Hostnames), wholeText, "hostnames", left)
	if len(left) > 0 {
		a.Truncated = left
	}
	return a
}

// boundFindingID returns a finding id as it is kept: the id itself, or the hash of one that is too long, or that could
// become the same as another one by being cleaned.
func boundFindingID(id string) string {
	if !models.IsBlank(id) && (utf8.RuneCountInString(id) > maxFindingID || models.CheckTexts(id) != nil) {
		return hashOf([]byte(id))
	}
	return id
}

// cleanLine makes a text of a source fit for one line, however long.
func cleanLine(s string) string { return models.CleanLine(s, math.MaxInt) }

func wholeText(s string) string { return s }

// cleanLines cleans the entries of a list and leaves out those of which nothing is left.
func cleanLines(all []string) []string {
	all = slices.Clone(all)
	for n := range all {
		all[n] = cleanLine(all[n])
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// cleanIndicators is cleanLines for the values of indicators.
func cleanIndicators(all []models.Indicator) []models.Indicator {
	all = slices.Clone(all)
	for n := range all {
		all[n].Value = cleanLine(all[n].Value)
	}
	return slices.DeleteFunc(all, func(i models.Indicator) bool { return i.Value == "" })
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
