// Package smtp pretends to be the mail server of a provider or of a recipient's company.
package smtp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The operations of the SMTP simulator.
const (
	opConnect = "connect" // a client connects, and waits for the greeting
	opData    = "data"    // a mail was handed over, up to the final dot
)

// Server is the mail server. Over HTTP it takes nothing but steering.
type Server struct {
	*stage.Stage
	stage.Steering
	user, password string
	journal        *stage.Journal
	server         *smtp.Server

	mu       sync.Mutex
	mails    map[string][]mail // by recipient, the oldest first
	greeted  map[string]bool   // recipients that the server has put off once, as greylisting does
	listener net.Listener
}

// Options say how the server takes mails.
type Options struct {
	User, Password string // the login that a client needs, both "" asks for none
	UTF8           bool   // offers SMTPUTF8
}

// New makes the mail server. The journal receives its SMTP commands.
func New(s *stage.Stage, o Options, j *stage.Journal) (*Server, error) {
	if (o.User == "") != (o.Password == "") {
		return nil, errors.New("smtp simulator: the login is half set, set both the user and the password or neither")
	}
	m := &Server{Stage: s, user: o.User, password: o.Password, journal: j,
		mails: map[string][]mail{}, greeted: map[string]bool{}}
	m.Personas = stage.NewPersonas(strings.ToLower, "accepted", "no-such-user", "mailbox-full", "greylisted")
	m.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{Server: m, conn: c.Conn()}, nil
	}))
	m.server.Domain = "mail.simulator.example"
	m.server.EnableSMTPUTF8 = o.UTF8
	m.server.AllowInsecureAuth = true // loopback only
	m.server.MaxMessageBytes = stage.MaxRequestBytes
	m.server.MaxRecipients = 100
	m.server.ReadTimeout, m.server.WriteTimeout = 5*time.Minute, time.Minute
	m.server.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	s.OnClose(m.close)
	return m, nil
}

// Name implements stage.Vendor.
func (m *Server) Name() string { return "smtp" }

// Ops implements stage.Vendor.
func (m *Server) Ops() []string { return []string{opConnect, opData} }

// SteerFaults implements stage.Vendor; the server has no tokens to void.
func (m *Server) SteerFaults([]stage.Rule) {}

// PersonasChanged makes the server forget the recipients it has put off.
func (m *Server) PersonasChanged(keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.greeted, strings.ToLower(key))
	}
}

// Route answers every path with a refusal: steering has its own paths, and mail comes by SMTP.
func (m *Server) Route(r *stage.Request) (string, func() stage.Answer) {
	return stage.OpUnknown, func() stage.Answer {
		m.Violations.Add(m.Now(), stage.OpUnknown, r.Method+" is not served on this path")
		return m.Refusal(http.StatusNotFound)
	}
}

// Refusal implements stage.Vendor.
func (m *Server) Refusal(status int) stage.Answer {
	return stage.AnswerJSON(status, map[string]string{"error": "mail is taken by SMTP, only steering is served here"})
}

// Effects lists the mails by recipient, the oldest first.
func (m *Server) Effects() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := map[string][]mail{}
	for to, list := range m.mails {
		mails[to] = append([]mail{}, list...)
	}
	return map[string]any{"mails": mails, "violations": m.Violations.All()}
}

// ServeSMTP takes mails from a listener until the stage closes.
func (m *Server) ServeSMTP(l net.Listener) {
	m.mu.Lock()
	m.listener = l
	m.mu.Unlock()
	m.Play(func(context.Context) { _ = m.server.Serve(&faultyListener{l, m}) })
}

// close cuts every connection. It closes the listener too, because the server does not know the
// listener before it has begun to serve.
func (m *Server) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.server.Close()
	if m.listener != nil {
		_ = m.listener.Close()
	}
}

// noteCommand journals one command. The status of a connection cut before anything happened is 0.
func (m *Server) noteCommand(command, recipients, body string, status int, fault string) {
	e := stage.Entry{Vendor: m.Name(), At: m.Now().UTC(), Method: command, Path: recipients, Headers: map[string]string{},
		Body: body, Status: status, Fault: fault}
	if body != "" {
		e.ContentType = "message/rfc822"
	}
	m.journal.Record(e)
}

// FaultKinds returns the kinds of fault on an operation of a mail server.
func (m *Server) FaultKinds(op string) []string {
	if op == opData {
		return []string{stage.FaultResetBefore, stage.FaultResetAfter, stage.FaultStatus, stage.FaultSlow}
	}
	return []string{stage.FaultRefuse, stage.FaultStatus}
}

// faultyListener refuses connections when a rule of op connect says so.
type faultyListener struct {
	net.Listener
	m *Server
}

func (l *faultyListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		rule, faulty := l.m.Faults.UseRule(opConnect)
		if !faulty {
			return conn, nil
		}
		if rule.Kind == stage.FaultRefuse {
			l.m.noteCommand("CONNECT", "", "", 0, rule.Kind)
			stage.ResetConnection(conn)
			continue
		}
		status := statusOf(rule, 421)
		l.m.noteCommand("CONNECT", "", "", status, rule.Kind)
		_, _ = conn.Write([]byte(strconv.Itoa(status) + " 4.3.2 Service not available\r\n"))
		_ = conn.Close()
	}
}

func statusOf(rule stage.Rule, absent int) int {
	if rule.Status == 0 {
		return absent
	}
	return rule.Status
}
