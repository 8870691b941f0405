package smtp

import (
	"io"
	"net"
	"strings"
	"unicode"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// session is one connection of a client.
type session struct {
	*Server
	conn     net.Conn
	loggedIn bool
	utf8     bool // the mail asked for SMTPUTF8 (RFC 6531)
	to       []recipient
}

type recipient struct{ address, persona string }

var (
	errAuthNeeded  = &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	errNoSuchUser  = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
	errMailboxFull = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "Mailbox full"}
	errGreylisted  = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, try again later"}
	errBadSender   = &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 7}, Message: "Not a mail address"}
	errNotASCII    = &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 6, 7}, Message: "Non-ASCII addresses not permitted"}
	errBadAddress  = &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "Not a mail address"}
)

// AuthMechanisms offers PLAIN when the server has a login.
func (s *session) AuthMechanisms() []string {
	if s.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth checks a login.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if s.user == "" || mechanism != sasl.Plain {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(identity, user, password string) error {
		if (identity != "" && identity != user) || user != s.user || password != s.password {
			s.noteCommand("AUTH", "", "", smtp.ErrAuthFailed.Code, "")
			return smtp.ErrAuthFailed
		}
		s.noteCommand("AUTH", "", "", 235, "")
		s.loggedIn = true
		return nil
	}), nil
}

// Mail begins a mail.
func (s *session) Mail(from string, options *smtp.MailOptions) error {
	s.utf8 = options.UTF8
	if s.user != "" && !s.loggedIn {
		s.Violations.Add(s.Now(), "mail", "a mail without a login")
		s.noteCommand("MAIL", "", "", errAuthNeeded.Code, "")
		return errAuthNeeded
	}
	if !s.isWritable(from) {
		s.Violations.Add(s.Now(), "mail", "the sender of the envelope is not ASCII, and the mail did not ask for SMTPUTF8")
		s.noteCommand("MAIL", "", "", errNotASCII.Code, "")
		return errNotASCII
	}
	if !stage.IsMailAddress(from) {
		s.Violations.Add(s.Now(), "mail", "the sender of the envelope is no mail address")
		s.noteCommand("MAIL", "", "", errBadSender.Code, "")
		return errBadSender
	}
	return nil
}

// Rcpt adds a recipient, unless the persona of the address refuses mail.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !s.isWritable(to) {
		s.Violations.Add(s.Now(), "rcpt", "a recipient is not ASCII, and the mail did not ask for SMTPUTF8")
		s.noteCommand("RCPT", to, "", errNotASCII.Code, "")
		return errNotASCII
	}
	if !stage.IsMailAddress(to) {
		s.Violations.Add(s.Now(), "rcpt", "a recipient is no mail address")
		s.noteCommand("RCPT", to, "", errBadAddress.Code, "")
		return errBadAddress
	}
	persona := s.Server.Personas.Next(to)
	if refused := s.refuseRecipient(to, persona); refused != nil {
		s.noteCommand("RCPT", to, "", refused.Code, "")
		return refused
	}
	s.noteCommand("RCPT", to, "", 250, "")
	s.to = append(s.to, recipient{to, persona})
	return nil
}

// isWritable reports whether an address may stand in the mail's envelope: domains are A-labels, and other characters than
// ASCII need SMTPUTF8.
func (s *session) isWritable(address string) bool {
	local, domain := address, ""
	if at := strings.LastIndex(address, "@"); at >= 0 {
		local, domain = address[:at], address[at:]
	}
	return isASCII(domain) && (s.utf8 || isASCII(local))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// refuseRecipient returns nil when the address takes mail now.
func (m *Server) refuseRecipient(to, persona string) *smtp.SMTPError {
	switch persona {
	case "no-such-user":
		return errNoSuchUser
	case "mailbox-full":
		return errMailboxFull
	case "greylisted":
		m.mu.Lock()
		defer m.mu.Unlock()
		key := strings.ToLower(to)
		if !m.greeted[key] {
			m.greeted[key] = true
			return errGreylisted
		}
	}
	return nil
}

// Data takes the mail. It refuses one that no correct client sends, or when a fault rule says so.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	rule, _ := s.Faults.UseRule(opData)
	switch rule.Kind {
	case stage.FaultRefuse, stage.FaultResetBefore:
		s.noteData(raw, 0, rule.Kind)
		stage.ResetConnection(s.conn)
		return io.ErrClosedPipe
	case stage.FaultStatus:
		refused := &smtp.SMTPError{Code: statusOf(rule, 451), EnhancedCode: smtp.NoEnhancedCode, Message: "Try again later"}
		s.noteData(raw, refused.Code, rule.Kind)
		return refused
	}
	mail, err := readMail(raw, s.utf8)
	if err != nil {
		s.Violations.Add(s.Now(), opData, err.Error())
		s.noteData(raw, 554, rule.Kind)
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	s.fileMail(mail)
	s.noteData(raw, 250, rule.Kind)
	switch rule.Kind {
	case stage.FaultResetAfter:
		stage.ResetConnection(s.conn)
	case stage.FaultSlow:
		s.WaitExactly(s.Context(), rule.Delay())
	}
	return nil
}

func (s *session) noteData(raw []byte, status int, fault string) {
	var to []string
	for _, r := range s.to {
		to = append(to, r.address)
	}
	s.noteCommand("DATA", strings.Join(to, ","), string(raw), status, fault)
}

// fileMail files the mail for each recipient.
func (s *session) fileMail(mail *mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.to {
		m := *mail
		m.At, m.Persona = s.Now().UTC(), r.persona
		key := strings.ToLower(r.address)
		s.mails[key] = append(s.mails[key], m)
	}
}

// Reset forgets the mail under way.
func (s *session) Reset() { s.to = nil }

// Logout has nothing to give back.
func (s *session) Logout() error { return nil }
