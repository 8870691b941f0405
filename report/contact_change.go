package report

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// ContactChange is a change of a contact as a letter tells it. Addresses and numbers are told in part: whoever has the
// old one has no business with the new one.
type ContactChange struct {
	notify.ContactChange

	Name string // of the contact, for readers who may know it; untrusted
}

// maskEmail shows the first character of a mail address, and its domain.
func maskEmail(s string) string {
	at := strings.LastIndex(s, "@")
	if at < 1 {
		return ""
	}
	_, n := utf8.DecodeRuneInString(s)
	return s[:n] + "***" + s[at:]
}

// maskPhone shows the last two digits of a number.
func maskPhone(s string) string {
	if len(s) < 5 {
		return ""
	}
	return "***" + s[len(s)-2:]
}

// contactRows writes one row for each change.
func (d *draft) contactRows(changes []ContactChange) (rows []row) {
	for _, c := range changes {
		d.changeBy(c)
		label := Defang(models.CleanLine(c.Name, 100))
		if label == "" {
			label = d.write("label/contact")
		}
		rows = append(rows, row{label, d.write("change")})
	}
	return rows
}

// changeBy finds the language's words for a change.
func (d *draft) changeBy(c ContactChange) {
	d.words.At = c.At.UTC()
	d.words.By = d.write("by/" + string(c.Role))
	block := "change/" + c.Operation
	known := d.blocks.Lookup(block) != nil
	if !known {
		block = "change/update-contact"
	}
	d.words.Change, d.words.Fields = d.write(block), ""
	if known && c.Operation != "update-contact" {
		return
	}
	var fields []string
	for _, name := range c.Fields {
		name, _, _ = strings.Cut(name, "/")
		before, after := "", ""
		switch name {
		case "email":
			before, after = maskEmail(c.Before.Email), maskEmail(c.After.Email)
		case "phone":
			before, after = maskPhone(c.Before.Phone), maskPhone(c.After.Phone)
		}
		d.words.Before, d.words.After = before, after
		block := "field/" + name
		if d.blocks.Lookup(block) == nil {
			block = "field/other"
		}
		words := d.write(block)
		if before+after != "" {
			words += " " + d.write("before-and-after")
		}
		if !slices.Contains(fields, words) {
			fields = append(fields, words)
		}
	}
	d.words.Fields = strings.Join(fields, ", ")
}
