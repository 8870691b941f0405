package edr

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Guard says where the traffic to EDRs may go: to hosts of the vendor or of the operator's list, over https, and never
// to an address inside of anybody's network, whatever a name resolves to.
type Guard struct {
	Extra    []string // domains the operator allows beside the vendors', with all hosts in them
	Loopback bool     // simulators on this machine may be reached too, also over http; for development
	resolver *net.Resolver
	allowed  func(address string) error // asked about what the guard lets pass; nil: lets it pass
}

// The reasons for which an address is rejected. They quote nothing of it.
var (
	ErrNotHTTPS    = errors.New("is not an https address of a host alone, such as https://api.example.com")
	ErrForeignHost = errors.New("is not an address of the vendor; the operator can allow more hosts with EDR_EXTRA_HOSTS")
	ErrInside      = errors.New("the EDR's address is inside of a network")
)

var hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

// CheckURL reports whether a base URL is one that credentials may be sent to: domains are the vendor's. It asks nobody.
// The error is one of those above.
func (g Guard) CheckURL(raw string, domains []string) error {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" || strings.ContainsAny(raw, "\\#") {
		return ErrNotHTTPS
	}
	if g.Loopback && loopbackHost(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https") {
		return nil
	}
	host := strings.ToLower(u.Hostname())
	if u.Scheme != "https" || !hostname.MatchString(host) || len(host) > 253 || slices.Contains(strings.Split(u.Path, "/"), "..") {
		return ErrNotHTTPS
	}
	if !within(host, domains) && !within(host, g.Extra) {
		return ErrForeignHost
	}
	return nil
}

func within(host string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
}

func loopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Transport returns what all traffic to EDRs goes through. The address is judged when it is dialled, after the name was
// resolved: a name that resolves to something else the next time gains nothing. Redirects are not followed, and no
// proxy of the environment is used, which would resolve names by itself.
func (g Guard) Transport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Resolver: g.resolver, Control: g.control}
	return guarded{g, &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 200, MaxIdleConnsPerHost: 10, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 1 << 20,
	}}
}

// guarded is a transport that speaks https only.
type guarded struct {
	Guard
	next http.RoundTripper
}

// RoundTrip sends a request unless it is not https. Like every transport it follows no redirect by itself.
func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !(g.Loopback && loopbackHost(r.URL.Hostname())) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, ErrNotHTTPS
	}
	return g.next.RoundTrip(r)
}

// control judges the address of a connection before it is made.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !outside(a.Addr()) && !(g.Loopback && a.Addr().IsLoopback()) {
		return ErrInside
	}
	if g.allowed != nil {
		return g.allowed(address)
	}
	return nil
}

// outside reports whether an address is one on the public internet, as IANA's registries of special-purpose addresses
// have it (RFC 6890 and its successors). IPv4 in IPv6, translated or tunnelled, is not: nobody's EDR is reached so.
func outside(a netip.Addr) bool {
	a = a.WithZone("")
	if a.Is6() {
		return publicIPv6.Contains(a) && !slices.ContainsFunc(specialIPv6, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return a.Is4() && !slices.ContainsFunc(specialIPv4, func(p netip.Prefix) bool { return p.Contains(a) })
}

var publicIPv6 = netip.MustParsePrefix("2000::/3")

var specialIPv6 = prefixes(
	"2001::/23",     // protocols, Teredo
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4
	"3fff::/20",     // documentation
)

var specialIPv4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8",
	"100.64.0.0/10", // carriers' NAT, and the metadata of a cloud
	"127.0.0.0/8",
	"168.63.129.16/32", // Azure's own service on every virtual machine
	"169.254.0.0/16",   // link-local, the metadata of clouds
	"172.16.0.0/12",
	"192.0.0.0/24", // protocols, the metadata of a cloud
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", // multicast
	"240.0.0.0/4", // reserved, broadcast
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}
