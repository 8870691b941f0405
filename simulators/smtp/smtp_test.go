package smtp

import (
	"bufio"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

const plainMail = "Message-ID: <0123@watchfire.example>\r\nFrom: SOC <soc@watchfire.example>\r\nTo: \"The CISO\" <ciso@client.example>\r\n" +
	"Date: Fri, 21 Nov 2025 10:00:00 +0000\r\nSubject: =?UTF-8?q?Kritisch:_Gr=C3=BC=C3=9Fe?=\r\nReferences: <0122@watchfire.example>\r\n" +
	"X-Watchfire: SI-1042-0007\r\n\r\nOpen the portal.\r\n.one dot\r\n"

const alternativeMail = "Message-ID: <0124@watchfire.example>\r\nFrom: soc@watchfire.example\r\nTo: ciso@client.example\r\n" +
	"Date: Fri, 21 Nov 2025 10:00:00 +0000\r\nSubject: Two parts\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n" +
	"--in\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe=\r\n!\r\n" +
	"--in\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+R3LDvMOfZTwv\r\ncD4=\r\n--in--\r\n" +
	"--out\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=report.pdf\r\n\r\n%PDF\r\n--out--\r\n"

// sendMail hands a mail over with the standard library's client and returns its error.
func (w *world) sendMail(raw string, to ...string) error {
	return smtp.SendMail(w.SMTPAddr, smtp.PlainAuth("", "soc", testPassword, "127.0.0.1"), testSender, to, []byte(raw))
}

func (w *world) mailsTo(to string) []mail {
	w.T.Helper()
	var e struct {
		Mails map[string][]mail `json:"mails"`
	}
	w.Effects(w.SMTPURL, &e)
	return e.Mails[to]
}

// codeOf returns the code of the server's answer, 0 when the connection broke.
func codeOf(err error) int {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}

func TestAMailIsTakenBySMTP(t *testing.T) {
	w := newWorld(t)
	if err := w.sendMail(plainMail, "CISO@client.example", "second@client.example"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"ciso@client.example", "second@client.example"} {
		mails := w.mailsTo(to)
		if len(mails) != 1 {
			t.Fatalf("%s: %+v", to, mails)
		}
		m := mails[0]
		if m.MessageID != "<0123@watchfire.example>" || m.Subject != "Kritisch: Grüße" || m.References != "<0122@watchfire.example>" ||
			m.From != "SOC <soc@watchfire.example>" || m.To != `"The CISO" <ciso@client.example>` || m.Headers["X-Watchfire"] != "SI-1042-0007" ||
			m.Text != "Open the portal.\n.one dot\n" || m.HTML != "" || m.Persona != "accepted" || m.At.IsZero() {
			t.Errorf("%s: %+v", to, m)
		}
	}
	if err := w.sendMail(alternativeMail, "ciso@client.example"); err != nil {
		t.Fatal(err)
	}
	if m := w.mailsTo("ciso@client.example")[1]; strings.TrimSpace(m.Text) != "Grüße!" || m.HTML != "<p>Grüße</p>" {
		t.Errorf("parts: %+v", m)
	}
	if v := w.Violations(w.SMTPURL); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestTheJournalOfMailsHidesThePassword(t *testing.T) {
	w := newWorld(t)
	if err := w.sendMail(plainMail+"the password is "+testPassword+"\r\n", "ciso@client.example"); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, e := range w.Journal(w.SMTPURL) {
		commands = append(commands, e.Method+" "+strconv.Itoa(e.Status))
	}
	if got := strings.Join(commands, ", "); got != "AUTH 235, RCPT 250, DATA 250" {
		t.Errorf("journal: %s", got)
	}
	last := w.Journal(w.SMTPURL)[2]
	if last.Vendor != "smtp" || last.Path != "ciso@client.example" || !strings.Contains(last.Body, "Open the portal.") ||
		!strings.Contains(last.Body, "the password is ***") {
		t.Errorf("entry: %+v", last)
	}
	if raw := w.Do("GET", w.SMTPURL+"/_sim/journal", "", "").Body; strings.Contains(string(raw), testPassword) {
		t.Error("the password is in the journal")
	}
}

func TestMailNeedsTheLogin(t *testing.T) {
	w := newWorld(t)
	wrong := smtp.PlainAuth("", "soc", "wrong", "127.0.0.1")
	if err := smtp.SendMail(w.SMTPAddr, wrong, testSender, []string{"ciso@client.example"}, []byte(plainMail)); codeOf(err) != 535 {
		t.Errorf("wrong password: %v", err)
	}
	if err := smtp.SendMail(w.SMTPAddr, nil, testSender, []string{"ciso@client.example"}, []byte(plainMail)); codeOf(err) != 530 {
		t.Errorf("no login: %v", err)
	}
	if n := len(w.mailsTo("ciso@client.example")); n != 0 || len(w.Violations(w.SMTPURL)) != 1 {
		t.Errorf("%d mails, violations %v", n, w.Violations(w.SMTPURL))
	}
	open := worldWith(t, Options{})
	if err := smtp.SendMail(open.SMTPAddr, nil, testSender, []string{"ciso@client.example"}, []byte(plainMail)); err != nil {
		t.Errorf("without a configured login: %v", err)
	}
}

func TestBadMailIsRefusedBySMTP(t *testing.T) {
	w := newWorld(t)
	without := func(name string) string {
		var kept []string
		for line := range strings.SplitSeq(plainMail, "\r\n") {
			if !strings.HasPrefix(line, name+":") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\r\n")
	}
	swapped := strings.NewReplacer("text/plain", "text/html", "text/html", "text/plain").Replace(alternativeMail)
	bad := map[string]string{
		"no Message-ID": without("Message-ID"), "no From": without("From"), "no To": without("To"), "no Date": without("Date"),
		"no Subject": without("Subject"), "two subjects": "Subject: again\r\n" + plainMail,
		"bare Message-ID": strings.Replace(plainMail, "<0123@watchfire.example>", "0123", 1),
		"bad From":        strings.Replace(plainMail, "<soc@watchfire.example>", "<nobody>", 1),
		"bad date":        strings.Replace(plainMail, "Fri, 21 Nov", "21st of Nov", 1),
		"raw umlaut":      strings.Replace(plainMail, "X-Watchfire: ", "X-Watchfire: ü", 1),
		"html first":      swapped,
		"html only":       strings.Replace(plainMail, "X-Watchfire: SI-1042-0007", "Content-Type: text/html", 1),
		"other charset":   strings.Replace(plainMail, "X-Watchfire: SI-1042-0007", "Content-Type: text/plain; charset=latin1", 1),
		"empty text":      strings.SplitAfter(plainMail, "\r\n\r\n")[0],
		"open part":       strings.Replace(alternativeMail, "--out--", "", 1),
		"no mail":         "hello\r\n",
	}
	for name, raw := range bad {
		t.Run(name, func(t *testing.T) {
			if err := w.sendMail(raw, "ciso@client.example"); codeOf(err) != 554 {
				t.Errorf("answer: %v", err)
			}
		})
	}
	if n := len(w.Violations(w.SMTPURL)); n != len(bad) || len(w.mailsTo("ciso@client.example")) != 0 {
		t.Errorf("%d violations of %d", n, len(bad))
	}
	if err := w.sendMail(plainMail, "nobody@localhost"); codeOf(err) != 553 {
		t.Errorf("a host without a domain: %v", err)
	}
}

func TestPersonasOfMailboxes(t *testing.T) {
	w := newWorld(t)
	w.Steer(w.SMTPURL, "personas", `{"personas":{"Gone@client.example":"no-such-user","full@client.example":"mailbox-full","grey@client.example":"greylisted"},
		"sequence":{"later@client.example":["mailbox-full","accepted"]}}`)
	for _, c := range []struct {
		to   string
		code int
	}{
		{"gone@client.example", 550}, {"full@client.example", 452}, {"full@client.example", 452}, {"GREY@client.example", 451},
		{"grey@client.example", 0}, {"grey@client.example", 0}, {"later@client.example", 452}, {"later@client.example", 0},
	} {
		err := w.sendMail(plainMail, c.to)
		if codeOf(err) != c.code || (c.code == 0) != (err == nil) {
			t.Errorf("%s: %v", c.to, err)
		}
		if want := map[int]string{550: "5.1.1", 452: "4.2.2", 451: "4.7.1"}[c.code]; err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v has no %s", c.to, err, want)
		}
	}
	if len(w.mailsTo("grey@client.example")) != 2 || len(w.mailsTo("later@client.example")) != 1 || len(w.mailsTo("gone@client.example")) != 0 {
		t.Errorf("taken: %v", w.mailsTo("grey@client.example"))
	}
	if v := w.Violations(w.SMTPURL); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestFaultsOfTheMailServer(t *testing.T) {
	for name, c := range map[string]struct {
		rule   string
		code   int
		taken  int
		status int // in the journal
	}{
		"connection refused":       {`{"op":"connect","kind":"refuse","times":1}`, 0, 0, 0},
		"not available":            {`{"op":"connect","kind":"status","times":1}`, 421, 0, 421},
		"cut before it is taken":   {`{"op":"data","kind":"reset_before","times":1}`, 0, 0, 0},
		"cut after it was taken":   {`{"op":"data","kind":"reset_after","times":1}`, 0, 1, 250},
		"put off after the dot":    {`{"op":"data","kind":"status","times":1}`, 451, 0, 451},
		"refused after the dot":    {`{"op":"data","kind":"status","status":552,"times":1}`, 552, 0, 552},
		"any operation is put off": {`{"op":"*","kind":"status","times":1}`, 421, 0, 421},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Fault(w.SMTPURL, c.rule)
			err := w.sendMail(plainMail, "ciso@client.example")
			if err == nil || codeOf(err) != c.code {
				t.Errorf("answer: %v", err)
			}
			if n := len(w.mailsTo("ciso@client.example")); n != c.taken {
				t.Errorf("%d mails were taken", n)
			}
			entries := w.Journal(w.SMTPURL)
			if last := entries[len(entries)-1]; last.Fault == "" || last.Status != c.status {
				t.Errorf("journal: %+v", last)
			}
			if err := w.sendMail(plainMail, "ciso@client.example"); err != nil {
				t.Errorf("the fault must be used up: %v", err)
			}
		})
	}
}

func TestTheMailServerKnowsItsOwnFaults(t *testing.T) {
	w := newWorld(t)
	for _, rule := range []string{`{"op":"data","kind":"truncate"}`, `{"op":"connect","kind":"reset_after"}`, `{"op":"*","kind":"empty"}`,
		`{"op":"send_mail","kind":"status"}`, `{"op":"callback","kind":"drop"}`} {
		if a := w.Do("POST", w.SMTPURL+"/_sim/faults", "application/json", `{"rules":[`+rule+`]}`); a.Status != 400 {
			t.Errorf("%s: %d", rule, a.Status)
		}
	}
	if a := w.Do("POST", w.SMTPURL+"/_sim/personas", "application/json", `{"personas":{"a@b.example":"hard_bounce"}}`); a.Status != 400 {
		t.Errorf("persona of another vendor: %d", a.Status)
	}
	if a := w.Do("GET", w.SMTPURL+"/mails", "", ""); a.Status != 404 || len(w.Violations(w.SMTPURL)) != 1 {
		t.Errorf("another path: %d", a.Status)
	}
}

func TestASlowMailServerAnswersInTheEnd(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.SMTPURL, `{"op":"data","kind":"slow","delay_ms":5,"times":1}`)
	if err := w.sendMail(plainMail, "ciso@client.example"); err != nil || len(w.mailsTo("ciso@client.example")) != 1 {
		t.Errorf("answer: %v", err)
	}
}

