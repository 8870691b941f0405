package smtp

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/exchange"
)

// farewell bounds the wait for the server's goodbye, which changes nothing any more.
const farewell = time.Second

// delivery is one connection for one message. It is used by one goroutine.
type delivery struct {
	mailer  *Mailer
	op      exchange.Op
	ctx     context.Context // in a field because go-mail heeds it only while connecting
	login   *login          // nil when there is no user
	client  *gomail.Client
	session *smtp.Client
}

// open connects, secures the connection and logs in. Nothing of the message is sent yet.
// SMTPUTF8 is asked for only where an address needs it, because of what is before its @: a server
// may reject or lose an ordinary message that was marked so without need. Rejected: an address needs
// it and the server does not take it.
func (d *delivery) open(plainAddresses bool) *models.VendorError {
	m := d.mailer
	options := []gomail.Option{
		gomail.WithDialContextFunc(d.dial), gomail.WithTLSConfig(m.tls), gomail.WithTLSPolicy(gomail.NoTLS),
		gomail.WithTimeout(2 * m.timeout), // d.ctx ends before
		gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if m.protection == startTLS {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if m.user != "" {
		d.login = &login{user: m.user, password: m.password}
		options = append(options, gomail.WithSMTPAuthCustom(d.login))
	}
	if plainAddresses {
		options = append(options, gomail.WithoutSMTPUTF8())
	}
	var err error
	if d.client, err = gomail.NewClient(m.host, options...); err != nil {
		return d.op.Failed(models.Config, "client")
	}
	if d.session, err = d.client.DialToSMTPClientWithContext(d.ctx); err != nil {
		return d.notOpened(err)
	}
	if takes, _ := d.session.Extension("SMTPUTF8"); !takes && !plainAddresses {
		_ = d.session.Quit()
		return d.op.Failed(models.Rejected, "no_smtputf8")
	}
	return nil
}

// dial connects to the configured address. The connection ends with d.ctx, so at the latest with
// Send: go-mail would not notice the one and leaves connections open after some failures.
func (d *delivery) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.mailer.addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	if d.mailer.protection != implicit {
		return conn, nil
	}
	secured := tls.Client(conn, d.mailer.tls)
	return secured, secured.HandshakeContext(ctx)
}

// hand sends the message and says goodbye. After a failure it says nothing more: the library
// ends a message cut in the middle when it sends its next command.
func (d *delivery) hand(message *gomail.Msg) *models.VendorError {
	if err := d.client.SendWithSMTPClient(d.session, message); err != nil {
		return d.notHanded(err)
	}
	if d.session.UpdateDeadline(farewell) == nil {
		_ = d.session.Quit()
	}
	return nil
}
