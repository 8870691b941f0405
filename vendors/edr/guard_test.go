package edr

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server on this machine. answer gets the number of the look-up, from 0. A look-up asks for addresses
// of IPv4 and of IPv6 at once and in no order, so that each kind of question is counted by itself.
type names struct {
	mu     sync.Mutex
	asked  map[dnsmessage.Type]int
	answer func(n int) []string
}

func (s *names) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := s.reply(buf[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *names) reply(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	out := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	if q.Type == dnsmessage.TypeA || q.Type == dnsmessage.TypeAAAA {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, text := range s.answer(s.asked[q.Type]) {
			a := netip.MustParseAddr(text)
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, Type: q.Type}
			switch {
			case a.Is4() && q.Type == dnsmessage.TypeA:
				out.Answers = append(out.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
			case a.Is6() && q.Type == dnsmessage.TypeAAAA:
				out.Answers = append(out.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
		if s.asked == nil {
			s.asked = map[dnsmessage.Type]int{}
		}
		s.asked[q.Type]++
	}
	packed, err := out.Pack()
	if err != nil {
		return nil
	}
	return packed
}

var errPassed = errors.New("the guard let it pass")

// watched is a guard that lets nothing leave this machine, and lists the addresses that it would let pass.
func watched(t *testing.T, g Guard, s *names) (http.RoundTripper, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var passed []string
	g.resolver = s.resolver(t)
	g.allowed = func(address string) error {
		mu.Lock()
		defer mu.Unlock()
		passed = append(passed, address)
		return errPassed
	}
	return g.Transport(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), passed...)
	}
}

func get(t *testing.T, rt http.RoundTripper, raw string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// rejectedURLs may not be a base URL of CrowdStrike, and none is connected to when the names lead where the note says.
var rejectedURLs = []struct{ url, address string }{
	// not https, or more than a host
	{"http://api.crowdstrike.com", "8.8.8.8"}, {"ftp://api.crowdstrike.com", "8.8.8.8"}, {"file:///etc/passwd", "8.8.8.8"},
	{"gopher://api.crowdstrike.com/1", "8.8.8.8"}, {"//api.crowdstrike.com", "8.8.8.8"}, {"api.crowdstrike.com", "8.8.8.8"},
	{"", "8.8.8.8"}, {"https://", "8.8.8.8"}, {"https:///path", "8.8.8.8"}, {"https:api.crowdstrike.com", "8.8.8.8"},
	// loopback
	{"https://127.0.0.1", ""}, {"https://127.1.2.3:8443", ""}, {"https://localhost", "127.0.0.1"}, {"https://[::1]", ""},
	{"http://127.0.0.1:8080", ""}, {"https://127.1", "127.0.0.1"}, {"https://2130706433", "127.0.0.1"}, {"https://0x7f000001", "127.0.0.1"},
	{"https://0177.0.0.1", "127.0.0.1"}, {"https://localhost.", "127.0.0.1"}, {"https://localtest.example", "127.0.0.1"},
	{"https://[::ffff:127.0.0.1]", ""}, {"https://[0:0:0:0:0:ffff:7f00:1]", ""}, {"https://[::127.0.0.1]", ""},
	// unspecified
	{"https://0.0.0.0", ""}, {"https://[::]", ""}, {"https://0", "0.0.0.0"}, {"https://0.1.2.3", ""},
	// private
	{"https://10.0.0.1", ""}, {"https://10.255.255.255", ""}, {"https://172.16.0.1", ""}, {"https://172.31.255.254", ""},
	{"https://192.168.1.1", ""}, {"https://[::ffff:10.0.0.1]", ""}, {"https://[::ffff:c0a8:101]", ""}, {"https://[fc00::1]", ""},
	{"https://[fd12:3456:789a::1]", ""}, {"https://kibana.corp.example", "192.168.10.20"}, {"https://kibana6.corp.example", "fd00::20"},
	// link-local, metadata of clouds
	{"https://169.254.169.254", ""}, {"http://169.254.169.254/latest/meta-data/", ""}, {"https://[fd00:ec2::254]", ""},
	{"https://[fe80::1]", ""}, {"https://[fe80::1%25lo]", ""}, {"https://100.100.100.200", ""}, {"https://192.0.0.192", ""},
	{"https://168.63.129.16", ""}, {"https://metadata.google.internal", "169.254.169.254"}, {"https://[::ffff:a9fe:a9fe]", ""},
	// carriers' NAT, multicast, reserved, translated, tunnelled, documentation
	{"https://100.64.0.1", ""}, {"https://100.127.255.254", ""}, {"https://224.0.0.1", ""}, {"https://239.255.255.250", ""},
	{"https://255.255.255.255", ""}, {"https://240.0.0.1", ""}, {"https://198.18.0.1", ""}, {"https://203.0.113.7", ""},
	{"https://[ff02::1]", ""}, {"https://[64:ff9b::7f00:1]", ""}, {"https://[64:ff9b::a9fe:a9fe]", ""}, {"https://[2002:7f00:1::]", ""},
	{"https://[2001:0:7f00:1::]", ""}, {"https://[2001:db8::1]", ""}, {"https://[fec0::1]", ""}, {"https://[100::1]", ""},
}

func TestInsideIsNeverReached(t *testing.T) {
	if len(rejectedURLs) < 60 {
		t.Fatalf("only %d addresses", len(rejectedURLs))
	}
	for _, c := range rejectedURLs {
		t.Run(c.url, func(t *testing.T) {
			g := Guard{}
			if err := g.CheckURL(c.url, []string{"crowdstrike.com"}); err == nil {
				t.Error("it may be a base URL")
			}
			s := &names{answer: func(int) []string {
				if c.address == "" {
					return nil
				}
				return []string{c.address}
			}}
			rt, passed := watched(t, g, s)
			if err := get(t, rt, c.url); err == nil {
				t.Error("it was reached")
			}
			if got := passed(); len(got) > 0 {
				t.Errorf("a connection to %v was begun", got)
			}
		})
	}
}

func TestForeignHostsAreNoBaseURL(t *testing.T) {
	g := Guard{Extra: []string{"kibana.example"}}
	for _, raw := range []string{
		"https://api.crowdstrike.com.evil.example", "https://crowdstrike.com.", "https://notcrowdstrike.com", "https://crowdstrike.com@evil.example",
		"https://evil.example/crowdstrike.com", "https://evil.example?crowdstrike.com", "https://evil.example#.crowdstrike.com",
		"https://evil.example\\.crowdstrike.com", "https://user:pass@api.crowdstrike.com", "https://api.crowdstrike.com?x=1",
		"https://api.crowdstrike.com/../..", "https://8.8.8.8", "https://api.crowdstrıke.com", "https://xkibana.example",
		"https://-a.crowdstrike.com", "https://*.crowdstrike.com", "https://api%2ecrowdstrike.com", "https://api.crowdstrike.com:99999999x",
	} {
		if err := g.CheckURL(raw, []string{"crowdstrike.com"}); !errors.Is(err, ErrNotHTTPS) && !errors.Is(err, ErrForeignHost) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, raw := range []string{
		"https://crowdstrike.com", "https://api.eu-1.crowdstrike.com", "https://API.CrowdStrike.com/", "https://kibana.example:9243/base", "https://a.kibana.example",
	} {
		if err := g.CheckURL(raw, []string{"crowdstrike.com"}); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if err := (Guard{}).CheckURL("http://127.0.0.1:1", nil); err == nil {
		t.Error("simulators are allowed")
	}
	for _, raw := range []string{"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1/edr"} {
		if err := (Guard{Loopback: true}).CheckURL(raw, nil); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, raw := range []string{"http://10.0.0.1", "http://api.crowdstrike.com", "http://127.0.0.1.evil.example", "http://localhost.evil.example"} {
		if err := (Guard{Loopback: true}).CheckURL(raw, []string{"crowdstrike.com"}); err == nil {
			t.Errorf("%s is allowed in development", raw)
		}
	}
}

func TestANameThatChangesItsAnswer(t *testing.T) {
	for name, inside := range map[string]string{"metadata": "169.254.169.254", "loopback": "127.0.0.1", "private": "10.1.2.3", "mapped": "::ffff:10.1.2.3", "local": "fd00::1"} {
		t.Run(name, func(t *testing.T) {
			s := &names{answer: func(n int) []string {
				if n == 0 {
					return []string{"8.8.8.8"}
				}
				return []string{inside}
			}}
			rt, passed := watched(t, Guard{}, s)
			if err := get(t, rt, "https://api.crowdstrike.com"); !errors.Is(err, errPassed) {
				t.Fatalf("the first answer is a public one: %v", err)
			}
			for range 3 {
				if err := get(t, rt, "https://api.crowdstrike.com"); !errors.Is(err, ErrInside) {
					t.Errorf("then: %v", err)
				}
			}
			if got := passed(); len(got) != 1 || got[0] != "8.8.8.8:443" {
				t.Errorf("connections to %v were begun", got)
			}
		})
	}
	t.Run("public and private at once", func(t *testing.T) {
		rt, passed := watched(t, Guard{}, &names{answer: func(int) []string { return []string{"10.0.0.5", "8.8.8.8", "127.0.0.1"} }})
		if err := get(t, rt, "https://api.crowdstrike.com"); err == nil {
			t.Error("it was reached")
		}
		for _, a := range passed() {
			if a != "8.8.8.8:443" {
				t.Errorf("a connection to %s was begun", a)
			}
		}
	})
}

func TestSimulatorsAreReachedInDevelopmentOnly(t *testing.T) {
	var hits int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "http://"+r.Host+"/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	if err := get(t, Guard{}.Transport(), s.URL); !errors.Is(err, ErrNotHTTPS) {
		t.Errorf("in production: %v", err)
	}
	if err := get(t, Guard{}.Transport(), strings.Replace(s.URL, "http:", "https:", 1)); !errors.Is(err, ErrInside) {
		t.Errorf("in production: %v", err)
	}
	if err := get(t, Guard{Loopback: true}.Transport(), s.URL); err != nil {
		t.Errorf("in development: %v", err)
	}
	if hits != 1 {
		t.Errorf("%d requests arrived: a redirect was followed, or one of production", hits)
	}
}
