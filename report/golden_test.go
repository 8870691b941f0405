package report_test

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
)

var update = flag.Bool("update", false, "write the golden files from what the code says now")

const portal = "https://portal.mdr.example/portal"

func letterhead(t testing.TB) report.Letterhead {
	t.Helper()
	address, err := url.Parse(portal)
	if err != nil {
		t.Fatal(err)
	}
	head, err := report.NewLetterhead("Nordlicht SOC", address)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func languages(t testing.TB) report.Languages {
	t.Helper()
	l, err := report.LoadLanguages("Nordlicht SOC")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tags returns the languages there are a file for: a new one is tested too.
func tags(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("languages/*.tmpl")
	if err != nil || len(files) < 2 {
		t.Fatalf("language files: %v, %v", files, err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".tmpl")
	}
	return files
}

func purposes() []notify.Purpose {
	return []notify.Purpose{
		notify.PurposePublished, notify.PurposeRevised, notify.PurposeReminder, notify.PurposeStillPresent, notify.PurposeClosed,
		notify.PurposeQuestion, notify.PurposeQuestionReminder, notify.PurposeApproval, notify.PurposeReview,
		notify.PurposeLease, notify.PurposeRisk,
		notify.PurposeTest, notify.PurposeCode, notify.PurposeContactChanged,
	}
}

// texts returns the purposes there is a short message for.
func texts() []notify.Purpose {
	all := purposes()
	return append(all[:8:8], all[9:]...)
}

func letter(language string, p notify.Purpose) report.Letter {
	l := report.Letter{
		Purpose: p, Occurrence: 1, Language: language, Reference: "SI-1042-0007", Severity: models.SeverityCritical,
		Title: "Ransomware <prepared> on FILE-01, beacon to http://evil.example/a", Revision: 1, Code: "482913",
		At: time.Date(2026, 3, 12, 10, 0, 0, 0, time.FixedZone("CET", 3600)),
	}
	switch p {
	case notify.PurposeContactChanged:
		l.Changes = contactChanges()
	case notify.PurposeRevised:
		l.Revision = 2
	case notify.PurposeReminder, notify.PurposeQuestionReminder:
		l.Occurrence = 2
	case notify.PurposeRisk:
		l.Accepted = []report.Acceptance{{By: "Eva <b>Example</b>\nhttp://evil.example", Until: l.At}, {Until: l.At}}
	}
	return l
}

// contactChanges are all there are, as an admin of the client reads them.
func contactChanges() []report.ContactChange {
	at := time.Date(2026, 3, 12, 9, 0, 0, 0, time.UTC)
	old, now := notify.Addresses{Email: "ines.adler@acme.example", Phone: "+4915112345678"}, notify.Addresses{Email: "mallory@evil.example", Phone: "+12025550199"}
	return []report.ContactChange{
		{Name: "Ines Adler", ContactChange: notify.ContactChange{At: at, Role: models.RoleOperator, Operation: "update-contact", Before: old, After: now,
			Fields: []string{"channels", "email", "hours", "hours_for_critical", "language", "name", "order", "phone", "pin", "role", "severities", "verified/sms"}}},
		{Name: "Bo http://evil.example/ <b>", ContactChange: notify.ContactChange{At: at, Role: models.RoleAdmin, Operation: "create-contact", After: old, Fields: []string{"email"}}},
		{Name: "Ines Adler", ContactChange: notify.ContactChange{At: at, Role: models.RoleAnalyst, Operation: "confirm-channel", Before: now, After: now, Fields: []string{"verified/sms"}}},
		{ContactChange: notify.ContactChange{At: at, Role: models.RoleLead, Operation: "remove-contact", Before: now}},
	}
}

// drill is the first letter again, of high severity and as a drill, to reply to in the portal only.
func drill(language string) report.Letter {
	l := letter(language, notify.PurposePublished)
	l.Drill, l.Severity, l.Code = true, models.SeverityHigh, ""
	return l
}

// golden compares got with a file that somebody has read.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s says\n%s\nbut now it is\n%s", file, want, got)
	}
}

