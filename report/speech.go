package report

import (
	"errors"
	"fmt"
	"strings"

	"github.com/watchfire-mdr/watchfire/models"
)

// Speech is a text to say on the phone. Text is plain; Language is the BCP 47 tag to read it in, such as "de-DE".
type Speech struct{ Text, Language string }

// Announcement is the content of a call about an incident. Nothing in it but Host is confidential: no title, no client
// name.
type Announcement struct {
	Menu      string // the block that is said: "menu", "approval-menu", "approval-details" or "approval-pin"
	Language  string // BCP 47, as the client wrote it
	Reference models.Reference
	Severity  models.Severity
	Drill     bool
	Code      string // four digits that prove the caller; "" leaves the sentence out
	Before    string // the sentence said first: "wrong", "again", "pin-wrong" or ""
	Release   bool   // of an approval: a release is asked for, not an isolation
	Host      string // of "approval-details": the device's name, as the EDR or a person wrote it
}

// Menu says the matter of a call and the keys to press. A malformed reference or code, and a severity or a menu without
// words, is an error.
func (l Languages) Menu(a Announcement) (Speech, error) {
	if _, err := models.ParseReference(string(a.Reference)); err != nil {
		return Speech{}, fmt.Errorf("report: %w", err)
	}
	if a.Code != "" && !fourDigits.MatchString(a.Code) {
		return Speech{}, errors.New("report: the code is not four digits")
	}
	d := &draft{vocabulary: l.in(a.Language)}
	d.words = words{Reference: spell(string(a.Reference)), Drill: a.Drill, Code: spell(a.Code), Release: a.Release, Host: spell(models.CleanLine(a.Host, 64))}
	d.name(a.Severity)
	return d.speech(d.after(a.Before, a.Menu))
}

// after writes a block, and before it a sentence, if one is named.
func (d *draft) after(before, block string) string {
	text := d.write(block)
	if before != "" {
		text = d.write("say/"+before) + " " + text
	}
	return text
}

// Sentence says one of the sentences that end a call: "already", "over", "key1", "key3", "goodbye", and of
// approvals "approved", "denied", "settled" or "pin-over".
func (l Languages) Sentence(language, name string) (Speech, error) {
	d := &draft{vocabulary: l.in(language)}
	return d.speech(d.write("say/" + name))
}

// SpokenCode says a verification code of six digits twice, digit by digit.
func (l Languages) SpokenCode(language, code string) (Speech, error) {
	if !sixDigits.MatchString(code) {
		return Speech{}, errors.New("report: the code is not six digits")
	}
	d := &draft{vocabulary: l.in(language), words: words{Code: strings.Join(strings.Split(code, ""), ", ")}}
	return d.speech(d.write("spoken-code"))
}

// Answer is the short message that answers a reply: "recorded", "already", "not-recognised" or "over".
func (l Languages) Answer(language, name string) (string, error) {
	d := &draft{vocabulary: l.in(language)}
	text := d.write("answer/" + name)
	if d.err != nil {
		return "", fmt.Errorf("report: %w", d.err)
	}
	return text, nil
}

// speech adds the voice to what was written.
func (d *draft) speech(text string) (Speech, error) {
	voice := d.write("voice")
	if d.err != nil {
		return Speech{}, fmt.Errorf("report: %w", d.err)
	}
	return Speech{Text: text, Language: voice}, nil
}

// spell writes a reference or code so that a voice reads it letter by letter and digit by digit.
func spell(s string) string {
	var parts []string
	for part := range strings.SplitSeq(s, "-") {
		parts = append(parts, strings.Join(strings.Split(part, ""), " "))
	}
	return strings.Join(parts, ", ")
}
