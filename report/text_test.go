package report_test

import (
	"math"
	"net/url"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
)

// The alphabet of short messages by 3GPP TS 23.038, section 6.2.1, and its extension, whose characters count twice.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€"
)

// septets returns how much of a message's 160 characters a text takes.
func septets(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			n++
		case strings.ContainsRune(gsmExtension, r):
			n += 2
		default:
			t.Errorf("%q is no GSM 7-bit character: the message becomes several: %s", r, text)
			return math.MaxInt
		}
	}
	return n
}

func TestShortMessagesFitOne(t *testing.T) {
	provider := strings.Repeat("W", 20)
	head, err := report.NewLetterhead(provider, &url.URL{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := report.LoadLanguages(provider)
	if err != nil {
		t.Fatal(err)
	}
	longest := models.NewReference(999999999, 999999999) // 22 characters
	for _, tag := range tags(t) {
		for _, p := range texts() {
			for _, severity := range models.Severities() {
				about := letter(tag, p)
				about.Reference, about.Severity, about.Drill, about.Occurrence, about.Revision = longest, severity, true, 9999, 999
				text, err := head.Text(about)
				if err != nil {
					t.Fatal(err)
				}
				if n := septets(t, text); n > 160 {
					t.Errorf("%s, %s: %d characters: %s", tag, p, n, text)
				}
			}
		}
		for _, name := range answers {
			if text, _ := l.Answer(tag, name); septets(t, text) > 160 {
				t.Errorf("%s: too long: %s", tag, text)
			}
		}
	}
}

func TestShortMessagesTellNoMoreThanTheyShould(t *testing.T) {
	head := letterhead(t)
	for _, tag := range tags(t) {
		for _, p := range texts() {
			about := letter(tag, p)
			about.Title = "Ransomware"
			text, err := head.Text(about)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, "Ransomware") || strings.Contains(text, "://") || strings.Contains(text, "mdr.example") {
				t.Errorf("%s, %s: title or link on a lock screen: %s", tag, p, text)
			}
			if !strings.HasPrefix(text, "Nordlicht SOC") {
				t.Errorf("%s, %s: nobody knows who writes: %s", tag, p, text)
			}
			about.Code = "000000"
			if again, _ := head.Text(about); strings.Contains(text, "482913") != strings.Contains(again, "000000") {
				t.Errorf("%s, %s: not the code that was given: %s", tag, p, again)
			}
		}
		for _, p := range []notify.Purpose{notify.PurposePublished, notify.PurposeRevised, notify.PurposeReminder, notify.PurposeCode} {
			if text, _ := head.Text(letter(tag, p)); !strings.Contains(text, "482913") {
				t.Errorf("%s, %s: the code is missing: %s", tag, p, text)
			}
		}
	}
}
