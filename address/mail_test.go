package address_test

import (
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/address"
)

func TestOneMailboxHasOneForm(t *testing.T) {
	for given, want := range map[string]string{
		"eva@c.example":                  "eva@c.example",
		"  eva@c.example\t":              "eva@c.example",
		"Eva@C.Example":                  "Eva@c.example",
		"eva@c.example.":                 "eva@c.example",
		"ｅｖａ@ｃ.example":                  "eva@c.example",
		"eva＠c．example":                  "eva@c.example",
		"eva@c。example":                  "eva@c.example",
		"ada@bücher.example":             "ada@xn--bcher-kva.example",
		"ada@BÜCHER.example":             "ada@xn--bcher-kva.example",
		"ada@bu\u0308cher.example":       "ada@xn--bcher-kva.example",
		"ada@XN--BCHER-KVA.example":      "ada@xn--bcher-kva.example",
		"jo\u0308rg@c.example":           "jörg@c.example",
		"ines+2@c.example":               "ines+2@c.example", // a mailbox of its own, and the same person
		"o'brien_1.x-y/z=a@c-d.e.exampl": "o'brien_1.x-y/z=a@c-d.e.exampl",
	} {
		got, err := address.Mail(given)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", given, got, err, want)
		}
		if again, err := address.Mail(got); again != got || err != nil {
			t.Errorf("%q is not stable: %q, %v", got, again, err)
		}
	}
}

func TestWhatIsNotABareAddressIsRefused(t *testing.T) {
	for _, given := range []string{
		"", " ", "eva", "@c.example", "eva@", "eva@@c.example", "eva@c", "eva@c.example@d.example",
		"Eva Z <eva@c.example>", "<eva@c.example>", "eva@c.example (Eva)", "(Eva) eva@c.example", "eva(x)@c.example",
		`"eva"@c.example`, `"eva z"@c.example`, `"eva@x"@c.example`, "a@c.example, b@c.example", "all: a@c.example, b@c.example;", "all:;",
		"<@relay.example:eva@c.example>", "@relay.example:eva@c.example", "eva@[192.0.2.1]", "eva@[IPv6:::1]",
		"eva@c..example", "eva@.c.example", "eva@c.example..", "eva@-c.example", "eva@c_d.example", "eva@c.exa mple", "eva @c.example",
		"eva@xn--a.example", "eva@xn--0.example", "eva@" + strings.Repeat("a", 64) + ".example",
		"e\u200bva@c.example", "e\u00adva@c.example", "eva\u202e@c.example", "e\x00va@c.example", "eva\r\n@c.example", "e\u2800\u3164va@c.example ,",
		strings.Repeat("e", 65) + "@c.example", "eva@" + strings.Repeat("abcdefgh.", 30) + "example", strings.Repeat("ﷺ", 80) + "@c.example",
	} {
		if got, err := address.Mail(given); err == nil || got != "" {
			t.Errorf("%q is taken as %q", given, got)
		} else if given != "" && given != " " && len(given) > 3 && strings.Contains(err.Error(), given) {
			t.Errorf("the error repeats the address: %v", err)
		}
	}
}

func FuzzMail(f *testing.F) {
	f.Add("ada@bücher.example")
	f.Add("Eva Z <eva@c.example>")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := address.Mail(s)
		if err != nil {
			return
		}
		if again, err := address.Mail(got); err != nil || again != got {
			t.Errorf("%q becomes %q and then %q, %v", s, got, again, err)
		}
		_, domain, _ := strings.Cut(got[strings.LastIndex(got, "@"):], "@")
		if strings.ContainsFunc(domain, func(r rune) bool { return r > '~' || r <= ' ' || r >= 'A' && r <= 'Z' }) {
			t.Errorf("the domain of %q is %q", s, domain)
		}
	})
}
