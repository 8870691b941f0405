package report_test

import (
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/report"
)

func TestLanguageIsTheNearestThereIs(t *testing.T) {
	l := languages(t)
	for asked, want := range map[string]string{
		"de": "de-DE", "de-AT": "de-DE", "DE_ch": "de-DE", "en": "en-US", "en-GB": "en-US", "fr": "en-US", "": "en-US",
		"<de>\r\n": "en-US", "{{.Code}}": "en-US", strings.Repeat("de-", 5000): "en-US",
	} {
		if s, err := l.Sentence(asked, "goodbye"); err != nil || s.Language != want {
			t.Errorf("%.20q: read in %q, %v; want %q", asked, s.Language, err, want)
		}
	}
}

func TestMenuIsSpelled(t *testing.T) {
	l := languages(t)
	for _, tag := range tags(t) {
		s, err := l.Menu(report.Announcement{Menu: "menu", Language: tag, Reference: "SI-1042-0007", Severity: models.SeverityCritical, Code: "4711"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Nordlicht SOC", "S I, 1 0 4 2, 0 0 0 7.", ": 4 7 1 1."} {
			if !strings.Contains(s.Text, want) {
				t.Errorf("%s: nobody hears %q in: %s", tag, want, s.Text)
			}
		}
		code, err := l.SpokenCode(tag, "482913")
		if err != nil || strings.Count(code.Text, ": 4, 8, 2, 9, 1, 3.") != 2 || !strings.Contains(code.Text, "Nordlicht SOC.") {
			t.Errorf("%s: the code is not said clearly: %s, %v", tag, code.Text, err)
		}
	}
}

func TestSpeechRejected(t *testing.T) {
	l := languages(t)
	good := report.Announcement{Menu: "menu", Language: "en", Reference: "SI-1042-0007", Severity: models.SeverityLow, Code: "4711"}
	for name, change := range map[string]func(*report.Announcement){
		"markup in the reference":  func(a *report.Announcement) { a.Reference = `SI-1042-0007</Say><Dial>+4912345</Dial>` },
		"markup in the code":       func(a *report.Announcement) { a.Code = `<break time="99s"/>` },
		"a code of five digits":    func(a *report.Announcement) { a.Code = "47111" },
		"a severity without words": func(a *report.Announcement) { a.Severity = "{{.Code}}" },
		"a sentence without words": func(a *report.Announcement) { a.Before = "hello" },
		"a menu without words":     func(a *report.Announcement) { a.Menu = "hello" },
	} {
		a := good
		change(&a)
		if s, err := l.Menu(a); err == nil || s.Text != "" {
			t.Errorf("%s: says %q", name, s.Text)
		}
	}
	if s, err := l.SpokenCode("en", "4829 13"); err == nil {
		t.Errorf("says %q as a code", s.Text)
	}
	if s, err := l.Sentence("en", "menu"); err == nil {
		t.Errorf("says %q as a sentence", s.Text)
	}
	if s, err := l.Answer("en", "maybe"); err == nil {
		t.Errorf("answers %q", s)
	}
}
