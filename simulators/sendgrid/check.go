package sendgrid

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// mail is the body of mail/send. The simulator refuses all other fields.
type mail struct {
	Personalizations []personalization `json:"personalizations"`
	From             *address          `json:"from"`
	ReplyTo          *address          `json:"reply_to"`
	ReplyToList      []address         `json:"reply_to_list"`
	Subject          string            `json:"subject"`
	Content          []content         `json:"content"`
	Attachments      []attachment      `json:"attachments"`
	TemplateID       string            `json:"template_id"`
	Headers          map[string]string `json:"headers"`
	Categories       []string          `json:"categories"`
	CustomArgs       map[string]string `json:"custom_args"`
	SendAt           int64             `json:"send_at"`
	BatchID          string            `json:"batch_id"`
	ASM              map[string]any    `json:"asm"`
	IPPoolName       string            `json:"ip_pool_name"`
	MailSettings     map[string]toggle `json:"mail_settings"`
	TrackingSettings map[string]toggle `json:"tracking_settings"`
}

type personalization struct {
	From                *address          `json:"from"`
	To                  []address         `json:"to"`
	CC                  []address         `json:"cc"`
	BCC                 []address         `json:"bcc"`
	Subject             string            `json:"subject"`
	Headers             map[string]string `json:"headers"`
	Substitutions       map[string]string `json:"substitutions"`
	DynamicTemplateData map[string]any    `json:"dynamic_template_data"`
	CustomArgs          map[string]string `json:"custom_args"`
	SendAt              int64             `json:"send_at"`
}

type address struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

type content struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type attachment struct {
	Content     string `json:"content"`
	Type        string `json:"type"`
	Filename    string `json:"filename"`
	Disposition string `json:"disposition"`
	ContentID   string `json:"content_id"`
}

// toggle is any of the settings: a switch with a few texts.
type toggle struct {
	Enable          bool   `json:"enable"`
	EnableText      bool   `json:"enable_text"`
	Text            string `json:"text"`
	HTML            string `json:"html"`
	SubstitutionTag string `json:"substitution_tag"`
	UTMSource       string `json:"utm_source"`
	UTMMedium       string `json:"utm_medium"`
	UTMTerm         string `json:"utm_term"`
	UTMContent      string `json:"utm_content"`
	UTMCampaign     string `json:"utm_campaign"`
}

func (m *mail) isSandboxed() bool { return m.MailSettings["sandbox_mode"].Enable }

// check returns every reason to refuse the mail, none for a valid one.
func (m *mail) check(now time.Time) []reason {
	var bad []reason
	bad = append(bad, m.checkSender()...)
	bad = append(bad, m.checkContent()...)
	bad = append(bad, m.checkSettings(now)...)
	bad = append(bad, checkTags(m.Categories, m.CustomArgs, "")...)
	if n := len(m.Personalizations); n < 1 || n > 1000 {
		return append(bad, reason{"The personalizations field is required and must have 1 to 1000 elements.", "personalizations"})
	}
	for i, p := range m.Personalizations {
		field := fmt.Sprintf("personalizations.%d", i)
		bad = append(bad, p.check(field)...)
		bad = append(bad, checkTags(nil, p.CustomArgs, field+".")...)
		if p.Subject == "" && m.Subject == "" && m.TemplateID == "" {
			bad = append(bad, reason{"The subject is required. You can get around this requirement if you use a template with a subject defined.", "subject"})
		}
		if p.SendAt > now.Add(72*time.Hour).Unix() {
			bad = append(bad, reason{"The send_at parameter is too far in the future.", field + ".send_at"})
		}
	}
	return bad
}

func (m *mail) checkSender() []reason {
	var bad []reason
	if m.From == nil || !stage.IsMailAddress(m.From.Email) {
		bad = append(bad, reason{"The from object must be provided for every email send. It is an object that requires the email parameter.", "from.email"})
	}
	if m.ReplyTo != nil && !stage.IsMailAddress(m.ReplyTo.Email) {
		bad = append(bad, reason{"Does not contain a valid address.", "reply_to.email"})
	}
	for i, a := range m.ReplyToList {
		if !stage.IsMailAddress(a.Email) || m.ReplyTo != nil {
			bad = append(bad, reason{"Does not contain a valid address, or reply_to is set too.", fmt.Sprintf("reply_to_list.%d.email", i)})
		}
	}
	return bad
}

func (m *mail) checkContent() []reason {
	var bad []reason
	if len(m.Content) == 0 && m.TemplateID == "" {
		bad = append(bad, reason{"Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block.", "content"})
	}
	rank := 0
	for i, c := range m.Content {
		field := fmt.Sprintf("content.%d", i)
		if c.Type == "" || c.Value == "" {
			bad = append(bad, reason{"The content value must be a string at least one character in length.", field + ".value"})
		}
		r := map[string]int{"text/plain": 1, "text/html": 2}[c.Type]
		if r == 0 {
			r = 3
		}
		if r < rank {
			bad = append(bad, reason{"If present, text/plain must be first, followed by text/html, followed by any other content.", field + ".type"})
		}
		rank = r
	}
	for i, a := range m.Attachments {
		if a.Content == "" || a.Filename == "" || !slices.Contains([]string{"", "inline", "attachment"}, a.Disposition) {
			bad = append(bad, reason{"The attachment needs content, a filename and a known disposition.", fmt.Sprintf("attachments.%d", i)})
		}
	}
	bad = append(bad, checkHeaders(m.Headers, "headers")...)
	return append(bad, checkSubject(m.Subject, "subject")...)
}

