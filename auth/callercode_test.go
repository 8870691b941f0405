package auth_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/auth"
)

func TestCallerCodeRotates(t *testing.T) {
	secret := []byte("a secret of a client, 32 bytes..")
	at := time.Date(2026, 11, 22, 3, 0, 30, 0, time.UTC)
	code, until, err := auth.CallerCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\d{4}$`).MatchString(code) {
		t.Errorf("code %q is not four digits", code)
	}
	if want := time.Date(2026, 11, 22, 3, 2, 0, 0, time.UTC); !until.Equal(want) {
		t.Errorf("it holds until %s, want %s", until, want)
	}
	if same, _, _ := auth.CallerCode(secret, until.Add(-time.Second)); same != code {
		t.Errorf("the code changed from %s to %s before its time was over", code, same)
	}
	codes := map[string]bool{}
	for n := range 50 {
		c, _, _ := auth.CallerCode(secret, at.Add(time.Duration(n)*auth.CallerCodeFor))
		codes[c] = true
	}
	if len(codes) < 45 {
		t.Errorf("50 spans have only %d codes", len(codes))
	}
	if other, _, _ := auth.CallerCode([]byte("a secret of another, 32 bytes..."), at); other == code {
		t.Logf("two clients share a code by chance")
	}
}
