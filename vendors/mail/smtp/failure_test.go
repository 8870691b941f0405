package smtp

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/watchfire-mdr/watchfire/models"
)

func vendorError(t *testing.T, err error) *models.VendorError {
	t.Helper()
	var v *models.VendorError
	if !errors.As(err, &v) {
		t.Fatalf("not a vendor error: %v", err)
	}
	if v.Vendor != "smtp" || v.Op != "send mail" {
		t.Errorf("the error names %s: %s", v.Vendor, v.Op)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, secret := range []string{to, "soc@mdr.example", user, password, "server's words"} {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("an error text holds %q: %v", secret, e)
			}
		}
	}
	return v
}

func rejecting(code int, enhanced ...int) func() error {
	return func() error {
		return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode(enhanced), Message: "the server's words on " + to}
	}
}

func TestRejections(t *testing.T) {
	for _, c := range []struct {
		name  string
		relay *relay
		class models.VendorClass
		code  string
	}{
		{"our sender", &relay{onMail: rejecting(550, 5, 7, 1)}, models.Config, "550 5.7.1"},
		{"our sender, for now", &relay{onMail: rejecting(451, 4, 3, 0)}, models.Transient, "451 4.3.0"},
		{"log in first", &relay{onMail: rejecting(530, 5, 7, 0)}, models.Config, "530 5.7.0"},
		{"unknown mailbox", &relay{onRcpt: rejecting(550, 5, 1, 1)}, models.Rejected, "550 5.1.1"},
		{"full mailbox", &relay{onRcpt: rejecting(552, 5, 2, 2)}, models.Rejected, "552 5.2.2"},
		{"grey list", &relay{onRcpt: rejecting(450, 4, 2, 0)}, models.Transient, "450 4.2.0"},
		{"log in first, said late", &relay{onRcpt: rejecting(530, 5, 7, 0)}, models.Config, "530 5.7.0"},
		{"content rejected", &relay{onData: rejectingData(554, 5, 6, 0)}, models.Rejected, "554 5.6.0"},
		{"content rejected, for now", &relay{onData: rejectingData(452, 4, 3, 1)}, models.Transient, "452 4.3.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := mailerAt(t, Settings{Addr: c.relay.listen(t, "none"), TLS: "none"}).Send(t.Context(), letter)
			if v := vendorError(t, err); v.Class != c.class || v.Code != c.code {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func rejectingData(code int, enhanced ...int) func(*gosmtp.Conn, io.Reader) error {
	return func(_ *gosmtp.Conn, r io.Reader) error {
		_, _ = io.Copy(io.Discard, r)
		return rejecting(code, enhanced...)()
	}
}

func TestOddAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string]string
		class   models.VendorClass
		code    string
	}{
		{"greeting rejected", map[string]string{"GREETING": "554 the server's words"}, models.Transient, "554"},
		{"greeting rejected for now", map[string]string{"GREETING": "421 the server's words"}, models.Transient, "421"},
		{"not SMTP", map[string]string{"GREETING": "HTTP/1.1 400 the server's words"}, models.Transient, ""},
		{"cut before the greeting", map[string]string{"GREETING": "cut"}, models.Transient, ""},
		{"hello rejected", map[string]string{"EHLO": "550 the server's words", "HELO": "550 the server's words"}, models.Transient, "550"},
		{"cut at the sender", map[string]string{"MAIL": "cut"}, models.Transient, ""},
		{"cut at the recipient", map[string]string{"RCPT": "cut"}, models.Transient, ""},
		{"closing at the recipient", map[string]string{"RCPT": "421 4.3.2 the server's words", "RSET": "cut"}, models.Transient, "421"},
		{"DATA rejected", map[string]string{"DATA": "554 the server's words"}, models.Rejected, "554"},
		{"DATA rejected for now", map[string]string{"DATA": "451 the server's words"}, models.Transient, "451"},
		{"cut at DATA", map[string]string{"DATA": "cut"}, models.Transient, ""},
		{"cut after the message", map[string]string{"DOT": "cut"}, models.Ambiguous, ""},
		{"nonsense after the message", map[string]string{"DOT": "the server's words"}, models.Ambiguous, ""},
		{"another success after the message", map[string]string{"DOT": "252 the server's words"}, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, closed := script(t, c.answers)
			_, err := mailerAt(t, Settings{Addr: addr, TLS: "none"}).Send(t.Context(), letter)
			if v := vendorError(t, err); v.Class != c.class || v.Code != c.code {
				t.Errorf("got %+v", v)
			}
			<-closed // no connection is left behind
		})
	}
}

func TestAcceptedIsAcceptedWhateverFollows(t *testing.T) {
	for _, goodbye := range []string{"cut", "500 the server's words"} {
		addr, closed := script(t, map[string]string{"QUIT": goodbye})
		if _, err := mailerAt(t, Settings{Addr: addr, TLS: "none"}).Send(t.Context(), letter); err != nil {
			t.Errorf("%s: %v", goodbye, err)
		}
		<-closed
	}
}