func (m *mail) checkSettings(now time.Time) []reason {
	var bad []reason
	known := []string{"bypass_list_management", "bypass_spam_management", "bypass_bounce_management",
		"bypass_unsubscribe_management", "footer", "sandbox_mode"}
	bypasses := 0
	for _, name := range slices.Sorted(maps.Keys(m.MailSettings)) {
		if !slices.Contains(known, name) {
			bad = append(bad, reason{"unknown setting", "mail_settings." + name})
		}
		if strings.HasPrefix(name, "bypass_") && m.MailSettings[name].Enable {
			bypasses++
		}
	}
	if bypasses > 1 && m.MailSettings["bypass_list_management"].Enable {
		bad = append(bad, reason{"bypass_list_management cannot be combined with any of the other bypass filters.", "mail_settings"})
	}
	for _, name := range slices.Sorted(maps.Keys(m.TrackingSettings)) {
		if !slices.Contains([]string{"click_tracking", "open_tracking", "subscription_tracking", "ganalytics"}, name) {
			bad = append(bad, reason{"unknown setting", "tracking_settings." + name})
		}
	}
	if m.SendAt > now.Add(72*time.Hour).Unix() {
		bad = append(bad, reason{"The send_at parameter is too far in the future.", "send_at"})
	}
	return bad
}

func (p *personalization) check(field string) []reason {
	var bad []reason
	if n := len(p.To); n < 1 || n > 1000 {
		bad = append(bad, reason{"The to array is required for all personalization objects, and must have 1 to 1000 email objects.", field + ".to"})
	}
	seen := map[string]bool{}
	for _, recipients := range []struct {
		kind string
		list []address
	}{{"to", p.To}, {"cc", p.CC}, {"bcc", p.BCC}} {
		for i, a := range recipients.list {
			at := fmt.Sprintf("%s.%s.%d.email", field, recipients.kind, i)
			if !stage.IsMailAddress(a.Email) {
				bad = append(bad, reason{"Does not contain a valid address.", at})
			}
			if strings.ContainsAny(a.Name, "\r\n") {
				bad = append(bad, reason{"The name must not contain line breaks.", at})
			}
			if seen[strings.ToLower(a.Email)] {
				bad = append(bad, reason{"Each email address in the personalization block should be unique between to, cc, and bcc.", field})
			}
			seen[strings.ToLower(a.Email)] = true
		}
	}
	bad = append(bad, checkHeaders(p.Headers, field+".headers")...)
	return append(bad, checkSubject(p.Subject, field+".subject")...)
}

func checkSubject(subject, field string) []reason {
	if strings.ContainsAny(subject, "\r\n") {
		return []reason{{"The subject can not contain line breaks.", field}}
	}
	return nil
}

func checkHeaders(headers map[string]string, field string) []reason {
	reserved := []string{"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type",
		"content-transfer-encoding", "to", "from", "subject", "reply-to", "cc", "bcc"}
	var bad []reason
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if slices.Contains(reserved, strings.ToLower(name)) {
			bad = append(bad, reason{"The header is reserved and can not be set.", field + "." + name})
		}
		if name == "" || strings.ContainsAny(name, " :\r\n\t") || strings.ContainsAny(headers[name], "\r\n") {
			bad = append(bad, reason{"The header contains characters it must not contain.", field + "." + name})
		}
	}
	return bad
}

// checkTags refuses too many and too long categories and custom arguments, and those that look like
// personal data: the vendor's staff can see both, and the vendor keeps both for ever.
func checkTags(categories []string, args map[string]string, field string) []reason {
	var bad []reason
	if len(categories) > 10 {
		bad = append(bad, reason{"You cannot have more than 10 categories per request.", field + "categories"})
	}
	for i, c := range categories {
		if len(c) > 255 || c == "" || slices.Contains(categories[:i], c) || hasPersonalData(c) {
			bad = append(bad, reason{"A category must be unique, 1 to 255 characters long and no personal data.", fmt.Sprintf("%scategories.%d", field, i)})
		}
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(args)) {
		value := args[name]
		size += len(name) + len(value) + 6 // quotes, colon, comma
		if hasPersonalData(name) || hasPersonalData(value) {
			bad = append(bad, reason{"Custom arguments must not hold personal data.", field + "custom_args"})
		}
		if isSystemField(name) {
			bad = append(bad, reason{"The custom argument has the name of an event's own field.", field + "custom_args." + name})
		}
	}
	if size > 10_000 {
		bad = append(bad, reason{"The combined size of custom arguments is over 10000 bytes.", field + "custom_args"})
	}
	return bad
}

// hasPersonalData reports a mail address or an international phone number inside s.
func hasPersonalData(s string) bool {
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,;<>()\"'/|=", r) }) {
		if stage.IsMailAddress(strings.Trim(word, ".:")) {
			return true
		}
	}
	for _, after := range strings.Split(s, "+")[1:] {
		digits := 0
		for _, r := range after {
			if r >= '0' && r <= '9' {
				digits++
			} else if !strings.ContainsRune(" .-()", r) {
				break
			}
		}
		if digits >= 7 {
			return true
		}
	}
	return false
}
