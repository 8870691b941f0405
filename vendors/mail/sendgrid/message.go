package sendgrid

import (
	"strings"

	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/letterhead"
)

const (
	opaquePrefix = "mdr_" // events merge custom arguments with SendGrid's own fields
	maxOpaque    = 10_000 // bytes of custom arguments, SendGrid's limit
)

// compose writes the message to an address of letterhead.Address in SendGrid's terms, or says in one word why it cannot be sent.
func (m *Mailer) compose(out models.OutboundMail) (message *mail.SGMailV3, unfit string) {
	switch {
	case out.To == "":
		return nil, "invalid_address"
	case out.Text == "" && out.HTML == "":
		return nil, "no_content"
	case letterhead.Subject(out) == "":
		return nil, "no_subject"
	}
	person := mail.NewPersonalization()
	person.AddTos(mail.NewEmail(letterhead.Name(out.ToName), out.To))
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
	message.Subject = letterhead.Subject(out)
	for name, value := range letterhead.Threading(out) {
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

// untracked turns off what would rewrite links or add an image to a security mail.
func untracked() *mail.TrackingSettings {
	return mail.NewTrackingSettings().
		SetClickTracking(mail.NewClickTrackingSetting().SetEnable(false).SetEnableText(false)).
		SetOpenTracking(mail.NewOpenTrackingSetting().SetEnable(false)).
		SetSubscriptionTracking(mail.NewSubscriptionTrackingSetting().SetEnable(false))
}