func TestClosingEndsConnectionsOfTheMailServer(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.SMTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "220 ") {
		t.Fatalf("greeting %q", lines.Text())
	}
	if err := w.Stage.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // until the server has hung up; the test's own time limit is the bound
	}
	if _, err := net.Dial("tcp", w.SMTPAddr); err == nil {
		t.Error("still listening")
	}
}

// What is not ASCII needs SMTPUTF8 before the @, and A-labels after it. The standard library's client asks for SMTPUTF8
// whenever it is offered.
func TestAddressesBeyondASCIINeedSMTPUTF8AndALabels(t *testing.T) {
	for _, c := range []struct {
		offered bool
		to      string
		refused int
	}{
		{false, "josé@client.example", 553}, {true, "josé@client.example", 0},
		{false, "ada@bücher.example", 553}, {true, "ada@bücher.example", 553},
		{false, "ada@xn--bcher-kva.example", 0}, {true, "josé@xn--bcher-kva.example", 0},
	} {
		w := worldWith(t, Options{User: "soc", Password: testPassword, UTF8: c.offered})
		err := w.sendMail(plainMail, c.to)
		if code := codeOf(err); code != c.refused || (err == nil) != (c.refused == 0) {
			t.Errorf("%+v: %v", c, err)
		}
		if v := w.Violations(w.SMTPURL); (len(v) > 0) != (c.refused > 0) {
			t.Errorf("%+v: violations %v", c, v)
		}
	}
}
