// Package letterhead knows what is the same in a mail whoever carries it: which addresses are
// accepted, and the headers that show one incident as one conversation. It knows nothing of any
// vendor and writes no mails.
package letterhead

import (
	"strings"

	"github.com/watchfire-mdr/watchfire/address"
	"github.com/watchfire-mdr/watchfire/models"
)

const (
	maxName       = 100 // runes of a display name
	maxSubject    = 255 // runes
	maxReferences = 20  // message ids in one header
)

// Address returns a mail address as vendors get it, with a domain in A-labels, or "" when s is anything else: a name
// beside it, brackets, two addresses.
func Address(s string) string {
	bare, err := address.Mail(s)
	if err != nil {
		return ""
	}
	return bare
}

// Name returns a display name fit for a header, "" if nothing is left of it. A backslash becomes
// a slash: net/mail writes it into encoded words, where RFC 2047 section 5 forbids it.
func Name(s string) string { return strings.ReplaceAll(header(s, maxName), `\`, "/") }

// Subject returns the subject as it is sent, "" if nothing is left of it.
func Subject(out models.OutboundMail) string { return header(out.Subject, maxSubject) }

// header returns s as one line in which no encoded word of RFC 2047 begins: a mail program
// would decode one, and show what models.CleanLine has taken out.
func header(s string, limit int) string {
	return strings.ReplaceAll(models.CleanLine(s, limit), "=?", "= ?")
}

// Threading returns the headers Message-ID, References and In-Reply-To of out, as many of them
// as there are (RFC 5322 section 3.6.4).
func Threading(out models.OutboundMail) map[string]string {
	headers := map[string]string{}
	if id := MessageID(out.MessageID); id != "" {
		headers["Message-ID"] = id
	}
	var thread []string
	for _, reference := range out.References {
		if id := MessageID(reference); id != "" {
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

// MessageID returns id in angle brackets without what could end the header or the id, or "".
func MessageID(id string) string {
	id = strings.Map(func(r rune) rune {
		if NotVisible(r) || r == '<' || r == '>' {
			return -1
		}
		return r
	}, id)
	if id == "" || len(id) > 250 {
		return ""
	}
	return "<" + id + ">"
}

// NotVisible reports whether r is anything but a visible ASCII character.
func NotVisible(r rune) bool { return r <= ' ' || r > '~' }
