package sendgrid

import (
	"strings"

	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/plain"
)

const (
	opaquePrefix  = "mdr_" // events merge custom arguments with SendGrid's own fields
	maxOpaque     = 10_000 // bytes of custom arguments, SendGrid's limit
	maxSubject    = 255    // runes
	maxReferences = 20     // message ids in one header
)

// compose writes the message in SendGrid's terms, or says in one word why it cannot be sent.
func (m *Mailer) compose(out models.OutboundMail) (message *mail.SGMailV3, refused string) {
	switch {
	case !bareAddress(out.To):
		return nil, "invalid_address"
	case out.Text == "" && out.HTML == "":
		return nil, "no_content"
	case subject(out) == "":
		return nil, "no_subject"
	}
	person := mail.NewPersonalization()
	person.AddTos(mail.NewEmail(plain.Line(out.ToName, maxName), out.To))
	size := 0
	for key, value := range out.Opaque {
		if !strings.HasPrefix(key, opaquePrefix) {
			return nil, "opaque_key"
		}
		size += len(key) + len(value) + 6 // quotes, colon, comma
		person.SetCustomArg(key, value)
	}
	if size > maxOpaque {
		return nil, "opaque_size"
	}
	message = mail.NewV3Mail()
	message.SetFrom(m.from).AddPersonalizations(person)
	message.Subject = subject(out)
	for name, value := range threading(out) {
		message.SetHeader(name, value)
	}
	message.SetTrackingSettings(untracked())
	addContent(message, out)
	return message, ""
}

// addContent puts plain text first, as SendGrid demands.
func addContent(message *mail.SGMailV3, out models.OutboundMail) {
	if out.Text != "" {
		message.AddContent(mail.NewContent("text/plain", out.Text))
	}
	if out.HTML != "" {
		message.AddContent(mail.NewContent("text/html", out.HTML))
	}
}

// subject is the subject as it is sent, and as it is found in SendGrid's logs.
func subject(out models.OutboundMail) string { return plain.Line(out.Subject, maxSubject) }

// threading returns the headers that make mail programs show one incident as one conversation.
func threading(out models.OutboundMail) map[string]string {
	headers := map[string]string{}
	if id := messageID(out.MessageID); id != "" {
		headers["Message-ID"] = id
	}
	var thread []string
	for _, reference := range out.References {
		if id := messageID(reference); id != "" {
			thread = append(thread, id)
		}
	}
	if len(thread) > maxReferences { // the first names the conversation, the last are nearest
		thread = append(thread[:1:1], thread[len(thread)-maxReferences+1:]...)
	}
	if len(thread) > 0 {
		headers["References"] = strings.Join(thread, " ")
		headers["In-Reply-To"] = thread[len(thread)-1]
	}
	return headers
}

// messageID returns id in angle brackets without what could end the header or the id, or "".
func messageID(id string) string {
	id = strings.Map(func(r rune) rune {
		if notVisible(r) || r == '<' || r == '>' {
			return -1
		}
		return r
	}, id)
	if id == "" || len(id) > 250 {
		return ""
	}
	return "<" + id + ">"
}

// untracked turns off what would rewrite links or add an image to a security mail.
func untracked() *mail.TrackingSettings {
	return mail.NewTrackingSettings().
		SetClickTracking(mail.NewClickTrackingSetting().SetEnable(false).SetEnableText(false)).
		SetOpenTracking(mail.NewOpenTrackingSetting().SetEnable(false)).
		SetSubscriptionTracking(mail.NewSubscriptionTrackingSetting().SetEnable(false))
}
