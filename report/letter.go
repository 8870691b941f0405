package report

import (
	"errors"
	"regexp"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// Letter is the content of a mail or a short message.
type Letter struct {
	Purpose    notify.Purpose
	Occurrence int
	Language   string // BCP 47, as the client wrote it; English stands in for a language without a text
	Reference  models.Reference
	Severity   models.Severity
	Title      string // untrusted
	Revision   int
	Drill      bool
	Code       string    // six digits that verify an address or, sent back, acknowledge an incident; "" leaves the sentence out
	At         time.Time // of a review, in the client's zone
	Changes    []ContactChange
	Accepted   []Acceptance
}

// Acceptance says who accepted a risk that remains, and until which day in the client's zone.
type Acceptance struct {
	By    string // untrusted; "" when it is not known
	Until time.Time
}

// maxAccepted bounds the acceptances that a letter names.
const maxAccepted = 10

var (
	sixDigits  = regexp.MustCompile(`^[0-9]{6}$`)
	fourDigits = regexp.MustCompile(`^[0-9]{4}$`)
)

// aboutIncident reports whether a purpose concerns one incident; the others have neither reference nor severity.
func aboutIncident(p notify.Purpose) bool {
	return p != notify.PurposeReview && p != notify.PurposeTest && p != notify.PurposeCode && p != notify.PurposeContactChanged
}

// draft is a text in the making. The first error stays, and nothing is written after it.
type draft struct {
	vocabulary
	words words
	err   error
}

func (d *draft) write(block string) string {
	if d.err != nil {
		return ""
	}
	var text string
	text, d.err = d.vocabulary.write(block, d.words)
	return text
}

// marked writes a block, with the drill's mark before it in a drill.
func (d *draft) marked(block string) string {
	if d.words.Drill {
		return d.write("drill") + " " + d.write(block)
	}
	return d.write(block)
}

// name finds the language's words for a severity.
func (d *draft) name(s models.Severity) {
	d.words.Severity = d.write("severity/" + string(s))
	d.words.Incident = d.write("incident/" + string(s))
}

// draft checks a letter and returns a draft with the words its blocks may use.
func (l Languages) draft(about Letter) *draft {
	d := &draft{vocabulary: l.in(about.Language), err: about.check()}
	d.words = words{
		Title: Defang(models.CleanLine(about.Title, models.MaxTitle)), Revision: about.Revision, Occurrence: about.Occurrence,
		Drill: about.Drill, Code: about.Code, At: about.At, Accepted: len(about.Accepted) > 0,
	}
	if aboutIncident(about.Purpose) {
		d.words.Reference = string(about.Reference)
		d.name(about.Severity)
	}
	return d
}

// check rejects a letter that would read as nonsense. Errors repeat nothing of the letter: codes are secret.
func (l Letter) check() error {
	if aboutIncident(l.Purpose) {
		if _, err := models.ParseReference(string(l.Reference)); err != nil {
			return err
		}
	}
	switch {
	case l.Code != "" && !sixDigits.MatchString(l.Code), l.Code == "" && l.Purpose == notify.PurposeCode:
		return errors.New("the code is not six digits")
	case len(l.Changes) == 0 && l.Purpose == notify.PurposeContactChanged:
		return errors.New("the notice has no change")
	case l.At.IsZero() && l.Purpose == notify.PurposeReview:
		return errors.New("the review has no time")
	}
	return nil
}
