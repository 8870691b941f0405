package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
)

func TestMessageID(t *testing.T) {
	head := letterhead(t)
	if a, b := head.MessageID("k1"), head.MessageID("k1"); a != b || a == head.MessageID("k2") {
		t.Error("the Message-ID must follow from the key alone")
	}
}

func TestSubjects(t *testing.T) {
	head := letterhead(t)
	for _, c := range []struct {
		change   func(*report.Letter)
		language string
		want     string
	}{
		{func(*report.Letter) {}, "en", "[SI-1042-0007] critical: Title"},
		{func(*report.Letter) {}, "de", "[SI-1042-0007] kritisch: Title"},
		{func(l *report.Letter) { l.Purpose, l.Occurrence = notify.PurposeReminder, 2 }, "en", "[SI-1042-0007] reminder 2, critical: Title"},
		{func(l *report.Letter) { l.Purpose, l.Occurrence = notify.PurposeReminder, 2 }, "de", "[SI-1042-0007] Erinnerung 2, kritisch: Title"},
		{func(l *report.Letter) { l.Revision = 2 }, "en", "[SI-1042-0007] revision 2, critical: Title"},
		{func(l *report.Letter) { l.Revision = 2 }, "de", "[SI-1042-0007] Fassung 2, kritisch: Title"},
		{func(l *report.Letter) { l.Drill = true }, "en", "DRILL: [SI-1042-0007] critical: Title"},
		{func(l *report.Letter) { l.Drill = true }, "de", "ÜBUNG: [SI-1042-0007] kritisch: Title"},
	} {
		l := letter(c.language, notify.PurposePublished)
		l.Title = "Title"
		c.change(&l)
		if msg, err := head.Compose(l); err != nil || msg.Subject != c.want {
			t.Errorf("subject %q, %v; want %q", msg.Subject, err, c.want)
		}
	}
}

func TestDrillIsMarkedInTheFirstLine(t *testing.T) {
	head := letterhead(t)
	for tag, mark := range map[string]string{"en": "DRILL: ", "de": "ÜBUNG: "} {
		for _, p := range purposes() {
			l := letter(tag, p)
			l.Drill = true
			msg, err := head.Compose(l)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(msg.Subject, mark) || !strings.HasPrefix(msg.Text, mark) || !strings.Contains(msg.HTML, "<p>"+mark) {
				t.Errorf("%s, %s: not marked as a drill:\n%s\n%s", tag, p, msg.Subject, msg.Text)
			}
		}
	}
}

// The times of a review are read as people of the language write them, in winter and in summer.
func TestReviewTimes(t *testing.T) {
	head := letterhead(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		language, want string
		at             time.Time
	}{
		{"en", "on 12 March 2026, 10:00 CET.", time.Date(2026, 3, 12, 9, 0, 0, 0, time.UTC).In(berlin)},
		{"en", "on 1 July 2026, 10:00 CEST.", time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC).In(berlin)},
		{"de", "am 12.03.2026 10:00 Uhr MEZ ein.", time.Date(2026, 3, 12, 9, 0, 0, 0, time.UTC).In(berlin)},
		{"de", "am 01.07.2026 10:00 Uhr MESZ ein.", time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC).In(berlin)},
		{"de", "am 01.07.2026 08:00 Uhr UTC ein.", time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC)},
	} {
		l := letter(c.language, notify.PurposeReview)
		l.At = c.at
		if msg, err := head.Compose(l); err != nil || !strings.Contains(msg.Text, c.want) {
			t.Errorf("the mail lacks %q, %v:\n%s", c.want, err, msg.Text)
		}
	}
}

// A letter that would read as nonsense is not composed; the error does not repeat the given values.
func TestLettersRejected(t *testing.T) {
	head := letterhead(t)
	const secret = "12345x"
	for name, c := range map[string]struct {
		purpose notify.Purpose
		change  func(*report.Letter)
	}{
		"another way in the link":    {notify.PurposePublished, func(l *report.Letter) { l.Reference = "../../logout?" + secret }},
		"a header in the reference":  {notify.PurposePublished, func(l *report.Letter) { l.Reference = "SI-1042-0007\r\nBcc: " + secret }},
		"no reference":               {notify.PurposePublished, func(l *report.Letter) { l.Reference = "" }},
		"a severity without words":   {notify.PurposePublished, func(l *report.Letter) { l.Severity = "urgent" }},
		"a purpose without words":    {notify.PurposeIsolate, func(*report.Letter) {}},
		"a code that is not digits":  {notify.PurposePublished, func(l *report.Letter) { l.Code = secret }},
		"a verification, no code":    {notify.PurposeCode, func(l *report.Letter) { l.Code = "" }},
		"a review without a time":    {notify.PurposeReview, func(l *report.Letter) { l.At = time.Time{} }},
		"a code with a line's end":   {notify.PurposeCode, func(l *report.Letter) { l.Code = "123456\n" }},
		"a purpose that is a folder": {"../subject", func(*report.Letter) {}},
	} {
		l := letter("en", c.purpose)
		c.change(&l)
		msg, err := head.Compose(l)
		text, errText := head.Text(l)
		if err == nil || errText == nil || msg.Text != "" || text != "" {
			t.Errorf("%s: composed %q and %q", name, msg.Text, text)
			continue
		}
		if strings.Contains(err.Error()+errText.Error(), secret) {
			t.Errorf("%s: the error repeats what was given: %v, %v", name, err, errText)
		}
	}
}
