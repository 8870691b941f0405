package address

import (
	"errors"
	"net/mail"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// The bounds of RFC 5321, section 4.5.3.1, in bytes.
const (
	maxLocal = 64
	maxMail  = 254
)

// The errors say what is wrong with an address, and repeat nothing of it.
var (
	errNotMail = errors.New("is not one bare mail address such as ada@client.example: no name, brackets, quotes or comments")
	errDomain  = errors.New("has a domain that is no name in the DNS such as client.example")
	errLong    = errors.New("is too long: 64 bytes before the @ and 254 in all are the most")
)

// Mail returns the one form of a mail address: the address alone, its part before the @ in Unicode's form NFKC, its
// domain as the A-labels of the DNS in lower case. It does not look whether the mailbox exists.
func Mail(s string) (string, error) {
	if len(s) > 4*maxMail {
		return "", errLong
	}
	s = strings.TrimSuffix(strings.TrimSpace(norm.NFKC.String(s)), ".")
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || strings.ContainsFunc(s, isHidden) {
		return "", errNotMail
	}
	at := strings.LastIndex(s, "@")
	domain, err := aLabels(s[at+1:])
	if err != nil {
		return "", err
	}
	if at > maxLocal || at+1+len(domain) > maxMail {
		return "", errLong
	}
	return s[:at+1] + domain, nil
}

// lookup is idna.Lookup with the bounds on lengths.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

// aLabels returns a domain as it is looked up in the DNS.
func aLabels(domain string) (string, error) {
	domain, err := lookup.ToASCII(domain)
	if err != nil || !strings.Contains(domain, ".") {
		return "", errDomain
	}
	return domain, nil
}

// isHidden reports whether a character shows nothing: two addresses that look alike would be two.
func isHidden(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }
