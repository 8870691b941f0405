package models_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestATextOfInvisibleCharactersIsBlank(t *testing.T) {
	for _, s := range []string{
		"", " \t\n", "\u00A0", "\u00AD", "\u034F", "\u115F", "\u180E", "\u200B", "\u200C\u200D", "\u202E", "\u2060", "\u2800", "\u3000", "\u3164",
		"\uFE0F", "\uFEFF", "\uFFA0", "\U000E0041", "\x00", "\uE000", " \u200B\u2800 ",
	} {
		if !models.IsBlank(s) {
			t.Errorf("%+q is not blank", s)
		}
	}
	for _, s := range []string{"a", "報", "🔥", "-", "0", "\u200Ba", "می\u200Cخواهم", "👩\u200D🚒", "é", "€"} {
		if models.IsBlank(s) {
			t.Errorf("%+q is blank", s)
		}
	}
}

func TestTextsOfARequestAreChecked(t *testing.T) {
	type entry struct {
		Name string `json:"name"`
	}
	type request struct {
		Line    string            `json:"line"`
		Lines   string            `json:"lines" text:"lines"`
		Maybe   *string           `json:"maybe,omitempty"`
		Entries *[]entry          `json:"entries"`
		Tags    map[string]string `json:"tags"`
		Bytes   [2]byte           `json:"bytes"`
	}
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		in    request
		field string // "" for none
	}{
		"plain":                 {request{Line: "a b", Lines: "a\n\tb", Bytes: [2]byte{1, 2}}, ""},
		"Persian":               {request{Line: "می\u200Cخواهم"}, ""},
		"emoji":                 {request{Line: "👩\u200D🚒"}, ""},
		"nothing":               {request{Maybe: text("")}, ""},
		"line feed":             {request{Line: "a\nb"}, "/line"},
		"tab":                   {request{Line: "a\tb"}, "/line"},
		"escape":                {request{Line: "a\x1b[31m"}, "/line"},
		"delete":                {request{Line: "a\x7f"}, "/line"},
		"C1 line end":           {request{Line: "a\u0085b"}, "/line"},
		"line separator":        {request{Line: "a\u2028b"}, "/line"},
		"override":              {request{Line: "exe.\u202Efdp"}, "/line"},
		"isolate":               {request{Line: "a\u2066b"}, "/line"},
		"blank":                 {request{Line: "\u2800"}, "/line"},
		"bell among lines":      {request{Lines: "a\ab"}, "/lines"},
		"return among lines":    {request{Lines: "a\r\nb"}, "/lines"},
		"direction among lines": {request{Lines: "a\n\u202Eb"}, "/lines"},
		"blank lines":           {request{Lines: "\n\u3164\n"}, "/lines"},
		"behind a pointer":      {request{Maybe: text("\u200B")}, "/maybe"},
		"in an entry of a list": {request{Entries: &[]entry{{"a"}, {"b\x00"}}}, "/entries/1/name"},
		"in a map":              {request{Tags: map[string]string{"k": "\u202D"}}, "/tags/k"},
	} {
		err := models.CheckTexts(&c.in)
		if field := fieldOf(err); (err == nil) != (c.field == "") || field != c.field {
			t.Errorf("%s: %v at %q, want %q", name, err, field, c.field)
		}
	}
}

func TestCleanLine(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"ordinary text stays":       {"Incident SI-1042-0007: host isolated", "Incident SI-1042-0007: host isolated"},
		"other scripts stay":        {"Vorfall für 日本 עברית", "Vorfall für 日本 עברית"},
		"Persian stays":             {"می\u200Cخواهم", "می\u200Cخواهم"},
		"emoji stay whole":          {"👩\u200D🚒 on ☎\uFE0F", "👩\u200D🚒 on ☎\uFE0F"},
		"a header cannot be added":  {"Hello\r\nBcc: x@example.com", "Hello Bcc: x@example.com"},
		"unicode line breaks":       {"a\u2028b\u2029c\u0085d", "a b c d"},
		"nul and escape":            {"a\x00b\x1bc", "a b c"},
		"direction marks":           {"invoice\u202Efdp.exe\u2066\u200F", "invoicefdp.exe"},
		"broken UTF-8":              {"a\xff\xfe\uFFFDb", "ab"},
		"outer and repeated space":  {"  a \t  b\n", "a b"},
		"nothing left":              {"\r\n\u200b", ""},
		"joiners that join nothing": {"\u200D \u200C", ""},
	} {
		if got := models.CleanLine(c.in, 100); got != c.want {
			t.Errorf("%s: got %+q, want %+q", name, got, c.want)
		}
	}
	if got := models.CleanLine(strings.Repeat("ab ", 5000), 20); got != "ab ab ab ab ab ab ab" {
		t.Errorf("not cut at the limit: %q", got)
	}
}

func TestACleanLineIsAlwaysOneShortLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 50).Draw(t, "limit")
		got := models.CleanLine(in, limit)
		if utf8.RuneCountInString(got) > limit || strings.ContainsFunc(got, func(r rune) bool {
			return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
		}) {
			t.Fatalf("CleanLine(%q, %d) = %q", in, limit, got)
		}
		if models.CleanLine(got, limit) != got {
			t.Fatalf("not stable: %q", got)
		}
		if err := models.CheckTexts(got); err != nil {
			t.Fatalf("%q would be refused: %v", got, err)
		}
		if err := models.CheckTexts(&struct {
			T string `text:"lines"`
		}{models.CleanText(in)}); err != nil {
			t.Fatalf("%q as lines would be refused: %v", in, err)
		}
	})
}

func fieldOf(err error) string {
	var e *models.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}
