package stage

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	netmail "net/mail"
	"strings"
)

// RandomHex returns n random hexadecimal digits; n is even.
func RandomHex(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}

// HashHex returns 32 hexadecimal digits that depend on nothing but s.
func HashHex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:32]
}

// IsHex reports whether s holds hexadecimal digits of either case and nothing else.
func IsHex(s string) bool {
	for _, c := range s {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return s != ""
}

// IsMailAddress reports whether s is a bare mail address with a domain that has a dot.
func IsMailAddress(s string) bool {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 320 {
		return false
	}
	_, domain, _ := strings.Cut(s[strings.LastIndex(s, "@"):], "@")
	return strings.Contains(strings.Trim(domain, "."), ".") && !strings.Contains(domain, "..")
}

// DecodeStrict decodes one JSON value and refuses unknown fields and anything after the value.
func DecodeStrict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

// ReadQuoted reads the quoted value at the beginning of s, with backslash escapes. It returns the
// value and the number of bytes read, both quotes included.
func ReadQuoted(s string) (value string, length int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == s[0]:
			return b.String(), i + 1, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, fmt.Errorf("a quote is not closed")
}
