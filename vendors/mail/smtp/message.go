package smtp

import (
	"net/mail"
	"regexp"

	gomail "github.com/wneessen/go-mail"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/letterhead"
)

// compose writes the message to an address of letterhead.Address, or says in one word why it cannot be sent. A message without an id
// is rejected: sent twice, it would be shown twice.
func (m *Mailer) compose(out models.OutboundMail) (message *gomail.Msg, unfit string) {
	subject, threading := letterhead.Subject(out), letterhead.Threading(out)
	switch {
	case out.To == "":
		return nil, "invalid_address"
	case out.Text == "" && out.HTML == "":
		return nil, "no_content"
	case subject == "":
		return nil, "no_subject"
	case threading["Message-ID"] == "":
		return nil, "no_message_id"
	}
	message = gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	from := m.from
	message.FromMailAddress(&from)
	message.AddToMailAddress(&mail.Address{Name: letterhead.Name(out.ToName), Address: out.To})
	message.Subject(subject)
	for name, value := range threading {
		message.SetGenHeader(gomail.Header(name), value)
	}
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no absence notes in answer
	addContent(message, out)
	return message, ""
}

// addContent puts plain text first: the last alternative is the one preferred (RFC 2046).
func addContent(message *gomail.Msg, out models.OutboundMail) {
	if out.Text == "" {
		message.SetBodyString(gomail.TypeTextHTML, out.HTML)
		return
	}
	message.SetBodyString(gomail.TypeTextPlain, out.Text)
	if out.HTML != "" {
		message.AddAlternativeString(gomail.TypeTextHTML, out.HTML)
	}
}

// queued finds the id in what servers answer: "Ok: queued as 4Xy…" (Postfix), "OK id=1t…" (Exim).
var queued = regexp.MustCompile(`(?i)\b(?:queued as |id=)([A-Za-z0-9._-]{1,100})`)

// queueID returns the server's name for the message, or the message's own where it gave none.
func queueID(answer string, out models.OutboundMail) string {
	if found := queued.FindStringSubmatch(answer); found != nil {
		return found[1]
	}
	id := letterhead.MessageID(out.MessageID)
	return id[1 : len(id)-1]
}

func ascii(s string) bool {
	for _, r := range s {
		if r > '~' {
			return false
		}
	}
	return true
}