func TestLoginFailures(t *testing.T) {
	for _, c := range []struct {
		name    string
		relay   *relay
		secured string
		class   models.VendorClass
		code    string
	}{
		{"wrong password", &relay{mechanisms: []string{"PLAIN"}, onLogin: rejecting(535, 5, 7, 8)}, "starttls", models.Config, "535"},
		{"wrong password by LOGIN", &relay{mechanisms: []string{"LOGIN"}, onLogin: rejecting(535, 5, 7, 8)}, "starttls", models.Config, "535"},
		{"directory down", &relay{mechanisms: []string{"PLAIN"}, onLogin: rejecting(454, 4, 7, 0)}, "starttls", models.Transient, "454"},
		{"no login offered", &relay{}, "starttls", models.Config, "no_login"},
		{"no login in common", &relay{mechanisms: []string{"CRAM-MD5"}}, "implicit", models.Config, "no_login"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mailerAt(t, Settings{Addr: c.relay.listen(t, c.secured), TLS: c.secured, User: user, Password: password})
			_, err := m.Send(t.Context(), letter)
			if v := vendorError(t, err); v.Class != c.class || v.Code != c.code {
				t.Errorf("got %+v", v)
			}
			if len(c.relay.all()) != 0 {
				t.Error("mail was sent without a login")
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		addr, closed := script(t, map[string]string{"EHLO": "250-relay.example\r\n250 AUTH PLAIN", "AUTH": "cut"})
		_, err := mailerAt(t, Settings{Addr: addr, TLS: "none", User: user, Password: password}).Send(t.Context(), letter)
		if v := vendorError(t, err); v.Class != models.Transient {
			t.Errorf("got %+v", v)
		}
		<-closed
	})
}

func TestNothingIsSentWithoutTheProtectionAskedFor(t *testing.T) {
	t.Run("STARTTLS not offered", func(t *testing.T) {
		addr, closed := script(t, map[string]string{
			"EHLO": "250-relay.example\r\n250 AUTH PLAIN", "AUTH": "235 ok", "DOT": "250 ok",
		})
		_, err := mailerAt(t, Settings{Addr: addr, User: user, Password: password}).Send(t.Context(), letter)
		if v := vendorError(t, err); v.Class != models.Transient || v.Cause == nil {
			t.Errorf("got %+v", v)
		}
		<-closed
	})
	for _, secured := range []string{"starttls", "implicit"} {
		t.Run("untrusted certificate, "+secured, func(t *testing.T) {
			s := &relay{}
			m, err := New(Settings{Addr: s.listen(t, secured), From: "soc@mdr.example", TLS: secured})
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.Send(t.Context(), letter)
			if v := vendorError(t, err); v.Class != models.Transient || v.Cause == nil || len(s.all()) != 0 {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = mailerAt(t, Settings{Addr: l.Addr().String(), TLS: "none"}).Send(t.Context(), letter)
	if v := vendorError(t, err); v.Class != models.Transient || v.Cause == nil {
		t.Errorf("got %+v", v)
	}
}

func TestCancelled(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := &relay{}
		_, err := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none"}).Send(ctx, letter)
		if v := vendorError(t, err); v.Class != models.Transient || !errors.Is(err, context.Canceled) || len(s.all()) != 0 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("at the recipient", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		defer close(over)
		s := &relay{onRcpt: func() error { cancel(); <-over; return nil }}
		_, err := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none"}).Send(ctx, letter)
		if v := vendorError(t, err); v.Class != models.Transient || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("after the message", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		defer close(over)
		s := &relay{onData: func(_ *gosmtp.Conn, r io.Reader) error {
			_, _ = io.Copy(io.Discard, r)
			cancel()
			<-over
			return nil
		}}
		_, err := mailerAt(t, Settings{Addr: s.listen(t, "starttls")}).Send(ctx, letter)
		if v := vendorError(t, err); v.Class != models.Ambiguous || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("within the message", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		s := &relay{onData: func(_ *gosmtp.Conn, r io.Reader) error {
			_, _ = io.CopyN(io.Discard, r, 1000)
			cancel()
			<-ctx.Done()
			_, err := io.Copy(io.Discard, r)
			end <- err
			return err
		}}
		long := letter
		long.Text = strings.Repeat("All work and no play. ", 1_000_000)
		// Longer than what the sockets' buffers take; a slow machine must not run into the timeout before.
		_, err := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none", Timeout: time.Minute}).Send(ctx, long)
		if v := vendorError(t, err); v.Class != models.Ambiguous || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v", v)
		}
		if err := <-end; err == nil {
			t.Error("half a message was ended as if it were whole")
		}
	})
}

func TestTooSlow(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	for name, c := range map[string]struct {
		relay   *relay
		timeout time.Duration
		class   models.VendorClass
	}{
		"at the sender": {&relay{onMail: func() error { <-over; return nil }}, 50 * time.Millisecond, models.Transient},
		"after the message": {&relay{onData: func(_ *gosmtp.Conn, r io.Reader) error {
			_, _ = io.Copy(io.Discard, r)
			<-over
			return nil
		}}, 3 * time.Second, models.Ambiguous},
	} {
		m := mailerAt(t, Settings{Addr: c.relay.listen(t, "none"), TLS: "none", Timeout: c.timeout})
		_, err := m.Send(t.Context(), letter)
		if v := vendorError(t, err); v.Class != c.class || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestSendRejectsWithoutAsking(t *testing.T) {
	m := mailerAt(t, Settings{Addr: "127.0.0.1:1", TLS: "none"})
	for code, spoil := range map[string]func(*models.OutboundMail){
		"invalid_address": func(o *models.OutboundMail) { o.To = "bob@x.example\r\nRCPT TO:<c@x.example>" },
		"no_content":      func(o *models.OutboundMail) { o.Text, o.HTML = "", "" },
		"no_subject":      func(o *models.OutboundMail) { o.Subject = "\r\n" },
		"no_message_id":   func(o *models.OutboundMail) { o.MessageID = "<>" },
	} {
		out := letter
		spoil(&out)
		_, err := m.Send(t.Context(), out)
		if v := vendorError(t, err); v.Class != models.Rejected || v.Code != code {
			t.Errorf("%s: %+v", code, v)
		}
	}
}
