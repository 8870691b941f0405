package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	texttemplate "text/template"

	"github.com/watchfire-mdr/watchfire/models"
)

//go:embed mails
var mailFiles embed.FS

// Letterhead composes the mails of one provider.
type Letterhead struct {
	portal *url.URL
	text   *texttemplate.Template
	html   *htmltemplate.Template
}

// Letter is what a mail is about. By default it tells severity, title, reference and the direct link, nothing else.
type Letter struct {
	Purpose    models.Purpose
	Occurrence int
	Language   string // BCP 47; English stands in for a language without a text
	Reference  models.Reference
	Severity   models.Severity
	Title      string // untrusted
	Revision   int
}

// NewLetterhead reads the mail templates. portal is the public address of the portal.
func NewLetterhead(portal *url.URL) (Letterhead, error) {
	text, err := texttemplate.ParseFS(mailFiles, "mails/*.txt")
	if err != nil {
		return Letterhead{}, fmt.Errorf("mail templates: %w", err)
	}
	html, err := htmltemplate.ParseFS(mailFiles, "mails/*.html")
	if err != nil {
		return Letterhead{}, fmt.Errorf("mail templates: %w", err)
	}
	return Letterhead{portal: portal, text: text, html: html}, nil
}

// openings says in one sentence why a mail is sent.
func openings(p models.Purpose) string {
	switch p {
	case models.PurposePublished:
		return "A security incident was published for you."
	case models.PurposeRevised:
		return "There is new information on a security incident."
	case models.PurposeReminder:
		return "A security incident is waiting for you."
	case models.PurposePresent:
		return "We looked again and found the threat still present. Closing the incident needs your confirmation."
	case models.PurposeClosed:
		return "The incident was closed as you requested. Please tell us how we handled it."
	default:
		return "There is news on a security incident."
	}
}

// Compose writes the mail, without its addressee.
func (h Letterhead) Compose(l Letter) (models.OutboundMail, error) {
	data := struct{ Opening, Severity, Title, Reference, Link string }{
		Opening: openings(l.Purpose), Severity: string(l.Severity), Title: Defang(OneLine(l.Title, 200)),
		Reference: string(l.Reference), Link: h.portal.JoinPath("incidents", string(l.Reference)).String(),
	}
	var text, html bytes.Buffer
	if err := h.text.ExecuteTemplate(&text, "notice.txt", data); err != nil {
		return models.OutboundMail{}, err
	}
	if err := h.html.ExecuteTemplate(&html, "notice.html", data); err != nil {
		return models.OutboundMail{}, err
	}
	subject := fmt.Sprintf("[%s] %s: %s", l.Reference, l.Severity, data.Title)
	switch {
	case l.Purpose == models.PurposeReminder:
		subject = fmt.Sprintf("[%s] reminder %d, %s: %s", l.Reference, l.Occurrence, l.Severity, data.Title)
	case l.Revision > 1:
		subject = fmt.Sprintf("[%s] revision %d, %s: %s", l.Reference, l.Revision, l.Severity, data.Title)
	}
	return models.OutboundMail{Subject: subject, Text: text.String(), HTML: html.String()}, nil
}

// MessageID derives a mail's Message-ID from its key in the ledger: a mail sent twice after an ambiguous answer has
// the same one, so mail programs show it once.
func (h Letterhead) MessageID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16]) + "@" + h.portal.Hostname()
}
