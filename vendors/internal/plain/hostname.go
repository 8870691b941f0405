// Package plain tells which host names may be asked for. It knows nothing of any vendor.
package plain

import (
	"cmp"
	"net/netip"
	"strings"
	"unicode"
)

const maxHostname = 255 // bytes

// Hostname reports whether s may be the name of one host: it has no wildcards (a pattern would
// find others too), no control characters and no white space around it. Quotes and other signs of
// a vendor's query language are left to be escaped.
func Hostname(s string) bool {
	return s != "" && len(s) <= maxHostname && strings.TrimSpace(s) == s &&
		!strings.ContainsAny(s, "*?") && !strings.ContainsFunc(s, unicode.IsControl)
}

// Label returns the first label of a host name, which stands before its domain. A name without a domain is its own, and
// so is an address.
func Label(hostname string) string {
	if _, err := netip.ParseAddr(hostname); err == nil {
		return hostname
	}
	label, _, _ := strings.Cut(hostname, ".")
	return cmp.Or(label, hostname)
}

// Named reports whether a device's name is the one that was asked for, alone or before a domain, whatever the case.
func Named(device, asked string) bool {
	if strings.EqualFold(device, asked) {
		return true
	}
	for i, r := range device {
		if r == '.' && strings.EqualFold(device[:i], asked) {
			return true
		}
	}
	return false
}
