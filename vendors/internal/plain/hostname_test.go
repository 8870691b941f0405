package plain

import (
	"strings"
	"testing"
)

func TestHostname(t *testing.T) {
	for name, want := range map[string]bool{
		"PC-1": true, "pc-1.corp.example": true, "Rechner-Süd": true, "O'Brien": true, `a"b\c`: true, "PC 1": true, strings.Repeat("x", 255): true,
		"": false, " ": false, " PC-1": false, "PC-1\n": false, "*": false, "PC-*": false, "PC-?": false, "a\x00b": false, "a\tb": false,
		strings.Repeat("x", 256): false,
	} {
		if got := Hostname(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"PC-1": "PC-1", "pc-1.corp.example": "pc-1", "pc-1.": "pc-1", ".corp": ".corp", "": "", "10.1.2.3": "10.1.2.3", "2001:db8::1": "2001:db8::1", "10.corp": "10",
	} {
		if got := Label(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		device, asked string
		want          bool
	}{
		{"PC-1", "pc-1", true}, {"pc-1.corp.example", "PC-1", true}, {"pc-1.corp.example", "PC-1.CORP", true}, {"BÜRO.corp", "büro", true},
		{"PC-1", "pc-1.corp.example", false}, {"pc-1.lab.example", "pc-1.corp.example", false},
		{"pc-10", "pc-1", false}, {"pc-10.corp", "pc-1", false}, {"x.pc-1", "pc-1", false}, {"", "pc-1", false},
	} {
		if Named(c.device, c.asked) != c.want {
			t.Errorf("%s for %s: %v", c.device, c.asked, !c.want)
		}
	}
}
