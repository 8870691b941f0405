package smtp

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

const (
	user     = "watchfire"
	password = "s3cret-pass"
)

// received is one message a relay took, as it came over the wire.
type received struct {
	from, to string
	raw      string
	tls      bool
	utf8     bool // SMTPUTF8 was asked for
	user     string
}

// relay is a strict SMTP server that keeps what it takes. The hooks may reject.
type relay struct {
	t          *testing.T
	mechanisms []string // offered, "PLAIN" or "LOGIN"
	plain      bool     // does not offer SMTPUTF8
	onLogin    func() error
	onMail     func() error
	onRcpt     func() error
	onData     func(c *gosmtp.Conn, r io.Reader) error // instead of keeping the message

	mu    sync.Mutex
	taken []received
}

// listen starts the relay and returns its address. secured is "starttls", "implicit" or "none".
func (s *relay) listen(t *testing.T, secured string) string {
	t.Helper()
	s.t = t
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &session{relay: s, conn: c}, nil
	}))
	server.Domain, server.AllowInsecureAuth = "relay.example", secured == "none"
	server.EnableSMTPUTF8 = !s.plain
	server.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: certificate().TLS.Certificates, MinVersion: tls.VersionTLS12}
	switch secured {
	case "starttls":
		server.TLSConfig = config
	case "implicit":
		l = tls.NewListener(l, config)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

func (s *relay) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.taken...)
}

type session struct {
	relay *relay
	conn  *gosmtp.Conn
	now   received
}

func (s *session) Reset()        { s.now = received{user: s.now.user} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return s.relay.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(name, word string) error {
		if s.relay.onLogin != nil {
			return s.relay.onLogin()
		}
		if name != user || word != password {
			return gosmtp.ErrAuthFailed
		}
		s.now.user = name
		return nil
	}
	if mechanism == "LOGIN" {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, name, word string) error { return check(name, word) }), nil
}

// loginServer is the server's side of the mechanism LOGIN.
type loginServer struct {
	step  int
	name  string
	check func(name, word string) error
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.name = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.name, string(response))
}

func (s *session) Mail(from string, opts *gosmtp.MailOptions) error {
	if len(s.relay.mechanisms) > 0 && s.now.user == "" {
		return gosmtp.ErrAuthRequired
	}
	s.now.from, s.now.utf8 = from, opts.UTF8
	return call(s.relay.onMail)
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if s.now.to != "" {
		s.relay.t.Error("a second recipient")
	}
	s.now.to = to
	return call(s.relay.onRcpt)
}

func (s *session) Data(r io.Reader) error {
	if s.relay.onData != nil {
		return s.relay.onData(s.conn, r)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.now.raw = string(raw)
	_, s.now.tls = s.conn.TLSConnectionState()
	for line := range strings.SplitAfterSeq(s.now.raw, "\n") {
		if bare := strings.TrimSuffix(line, "\r\n"); len(bare) > 998 || strings.ContainsAny(bare, "\r\n\x00") {
			s.relay.t.Errorf("not a line of RFC 5321: %q", line)
		}
	}
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.taken = append(s.relay.taken, s.now)
	return nil
}

func call(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

// certificate lends a certificate for 127.0.0.1.
var certificate = sync.OnceValue(func() *httptest.Server {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return s
})

// mailerAt returns a mailer that trusts the relay's certificate.
func mailerAt(t *testing.T, s Settings) *Mailer {
	t.Helper()
	if s.From == "" {
		s.From, s.FromName = "soc@mdr.example", "MDR"
	}
	m, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	m.tls.RootCAs = x509.NewCertPool()
	m.tls.RootCAs.AddCert(certificate().Certificate())
	return m
}

// script is a server that says what a well-made one never would: the answers by command, in
// upper case, besides GREETING and DOT (the end of a message). "cut" closes the connection.
func script(t *testing.T, answers map[string]string) (addr string, closed <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	over := make(chan struct{})
	go func() {
		defer close(over)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if err := recite(conn, answers); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}()
	return l.Addr().String(), over
}

func recite(conn io.ReadWriter, answers map[string]string) error {
	usual := map[string]string{
		"GREETING": "220 relay.example", "EHLO": "250 relay.example", "MAIL": "250 ok", "RCPT": "250 ok",
		"DATA": "354 go on", "DOT": "250 ok", "QUIT": "221 bye", "RSET": "250 ok",
	}
	in, step := bufio.NewReader(conn), "GREETING"
	for {
		answer, ok := answers[step]
		if !ok {
			answer = usual[step]
		}
		if answer == "cut" {
			return nil
		}
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
			return err
		}
		inside := step == "DATA" && strings.HasPrefix(answer, "354")
		for step = ""; step == ""; {
			line, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch {
			case !inside:
				step = strings.ToUpper(verb)
			case line == ".\r\n":
				step = "DOT"
			}
		}
	}
}
