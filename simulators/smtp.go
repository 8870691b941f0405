package simulators

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// The operations of the SMTP simulator.
const (
	opConnect = "connect" // a client connects, and waits for the greeting
	opData    = "data"    // a mail was handed over, up to the final dot
)

// smtpServer pretends to be the mail server of a provider or of a recipient's company.
// Its HTTP face serves nothing but steering.
type smtpServer struct {
	*stage
	temper
	user, password string
	journal        *journal
	server         *smtp.Server

	mu       sync.Mutex
	mails    map[string][]smtpMail // by recipient, in the order they were taken
	greeted  map[string]bool       // recipients that a greylisting server has put off once
	listener net.Listener
}

func newSMTPServer(s *stage, o Options, j *journal) *smtpServer {
	m := &smtpServer{stage: s, user: o.SMTPUser, password: o.SMTPPassword, journal: j,
		mails: map[string][]smtpMail{}, greeted: map[string]bool{}}
	m.personas = newPersonas(strings.ToLower, "accepted", "no-such-user", "mailbox-full", "greylisted")
	m.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &smtpSession{smtpServer: m, conn: c.Conn()}, nil
	}))
	m.server.Domain = "mail.simulator.example"
	m.server.AllowInsecureAuth = true // loopback only
	m.server.MaxMessageBytes = maxRequestBytes
	m.server.MaxRecipients = 100
	m.server.ReadTimeout, m.server.WriteTimeout = 5*time.Minute, time.Minute
	m.server.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	return m
}

func (m *smtpServer) name() string       { return "smtp" }
func (m *smtpServer) ops() []string      { return []string{opConnect, opData} }
func (m *smtpServer) steerFaults([]Rule) {}

// personasChanged makes a greylisting server forget whom it has put off.
func (m *smtpServer) personasChanged(keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.greeted, strings.ToLower(key))
	}
}

func (m *smtpServer) route(r *request) (string, func() answer) {
	return opUnknown, func() answer {
		m.violations.add(m.now(), opUnknown, r.Method+" is not served on this path")
		return m.refusal(http.StatusNotFound)
	}
}

func (m *smtpServer) refusal(status int) answer {
	return jsonAnswer(status, map[string]string{"error": "mail is taken by SMTP, only steering is served here"})
}

func (m *smtpServer) effects() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := map[string][]smtpMail{}
	for to, list := range m.mails {
		mails[to] = append([]smtpMail{}, list...)
	}
	return map[string]any{"mails": mails, "violations": m.violations.all()}
}

func (m *smtpServer) serve(l net.Listener) {
	m.mu.Lock()
	m.listener = l
	m.mu.Unlock()
	m.play(func(context.Context) { _ = m.server.Serve(&faultyListener{l, m}) })
}

// close cuts every connection; the listener is closed on its own, for the server does not
// know it before it has begun to serve.
func (m *smtpServer) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.server.Close()
	if m.listener != nil {
		_ = m.listener.Close()
	}
}

// note journals one command. For a cut connection status is 0 when nothing happened.
func (m *smtpServer) note(command, recipients, body string, status int, fault string) {
	e := Entry{Vendor: m.name(), At: m.now().UTC(), Method: command, Path: recipients, Headers: map[string]string{},
		Body: m.journal.scrub(body), Status: status, Fault: fault}
	if body != "" {
		e.ContentType = "message/rfc822"
	}
	m.journal.add(&e)
}

// mailboxKinds are the kinds of fault on an operation of a mail server.
func mailboxKinds(op string) []string {
	if op == opData {
		return []string{faultResetBefore, faultResetAfter, faultStatus, faultSlow}
	}
	return []string{faultRefuse, faultStatus}
}

// faultyListener refuses connections when a rule of op connect says so.
type faultyListener struct {
	net.Listener
	m *smtpServer
}

func (l *faultyListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		rule, faulty := l.m.faults.take(opConnect)
		if !faulty {
			return conn, nil
		}
		if rule.Kind == faultRefuse {
			l.m.note("CONNECT", "", "", 0, rule.Kind)
			reset(conn)
			continue
		}
		status := smtpStatus(rule, 421)
		l.m.note("CONNECT", "", "", status, rule.Kind)
		_, _ = conn.Write([]byte(itoa(status) + " 4.3.2 Service not available\r\n"))
		_ = conn.Close()
	}
}

func smtpStatus(rule Rule, absent int) int {
	if rule.Status == 0 {
		return absent
	}
	return rule.Status
}
