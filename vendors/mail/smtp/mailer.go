// Package smtp hands mail to an SMTP server (RFC 5321), for operators who send through a relay
// instead of a mail vendor.
//
// It does not write mails, decide who gets one, or learn what becomes of one: returned mail goes
// to the sender's mailbox.
//
// SMTP has no idempotency key and no way to ask for a message again: after a failed Send of class
// models.Ambiguous nobody knows. A second Send carries the same Message-ID, by which mail
// programs show the message once.
package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
	"github.com/watchfire-mdr/watchfire/vendors/internal/letterhead"
)

const vendor = "smtp"

// The ways to protect a connection.
const (
	startTLS = "starttls" // begin in the clear, stop where there is no TLS
	implicit = "implicit" // TLS from the first byte
	noTLS    = "none"     // this machine only
)

// Settings are an operator's settings for one SMTP server.
type Settings struct {
	Addr     string // host:port, such as "mail.example.com:587"
	User     string // "" sends without logging in
	Password string
	From     string        // the sender's address
	FromName string        // shown beside it, may be ""
	TLS      string        // "starttls" (or ""), "implicit", or "none", which is for the loopback interface only
	Timeout  time.Duration // per message, 0 = 10 s
}

// Mailer sends mail as one sender, over a connection of its own for every message. It is safe
// for concurrent use. Every error its methods return is a *models.VendorError.
type Mailer struct {
	addr, host     string
	user, password string
	from           mail.Address
	protection     string
	tls            *tls.Config
	timeout        time.Duration
}

// New checks the settings and returns a Mailer. It does not contact the server. Errors name the
// setting at fault and never its value.
func New(s Settings) (*Mailer, error) {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil || host == "" {
		return nil, errors.New("smtp: the server must be given as host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("smtp: the port must be a number from 1 to 65535")
	}
	from := letterhead.Address(s.From)
	if s.TLS == "" {
		s.TLS = startTLS
	}
	if s.Timeout == 0 {
		s.Timeout = exchange.DefaultTimeout
	}
	switch {
	case (s.User == "") != (s.Password == ""):
		return nil, errors.New("smtp: user and password belong together")
	case from == "":
		return nil, errors.New("smtp: the sender must be a mail address")
	case s.TLS != startTLS && s.TLS != implicit && s.TLS != noTLS:
		return nil, errors.New("smtp: TLS must be starttls, implicit or none")
	case s.TLS == noTLS && !exchange.Loopback(&url.URL{Host: s.Addr}):
		return nil, errors.New("smtp: a server elsewhere needs TLS; none is for the loopback interface only")
	case s.Timeout < 0:
		return nil, errors.New("smtp: the timeout is negative")
	}
	return &Mailer{
		addr: s.Addr, host: host, user: s.User, password: s.Password,
		from:       mail.Address{Name: letterhead.Name(s.FromName), Address: from},
		protection: s.TLS, tls: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12},
		timeout: s.Timeout,
	}, nil
}

// Send hands one message to the server and returns the id under which the server queued it, or
// the Message-ID where the server names none. Success means accepted, not delivered. out.Opaque
// is not sent: nothing would echo it.
//
// Transient: nothing was accepted, send it again. Ambiguous: the message was on its way when the
// answer was lost. Rejected: the server will not take this message for this address. Config: it
// rejects our user or our sender.
func (m *Mailer) Send(ctx context.Context, out models.OutboundMail) (vendorID string, err error) {
	op := exchange.Op{Vendor: vendor, Name: "send mail", Effect: true}
	out.To = letterhead.Address(out.To)
	message, unfit := m.compose(out)
	if unfit != "" {
		return "", op.Failed(models.Rejected, unfit)
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel() // closes the connection
	d := &delivery{mailer: m, op: op, ctx: ctx}
	if failed := d.open(ascii(out.To) && ascii(m.from.Address)); failed != nil {
		return "", failed
	}
	if failed := d.hand(message); failed != nil {
		return "", failed
	}
	return queueID(message.ServerResponse(), out), nil
}

// Lookup always returns found = false without an error: an SMTP server cannot be asked whether
// it has a message. A caller that looks up after an ambiguous Send will send again, so the person
// may get the message twice, with the same Message-ID; for the mails of this platform that is
// better than not at all.
func (m *Mailer) Lookup(context.Context, models.OutboundMail, time.Time) (vendorID string, found bool, err error) {
	return "", false, nil
}
