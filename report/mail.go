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
	"github.com/watchfire-mdr/watchfire/models/notify"
)

//go:embed mails
var mailFiles embed.FS

// Letterhead composes the mails and short messages of one provider.
type Letterhead struct {
	portal    *url.URL
	languages Languages
	text      *texttemplate.Template
	html      *htmltemplate.Template
}

// page is the content of a mail's layouts.
type page struct {
	Language, Subject, Opening string
	Rows                       []row
	Link                       string // "" for none
	From                       string // the provider
}

type row struct{ Label, Value string }

// NewLetterhead reads the layouts of mails and the language files, for a provider as LoadLanguages takes it. portal is
// the public address of the portal. An error names the file that is wrong.
func NewLetterhead(provider string, portal *url.URL) (Letterhead, error) {
	text, err := texttemplate.ParseFS(mailFiles, "mails/*.txt")
	if err != nil {
		return Letterhead{}, fmt.Errorf("mail layouts: %w", err)
	}
	html, err := htmltemplate.ParseFS(mailFiles, "mails/*.html")
	if err != nil {
		return Letterhead{}, fmt.Errorf("mail layouts: %w", err)
	}
	languages, err := LoadLanguages(provider)
	if err != nil {
		return Letterhead{}, err
	}
	return Letterhead{portal: portal, languages: languages, text: text, html: html}, nil
}

// Compose writes the mail, without its addressee. About an incident it holds its reason, severity, title, reference, the
// direct link, the provider's name and who accepted a risk that the mail is about, nothing else. A malformed reference, a
// severity or purpose without words, a missing code or time is an error.
func (h Letterhead) Compose(l Letter) (models.OutboundMail, error) {
	d := h.languages.draft(l)
	p := page{
		Language: d.tag, Subject: d.marked(subject(l)), Opening: d.marked("mail/" + string(l.Purpose)), Link: h.link(l), From: d.provider,
	}
	if aboutIncident(l.Purpose) {
		p.Rows = []row{
			{d.write("label/severity"), d.words.Severity},
			{d.write("label/title"), d.words.Title},
			{d.write("label/reference"), d.words.Reference},
		}
		for _, a := range l.Accepted[:min(len(l.Accepted), maxAccepted)] {
			d.words.Person, d.words.At = Defang(models.CleanLine(a.By, 200)), a.Until
			p.Rows = append(p.Rows, row{d.write("label/accepted"), d.write("accepted")})
		}
	}
	if l.Purpose == notify.PurposeContactChanged {
		p.Rows = d.contactRows(l.Changes)
	}
	if d.err != nil {
		return models.OutboundMail{}, fmt.Errorf("report: %w", d.err)
	}
	var text, html bytes.Buffer
	if err := h.text.ExecuteTemplate(&text, "notification.txt", p); err != nil {
		return models.OutboundMail{}, err
	}
	if err := h.html.ExecuteTemplate(&html, "notification.html", p); err != nil {
		return models.OutboundMail{}, err
	}
	return models.OutboundMail{Subject: p.Subject, Text: text.String(), HTML: html.String()}, nil
}

// subject names the block of a mail's subject.
func subject(l Letter) string {
	switch {
	case !aboutIncident(l.Purpose):
		return "subject/" + string(l.Purpose)
	case l.Purpose == notify.PurposeReminder, l.Purpose == notify.PurposeQuestionReminder:
		return "subject/" + string(l.Purpose)
	case l.Revision > 1:
		return "subject/revision"
	default:
		return "subject"
	}
}

// link returns the address a mail leads to. Tests, codes and notices lead nowhere.
func (h Letterhead) link(l Letter) string {
	switch l.Purpose {
	case notify.PurposeTest, notify.PurposeCode, notify.PurposeContactChanged:
		return ""
	case notify.PurposeReview:
		return h.portal.JoinPath("reviews").String()
	default:
		return h.portal.JoinPath("incidents", string(l.Reference)).String()
	}
}

// Text writes a short message: at most 160 GSM 7-bit characters (3GPP TS 23.038), no link, no title. Those that report
// an incident ask to reply with l.Code, if there is one. Errors are those of Compose; there is none for reviews.
func (h Letterhead) Text(l Letter) (string, error) {
	d := h.languages.draft(l)
	if l.Purpose == notify.PurposeContactChanged && d.err == nil {
		d.changeBy(l.Changes[0])
	}
	text := d.marked("sms/" + string(l.Purpose))
	if d.err != nil {
		return "", fmt.Errorf("report: %w", d.err)
	}
	return text, nil
}

// MessageID derives a mail's Message-ID from its key in the ledger: a mail sent twice after an ambiguous answer has
// the same one, so mail programs show it once.
func (h Letterhead) MessageID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16]) + "@" + h.portal.Hostname()
}
