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
