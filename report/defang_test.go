package report_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/report"
)

func TestDefang(t *testing.T) {
	for in, want := range map[string]string{
		"beacon to http://evil.example/a.php from 10.0.0.1": "beacon to hxxp://evil[.]example/a[.]php from 10[.]0[.]0[.]1",
		"HTTPS://Evil.Example":                              "Hxxps://Evil[.]Example",
		"mail from ceo@bank.example":                        "mail from ceo[@]bank[.]example",
		"T1059.001 in C: drive. Done.":                      "T1059[.]001 in C: drive. Done.",
		"ftp://host and file://host/share":                  "ftp[:]//host and file[:]//host/share",
		`run \\fileserver\share\x.exe`:                      `run [\\]fileserver\share\x[.]exe`,
		`C:\Windows\System32`:                               `C:\Windows\System32`,
		"javascript:alert(1) and JavaScript :x":             "javascript[:]alert(1) and JavaScript [:]x",
		"VBScript:x data:text/html,x file:x":                "VBScript[:]x data[:]text/html,x file[:]x",
		"evil\u200c.example and a.\u200dexample":            "evil\u200c[.]example and a[.]\u200dexample",
		"evil\u3002example or a@b\uff0eexample":             "evil[\u3002]example or a[@]b[\uff0e]example",
		"\uff3c\uff3chost\uff3cshare":                       "[\uff3c\uff3c]host\uff3cshare",
		"xhttp://host":                                      "xhttp[:]//host",
		"💩.example a\u0301.example":                         "💩[.]example a\u0301[.]example",
	} {
		got := report.Defang(in)
		if !strings.EqualFold(got, want) {
			t.Errorf("Defang(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDefangingTwiceIsDefangingOnce(t *testing.T) {
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom(fragments()))
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
		if once := report.Defang(in); report.Defang(once) != once {
			t.Errorf("Defang twice: %q became %q", once, report.Defang(once))
		}
	})
}
