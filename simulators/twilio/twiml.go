package twilio

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// verb is one TwiML instruction.
type verb struct {
	name   string
	attrs  map[string]string
	text   string // the character data, also inside speech markup
	nested []verb // of a Gather
}

// intAttribute returns a numeric attribute, which checkValues has checked, or absent without one.
func (v verb) intAttribute(name string, absent int) int {
	n, err := strconv.Atoi(v.attrs[name])
	if err != nil {
		return absent
	}
	return n
}

// parseTwiML reads a voice document and refuses unknown verbs and attributes.
func parseTwiML(doc []byte) ([]verb, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	root, err := nextElement(d)
	if err != nil {
		return nil, fmt.Errorf("no document: %w", err)
	}
	if root == nil || root.Name.Local != "Response" || len(root.Attr) > 0 {
		return nil, errors.New("the root must be a plain Response")
	}
	verbs, text, err := parseVerbs(d, "")
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) != "" {
		return nil, errors.New("text outside of any verb")
	}
	if after, err := nextElement(d); after != nil || (err != nil && !errors.Is(err, io.EOF)) {
		return nil, errors.New("something follows the Response")
	}
	return verbs, nil
}

// nextElement skips to the next start tag and refuses text before it.
func nextElement(d *xml.Decoder) (*xml.StartElement, error) {
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch tok := token.(type) {
		case xml.StartElement:
			return &tok, nil
		case xml.CharData:
			if len(bytes.TrimSpace(tok)) > 0 {
				return nil, errors.New("text outside of the Response")
			}
		}
	}
}

// parseVerbs reads up to the end tag of the current element.
func parseVerbs(d *xml.Decoder, parent string) ([]verb, string, error) {
	var verbs []verb
	var text strings.Builder
	for {
		token, err := d.Token()
		if err != nil {
			return nil, "", fmt.Errorf("broken document: %w", err)
		}
		switch tok := token.(type) {
		case xml.EndElement:
			return verbs, text.String(), nil
		case xml.CharData:
			text.Write(tok)
		case xml.StartElement:
			v, err := parseVerb(d, tok, parent)
			if err != nil {
				return nil, "", err
			}
			verbs = append(verbs, v)
			if parent == "Say" {
				text.WriteString(v.text)
			}
		}
	}
}

func parseVerb(d *xml.Decoder, start xml.StartElement, parent string) (verb, error) {
	v := verb{name: start.Name.Local, attrs: map[string]string{}}
	if !isAllowedIn(parent, v.name) {
		return v, fmt.Errorf("%q is not allowed here", v.name)
	}
	for _, a := range start.Attr {
		if parent != "Say" && !slices.Contains(verbAttributes(v.name), a.Name.Local) {
			return v, fmt.Errorf("%s has no attribute %q", v.name, a.Name.Local)
		}
		v.attrs[a.Name.Local] = a.Value
	}
	inside := v.name
	if parent == "Say" {
		inside = "Say" // speech markup may hold speech markup
	}
	nested, text, err := parseVerbs(d, inside)
	if err != nil {
		return v, err
	}
	v.nested, v.text = nested, strings.Join(strings.Fields(text), " ")
	if parent == "Say" {
		v.text = text
		return v, nil
	}
	return v, v.checkValues()
}

// isAllowedIn reports whether an element may stand inside parent; "" is the Response.
func isAllowedIn(parent, name string) bool {
	switch parent {
	case "":
		return slices.Contains([]string{"Say", "Play", "Pause", "Gather", "Redirect", "Hangup", "Reject"}, name)
	case "Gather":
		return slices.Contains([]string{"Say", "Play", "Pause"}, name)
	case "Say":
		return slices.Contains([]string{"break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"}, name)
	}
	return false
}

func verbAttributes(name string) []string {
	switch name {
	case "Say":
		return []string{"voice", "language", "loop"}
	case "Play":
		return []string{"loop", "digits"}
	case "Pause":
		return []string{"length"}
	case "Gather":
		return []string{"action", "method", "timeout", "numDigits", "finishOnKey", "input", "actionOnEmptyResult",
			"language", "hints", "profanityFilter", "speechTimeout", "partialResultCallback", "partialResultCallbackMethod"}
	case "Redirect":
		return []string{"method"}
	case "Reject":
		return []string{"reason"}
	}
	return nil
}

// checkValues refuses values that the vendor does not document.
func (v verb) checkValues() error {
	for _, name := range []string{"timeout", "numDigits", "loop", "length"} {
		value, given := v.attrs[name]
		n, err := strconv.Atoi(value)
		if given && (err != nil || n < 0 || (name == "numDigits" && n == 0)) {
			return fmt.Errorf("%s: %s is not a valid number", v.name, name)
		}
	}
	if m, given := v.attrs["method"]; given && m != "GET" && m != "POST" {
		return fmt.Errorf("%s: method must be GET or POST", v.name)
	}
	if input, given := v.attrs["input"]; given && !slices.Contains(strings.Fields(input), "dtmf") {
		return fmt.Errorf("input %q of Gather is not simulated", input)
	}
	if b, given := v.attrs["actionOnEmptyResult"]; given && b != "true" && b != "false" {
		return errors.New("actionOnEmptyResult must be true or false")
	}
	if v.name == "Say" && (v.text == "" || utf8.RuneCountInString(v.text) > 4096) {
		return errors.New("a Say needs 1 to 4096 characters")
	}
	if v.name == "Redirect" && v.text == "" {
		return errors.New("a Redirect needs an address")
	}
	if v.name != "Say" && v.name != "Redirect" && v.name != "Play" && v.text != "" {
		return fmt.Errorf("%s holds text", v.name)
	}
	return nil
}
