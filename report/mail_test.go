package report_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/report"
)

func TestDefang(t *testing.T) {
	for in, want := range map[string]string{
		"beacon to http://evil.example/a.php from 10.0.0.1": "beacon to hxxp://evil[.]example/a[.]php from 10[.]0[.]0[.]1",
		"HTTPS://Evil.Example":                              "Hxxps://Evil[.]Example",
		"mail from ceo@bank.example":                        "mail from ceo[@]bank[.]example",
		"T1059.001 in C: drive. Done.":                      "T1059[.]001 in C: drive. Done.",
	} {
		got := report.Defang(in)
		if !strings.EqualFold(got, want) {
			t.Errorf("Defang(%q) = %q, want %q", in, got, want)
		}
		if again := report.Defang(got); again != got {
			t.Errorf("Defang twice: %q became %q", got, again)
		}
	}
}

func TestMailTellsNoMoreThanItShould(t *testing.T) {
	portal, _ := url.Parse("https://portal.mdr.example/portal")
	head, err := report.NewLetterhead(portal)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := head.Compose(report.Letter{
		Purpose: models.PurposePublished, Reference: "SI-1042-0007", Severity: models.SeverityCritical, Revision: 1,
		Title: "<script>alert(1)</script>\r\nBcc: all@victim.example http://evil.example/x {{.Link}}\u202e",
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(msg.Subject, "\r\n\u202e") {
		t.Errorf("subject can break out of its header: %q", msg.Subject)
	}
	if strings.Contains(msg.HTML, "<script>") {
		t.Error("the title became markup")
	}
	for _, part := range []string{msg.Text, msg.HTML} {
		if !strings.Contains(part, "https://portal.mdr.example/portal/incidents/SI-1042-0007") || !strings.Contains(part, "critical") {
			t.Errorf("the mail lacks link or severity:\n%s", part)
		}
		if strings.Contains(part, "http://evil") || strings.Contains(part, "victim.example") {
			t.Errorf("the mail holds a live address of an attacker:\n%s", part)
		}
	}
	if a, b := head.MessageID("k1"), head.MessageID("k1"); a != b || a == head.MessageID("k2") {
		t.Error("the Message-ID must follow from the key alone")
	}
}
