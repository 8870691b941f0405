package smtp

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

const to = "ciso@client.example"

var letter = models.OutboundMail{
	To: to, ToName: "Chris Example",
	Subject: "[SI-1042-0007] revision 1: critical incident",
	Text:    "Please read.\n.\nÜber", HTML: "<p>Please read.</p>",
	MessageID:  "abc123@mdr.example",
	References: []string{"first@mdr.example", "second@mdr.example"},
	Opaque:     map[string]string{"mdr_delivery_id": "d1"},
}

// only returns the one message a relay has, read back by the standard library.
func only(t *testing.T, s *relay) (received, *mail.Message) {
	t.Helper()
	all := s.all()
	if len(all) != 1 {
		t.Fatalf("%d messages arrived", len(all))
	}
	m, err := mail.ReadMessage(strings.NewReader(all[0].raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, all[0].raw)
	}
	return all[0], m
}

// capture sends one mail and returns what arrived.
func capture(t *testing.T, out models.OutboundMail) *mail.Message {
	t.Helper()
	s := &relay{}
	if _, err := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none"}).Send(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	_, m := only(t, s)
	return m
}

func decoded(t *testing.T, header string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(header)
	if err != nil {
		t.Error(err)
	}
	return text
}

func TestMessage(t *testing.T) {
	m := capture(t, letter)
	want := map[string]string{
		"From": `"MDR" <soc@mdr.example>`, "To": `"Chris Example" <ciso@client.example>`, "Subject": letter.Subject,
		"Message-Id": "<abc123@mdr.example>", "In-Reply-To": "<second@mdr.example>",
		"References": "<first@mdr.example> <second@mdr.example>", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
	}
	for name, value := range want {
		if got := m.Header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if at, err := m.Header.Date(); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("date %v, %v", at, err)
	}
	for name := range m.Header {
		if want[name] == "" && name != "Date" && name != "Content-Type" {
			t.Errorf("unexpected header %s: %q", name, m.Header[name])
		}
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for _, want := range [][2]string{
		{"text/plain; charset=UTF-8", "Please read.\r\n.\r\nÜber"}, {"text/html; charset=UTF-8", letter.HTML},
	} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(part) // the reader undoes quoted-printable
		if err != nil || part.Header.Get("Content-Type") != want[0] || string(content) != want[1] {
			t.Errorf("%v holds %q, %v", part.Header, content, err)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("more parts: %v", err)
	}
}

func TestOneKindOfContentIsEnough(t *testing.T) {
	for kind, spoil := range map[string]func(*models.OutboundMail){
		"text/plain": func(o *models.OutboundMail) { o.HTML = "" },
		"text/html":  func(o *models.OutboundMail) { o.Text, o.HTML = "", letter.Text },
	} {
		out := letter
		spoil(&out)
		m := capture(t, out)
		content, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || !strings.HasPrefix(m.Header.Get("Content-Type"), kind) ||
			strings.TrimRight(string(content), "\r\n") != "Please read.\r\n.\r\nÜber" {
			t.Errorf("%s: %v holds %q, %v", kind, m.Header, content, err)
		}
	}
}

func TestEnvelope(t *testing.T) {
	s := &relay{}
	id, err := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none"}).Send(t.Context(), letter)
	if err != nil || id != "abc123@mdr.example" { // this server names no queue id
		t.Fatalf("%q, %v", id, err)
	}
	if got, _ := only(t, s); got.from != "soc@mdr.example" || got.to != to {
		t.Errorf("from %q to %q", got.from, got.to)
	}
}

func TestSMTPUTF8IsAskedForOnlyWhereItIsNeeded(t *testing.T) {
	for address, want := range map[string]struct {
		to   string
		need bool
	}{
		to:                    {to, false},
		"josé@client.example": {"josé@client.example", true},
		"ada@bücher.example":  {"ada@xn--bcher-kva.example", false},
		"josé@bücher.example": {"josé@xn--bcher-kva.example", true},
	} {
		s := &relay{}
		out := letter
		out.To, out.ToName, out.Subject = address, "José", "Über"
		if _, err := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none", From: "soc@größe.example"}).Send(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		got, m := only(t, s)
		if got.to != want.to || got.utf8 != want.need || got.from != "soc@xn--gre-6ka8i.example" {
			t.Errorf("from %q to %q, SMTPUTF8 %v", got.from, got.to, got.utf8)
		}
		if head, err := mail.ParseAddress(m.Header.Get("To")); err != nil || head.Address != want.to || head.Name != "José" {
			t.Errorf("the header says %q, %v", m.Header.Get("To"), err)
		}
	}
}

// A server that does not offer SMTPUTF8 is not handed an address that needs it.
func TestAnAddressThatNeedsSMTPUTF8IsRejectedWithoutIt(t *testing.T) {
	s := &relay{plain: true}
	m := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none"})
	out := letter
	out.To = "josé@client.example"
	_, err := m.Send(t.Context(), out)
	var failed *models.VendorError
	if !errors.As(err, &failed) || failed.Class != models.Rejected || failed.Code != "no_smtputf8" {
		t.Errorf("got %v", err)
	}
	out.To = "ada@bücher.example"
	if _, err := m.Send(t.Context(), out); err != nil {
		t.Errorf("a domain needs no SMTPUTF8: %v", err)
	}
	if got, _ := only(t, s); got.to != "ada@xn--bcher-kva.example" {
		t.Errorf("to %q", got.to)
	}
}

func TestTheQueueIDIsReturned(t *testing.T) {
	for answer, want := range map[string]string{
		"250 2.0.0 Ok: queued as 4XyZ1b2c3D":                        "4XyZ1b2c3D",
		"250 OK id=1tAbCd-000000001Xy-2zZz":                         "1tAbCd-000000001Xy-2zZz",
		"250 2.6.0 <abc123@mdr.example> [InternalId=123] Queued":    "abc123@mdr.example",
		"250 2.0.0 OK 1717171717 ffacd0b85a97d-35dd064b4cfsi1 smtp": "abc123@mdr.example",
		"250 ": "abc123@mdr.example",
	} {
		addr, _ := script(t, map[string]string{"DOT": answer})
		id, err := mailerAt(t, Settings{Addr: addr, TLS: "none"}).Send(t.Context(), letter)
		if err != nil || id != want {
			t.Errorf("%s: %q, %v", answer, id, err)
		}
	}
}

func TestHostileFieldsCannotAddHeaders(t *testing.T) {
	out := letter
	out.Subject = "Alert\r\nBcc: thief@evil.example\u2028X: y\x00 =?utf-8?q?=E2=80=AE?="
	out.ToName = "Bob\"\r\nCc: thief@evil.example>, <eve@evil.example"
	out.MessageID = "<a b\r\nX-Evil: 1>@x"
	out.References = []string{"r1\r\nX: y", "", "<>", "r2\u2028"}
	m := capture(t, out)
	if got := decoded(t, m.Header.Get("Subject")); got != "Alert Bcc: thief@evil.example X: y = ?utf-8?q?=E2=80=AE?=" {
		t.Errorf("subject %q", got)
	}
	people, err := m.Header.AddressList("To")
	if err != nil || len(people) != 1 || people[0].Address != to || people[0].Name != "Bob\" Cc: thief@evil.example>, <eve@evil.example" {
		t.Errorf("to %v, %v", people, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<abX-Evil:1@x>", "References": "<r1X:y> <r2>", "In-Reply-To": "<r2>",
		"Bcc": "", "Cc": "", "X": "", "X-Evil": "",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAnySubjectAndNameArriveAsOneHeader(t *testing.T) {
	s := &relay{}
	mailer := mailerAt(t, Settings{Addr: s.listen(t, "none"), TLS: "none"})
	rapid.Check(t, func(r *rapid.T) {
		s.mu.Lock()
		s.taken = nil
		s.mu.Unlock()
		out := letter
		out.Subject = "x" + rapid.String().Draw(r, "subject")
		out.ToName = rapid.String().Draw(r, "name")
		out.Text = "x" + rapid.String().Draw(r, "text")
		if _, err := mailer.Send(t.Context(), out); err != nil {
			r.Fatal(err)
		}
		_, m := only(t, s)
		people, err := m.Header.AddressList("To")
		if err != nil || len(people) != 1 || people[0].Address != to || len(m.Header) != 10 {
			r.Fatalf("to %v, %v, headers %v", people, err, m.Header)
		}
		if got := decoded(t, m.Header.Get("Subject")); !strings.HasPrefix(got, "x") || strings.ContainsAny(got, "\r\n") {
			r.Fatalf("subject %q", got)
		}
	})
}

func TestLongThreadsAreFolded(t *testing.T) {
	out := letter
	out.References = nil
	for i := range 100 {
		out.References = append(out.References, fmt.Sprintf("%0230d@mdr.example", i))
	}
	refs := strings.Fields(capture(t, out).Header.Get("References"))
	if len(refs) != 20 || refs[0] != "<"+out.References[0]+">" || refs[19] != "<"+out.References[99]+">" {
		t.Errorf("references %v", refs)
	}
}

func TestTransportSecurityAndLogin(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		for _, secured := range []string{"starttls", "implicit", "none"} {
			t.Run(mechanism+" "+secured, func(t *testing.T) {
				s := &relay{mechanisms: []string{mechanism}}
				m := mailerAt(t, Settings{Addr: s.listen(t, secured), TLS: secured, User: user, Password: password})
				if _, err := m.Send(t.Context(), letter); err != nil {
					t.Fatal(err)
				}
				if got, _ := only(t, s); got.tls != (secured != "none") || got.user != user {
					t.Errorf("TLS %v, user %q", got.tls, got.user)
				}
			})
		}
	}
	t.Run("STARTTLS is the default", func(t *testing.T) {
		s := &relay{}
		if _, err := mailerAt(t, Settings{Addr: s.listen(t, "starttls")}).Send(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
		if got, _ := only(t, s); !got.tls {
			t.Error("sent in the clear")
		}
	})
}

func TestFiftyMailsAtOnce(t *testing.T) {
	s := &relay{}
	m := mailerAt(t, Settings{Addr: s.listen(t, "starttls")})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			out := letter
			out.To, out.Subject = fmt.Sprintf("p%d@client.example", i), fmt.Sprintf("mail %d", i)
			if _, err := m.Send(t.Context(), out); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mailed := map[string]int{}
	for _, got := range s.all() {
		mailed[got.to]++
		if !strings.Contains(got.raw, "Subject: mail "+strings.TrimSuffix(strings.TrimPrefix(got.to, "p"), "@client.example")+"\r\n") {
			t.Errorf("%s got somebody else's mail", got.to)
		}
	}
	for person, n := range mailed {
		if n != 1 {
			t.Errorf("%s was mailed %d times", person, n)
		}
	}
	if len(mailed) != 50 {
		t.Errorf("%d people were mailed", len(mailed))
	}
}

func TestLookupKnowsNothing(t *testing.T) {
	m := mailerAt(t, Settings{Addr: "127.0.0.1:1", TLS: "none"})
	if id, found, err := m.Lookup(t.Context(), letter, time.Unix(0, 0)); id != "" || found || err != nil {
		t.Errorf("%q, %v, %v", id, found, err)
	}
}

func TestNewRejectsBadSettings(t *testing.T) {
	good := Settings{Addr: "mail.mdr.example:587", User: user, Password: password, From: "soc@mdr.example"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Settings){
		"no server":                 func(s *Settings) { s.Addr = "" },
		"no port":                   func(s *Settings) { s.Addr = "mail.mdr.example" },
		"no host":                   func(s *Settings) { s.Addr = ":587" },
		"port by name":              func(s *Settings) { s.Addr = "mail.mdr.example:smtp" },
		"port out of range":         func(s *Settings) { s.Addr = "mail.mdr.example:70000" },
		"port 0":                    func(s *Settings) { s.Addr = "mail.mdr.example:0" },
		"user without password":     func(s *Settings) { s.Password = "" },
		"password without user":     func(s *Settings) { s.User = "" },
		"no sender":                 func(s *Settings) { s.From = "" },
		"sender with a name":        func(s *Settings) { s.From = "SOC <soc@mdr.example>" },
		"unknown protection":        func(s *Settings) { s.TLS = "maybe" },
		"in the clear over the net": func(s *Settings) { s.TLS = "none" },
		"negative timeout":          func(s *Settings) { s.Timeout = -1 },
	} {
		s := good
		spoil(&s)
		_, err := New(s)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), password) {
			t.Errorf("%s: the error quotes the password", name)
		}
	}
	for _, addr := range []string{"127.0.0.1:25", "[::1]:25", "localhost:25"} {
		if _, err := New(Settings{Addr: addr, From: "soc@mdr.example", TLS: "none"}); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