// scroll collects short texts for one golden file.
type scroll struct{ strings.Builder }

func (s *scroll) add(name, text string) { s.WriteString("== " + name + "\n" + text + "\n\n") }

func TestMails(t *testing.T) {
	head := letterhead(t)
	for _, tag := range tags(t) {
		var plain scroll
		letters := map[string]report.Letter{"drill": drill(tag)}
		names := []string{"drill"}
		for _, p := range purposes() {
			names, letters[string(p)] = append(names, string(p)), letter(tag, p)
		}
		for _, name := range names {
			msg, err := head.Compose(letters[name])
			if err != nil {
				t.Fatalf("%s, %s: %v", tag, name, err)
			}
			plain.add(name, "Subject: "+msg.Subject+"\n\n"+msg.Text)
			golden(t, filepath.Join(tag, "mails", name+".html"), msg.HTML)
		}
		golden(t, filepath.Join(tag, "mails.txt"), plain.String())
	}
}

func TestShortMessages(t *testing.T) {
	head, l := letterhead(t), languages(t)
	for _, tag := range tags(t) {
		var s scroll
		for _, p := range texts() {
			text, err := head.Text(letter(tag, p))
			if err != nil {
				t.Fatalf("%s, %s: %v", tag, p, err)
			}
			s.add(string(p), text)
		}
		text, err := head.Text(drill(tag))
		if err != nil {
			t.Fatal(err)
		}
		s.add("drill, no code", text)
		for _, name := range answers {
			text, err := l.Answer(tag, name)
			if err != nil {
				t.Fatalf("%s, %s: %v", tag, name, err)
			}
			s.add("answer "+name, text)
		}
		golden(t, filepath.Join(tag, "texts.txt"), s.String())
	}
}

var answers = []string{"recorded", "not-recognised", "over"}

func TestSpokenTexts(t *testing.T) {
	l := languages(t)
	for _, tag := range tags(t) {
		var s scroll
		add := func(name string, speech report.Speech, err error) {
			if err != nil {
				t.Fatalf("%s, %s: %v", tag, name, err)
			}
			s.add(name, speech.Language+": "+speech.Text)
		}
		menu := report.Announcement{Menu: "menu", Language: tag, Reference: "SI-1042-0007", Severity: models.SeverityCritical, Code: "4711"}
		speech, err := l.Menu(menu)
		add("menu", speech, err)
		for _, severity := range models.Severities()[1:] {
			speech, err = l.Menu(report.Announcement{Menu: "menu", Language: tag, Reference: "SI-1042-0007", Severity: severity, Drill: true})
			add("menu, drill, no code, "+string(severity), speech, err)
		}
		for _, menu.Before = range []string{"wrong", "again"} {
			speech, err = l.Menu(menu)
			add("menu after "+menu.Before, speech, err)
		}
		for _, menu.Release = range []bool{false, true} {
			menu.Menu, menu.Host, menu.Before = "approval-menu", "", ""
			speech, err = l.Menu(menu)
			add(fmt.Sprintf("approval, release %t", menu.Release), speech, err)
			menu.Menu, menu.Host = "approval-details", "FILESRV-01.corp"
			speech, err = l.Menu(menu)
			add(fmt.Sprintf("approval, device, release %t", menu.Release), speech, err)
		}
		for _, menu.Before = range []string{"pin-wrong", ""} {
			menu.Menu, menu.Host = "approval-pin", ""
			speech, err = l.Menu(menu)
			add("approval, PIN after "+menu.Before, speech, err)
		}
		for _, name := range []string{"already", "over", "key1", "key3", "goodbye", "approved", "denied", "settled", "pin-over"} {
			speech, err = l.Sentence(tag, name)
			add(name, speech, err)
		}
		speech, err = l.SpokenCode(tag, "482913")
		add("verification code", speech, err)
		golden(t, filepath.Join(tag, "spoken.txt"), s.String())
	}
}
