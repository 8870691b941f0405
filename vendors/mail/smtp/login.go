package smtp

import (
	"errors"
	"slices"

	"github.com/wneessen/go-mail/smtp"
)

var errNoMechanism = errors.New("the server offers neither PLAIN nor LOGIN")

// login is the first mechanism that the server offers of PLAIN (RFC 4616) and LOGIN. Both send
// the password as it is, but not over a connection in the clear. It also remembers how far
// it came, because the library's error does not tell.
type login struct {
	smtp.Auth
	user, password string
	begun          bool
	impossible     bool // nothing was sent: no mechanism in common, or no TLS
}

// Start chooses the mechanism.
func (l *login) Start(server *smtp.ServerInfo) (proto string, toServer []byte, err error) {
	l.begun = true
	switch {
	case slices.Contains(server.Auth, "PLAIN"):
		l.Auth = smtp.PlainAuth("", l.user, l.password, server.Name, false)
	case slices.Contains(server.Auth, "LOGIN"):
		l.Auth = smtp.LoginAuth(l.user, l.password, server.Name, false)
	default:
		l.impossible = true
		return "", nil, errNoMechanism
	}
	proto, toServer, err = l.Auth.Start(server)
	l.impossible = err != nil
	return proto, toServer, err
}
