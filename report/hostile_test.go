package report_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/report"
)

var hostile = map[string]string{
	"a script":           `<script>alert(1)</script><img src=x onerror=alert(1)>`,
	"an end of the page": `</td></tr></table></title></body></html><h1>Paid`,
	"an attribute":       `" onmouseover="alert(1)" x='`,
	"a comment":          `<!-- --><![CDATA[ ]]>`,
	"an entity":          `&lt;b&gt; &#60;b&#62;`,
	"a header":           "Title\r\nBcc: all@victim.example\nX-Evil: 1\r\n\r\nBody",
	"other line ends":    "a\u2028b\u2029c\u0085d\ve\ff",
	"speech markup":      `</Say><Dial>+4912345</Dial><break time="99s"/><?xml version="1.0"?>`,
	"template braces":    `{{.}} {{.Link}} {{template "mail/code" .}} {{define "subject"}}x{{end}}`,
	"shares and scripts": `\\evil\share \\\\evil\\x javascript:alert(1) JavaScript :x vbscript:x data:text/html,x file:evil`,
	"joiners":            "evil\u200c.example a\u200d.\u200cexample 👩\u200d🚒",
	"direction marks":    "\u202eexe.fdp\u202c \u2066x\u2069 \u200f\u200b\ufeff",
	"NUL and escape":     "a\x00b\x1b[31mc\x7f",
	"broken UTF-8":       "a\xff\xfe\xc0\xafb",
	"10 kB":              strings.Repeat("evil.example ", 800),
	"10 kB, one word":    strings.Repeat("<b>", 3500),
	"addresses":          `http://evil.example HTTPS://evil.example/a ftp://evil/x file://host/share www.evil.example 10.0.0.1 ceo@bank.example`,
	"odd addresses":      "xhttp://evil _https://evil a\u0301.example 💩.la http://a.b.c.d//x://y mailto:a@b smb://h \"x\"@evil.example",
	"nothing visible":    "\u200b\r\n\t",
	"nothing":            "",
}

func TestHostileTitles(t *testing.T) {
	head := letterhead(t)
	for name, title := range hostile {
		t.Run(name, func(t *testing.T) {
			for _, tag := range tags(t) {
				for _, p := range purposes() {
					staysText(t, head, letter(tag, p), title)
				}
			}
		})
	}
}

func TestAnyTitleStaysText(t *testing.T) {
	head := letterhead(t)
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom(fragments()))
	rapid.Check(t, func(t *rapid.T) {
		l := letter(rapid.SampledFrom([]string{"en", "de"}).Draw(t, "language"), rapid.SampledFrom(purposes()).Draw(t, "purpose"))
		staysText(t, head, l, strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), ""))
	})
}

// fragments returns the parts that attacks are made of.
func fragments() []string {
	return []string{
		"<", ">", "</td>", "<a href=", `"`, "'", "`", "&", "&#", ";", "{{", "}}", ".", "..", "/", "://", "http", "https:", "ftp", ":", "@", "[", "]",
		"evil.example", "10.0.0.1", "\r\n", "\n", "\x00", "\u202e", "\u200d", "\u2028", "\xff", "a", "1", " ", "-", "_", "\\", "\\\\", "javascript:", "data", "é", "e\u0301", "💩",
	}
}

// staysText composes a letter with a harmless title and with an attacker's, and looks for any difference but the title.
func staysText(t rapid.TB, head report.Letterhead, l report.Letter, title string) {
	t.Helper()
	l.Title = "harmless"
	calm := compose(t, head, l)
	l.Title = title
	got := compose(t, head, l)

	if strings.ContainsFunc(got.Subject, unprintable) || utf8.RuneCountInString(got.Subject) > 1000 {
		t.Errorf("the subject can break out of its header: %q", got.Subject)
	}
	if a, b := strings.Count(got.Text, "\n"), strings.Count(calm.Text, "\n"); a != b || strings.ContainsFunc(strings.ReplaceAll(got.Text, "\n", ""), unprintable) {
		t.Errorf("the text has %d lines, not %d:\n%q", a, b, got.Text)
	}
	tree, words := outline(t, got.HTML)
	calmTree, calmWords := outline(t, calm.HTML)
	if tree != calmTree {
		t.Errorf("the title %q became markup:\n%s\nnot\n%s", title, tree, calmTree)
	}
	if want := strings.ReplaceAll(calmWords, "harmless", shown(title)); squeeze(words) != squeeze(want) {
		t.Errorf("the page reads %q, not %q", words, want)
	}
	for _, part := range [][2]string{{got.Subject, calm.Subject}, {got.Text, calm.Text}, {words, calmWords}} {
		if found, known := live(part[0]), live(part[1]); !slices.Equal(found, known) {
			t.Errorf("%q instead of %q are live addresses in:\n%s", found, known, part[0])
		}
	}
}

func compose(t rapid.TB, head report.Letterhead, l report.Letter) models.OutboundMail {
	t.Helper()
	msg, err := head.Compose(l)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return msg
}

// shown is how a title is to be read: defanged, on one line.
func shown(title string) string { return report.Defang(models.CleanLine(title, 200)) }

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func unprintable(r rune) bool {
	joins := r == '\u200c' || r == '\u200d'
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) && !joins || r == utf8.RuneError
}

// outline parses a page as a browser does. It returns its elements with their attributes, and its words.
func outline(t rapid.TB, page string) (tree, words string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatalf("%v", err)
	}
	var elements, text strings.Builder
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode:
			text.WriteString(n.Data + " ")
		case html.ElementNode:
			elements.WriteString("<" + n.Data)
			for _, a := range n.Attr {
				elements.WriteString(" " + a.Key + "=" + a.Val)
			}
			elements.WriteString("> in " + n.Parent.Data + "\n")
		default:
			elements.WriteString("node " + n.Data + "\n")
		}
	}
	return elements.String(), text.String()
}

var addresses = []*regexp.Regexp{
	regexp.MustCompile(`[\pL\pN+_.-]*://`),
	regexp.MustCompile(`[\pL\pM\pN\p{So}\x{200C}\x{200D}_-]\.[\pL\pM\pN\p{So}\x{200C}\x{200D}_-]`),
	regexp.MustCompile(`(?i)\b(javascript|vbscript|data|file)\s*:`),
	regexp.MustCompile(`\\\\[^\\\]]`),
	regexp.MustCompile(`[\pL\pN]@[\pL\pN-]+\.`),
}

// live returns what a mail program may make a link of in s.
func live(s string) (found []string) {
	s = defanged.ReplaceAllString(s, " ")
	for _, address := range addresses {
		found = append(found, address.FindAllString(s, -1)...)
	}
	return found
}

var defanged = regexp.MustCompile(`(?i)\bhxxps?://`)
