package twilio

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// element is any element of a parsed document.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e element) names() string {
	var names []string
	for _, c := range e.Children {
		names = append(names, c.XMLName.Local)
	}
	return strings.Join(names, " ")
}

func parse(t interface{ Fatalf(string, ...any) }, doc []byte, err error) element {
	var root element
	if err != nil {
		t.Fatalf("no document: %v", err)
	}
	if err := xml.Unmarshal(doc, &root); err != nil {
		t.Fatalf("not XML: %v\n%s", err, doc)
	}
	if root.XMLName.Local != "Response" {
		t.Fatalf("root %s", root.XMLName.Local)
	}
	return root
}

func TestMenu(t *testing.T) {
	action := "https://mdr.example/hooks/twilio/key?c=k1&lang=de"
	doc, err := Menu(Spoken{Text: "Kritischer Vorfall. Drücken Sie 1.", Language: "de-DE"}, action)
	root := parse(t, doc, err)
	if root.names() != "Gather Hangup" {
		t.Fatalf("verbs %q", root.names())
	}
	gather := root.Children[0]
	for name, want := range map[string]string{
		"input": "dtmf", "numDigits": "1", "timeout": "8", "actionOnEmptyResult": "true", "method": "POST", "action": action,
	} {
		if got := gather.attr(name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	if gather.names() != "Say" {
		t.Fatalf("inside Gather: %q", gather.names())
	}
	say := gather.Children[0]
	if say.Text != "Kritischer Vorfall. Drücken Sie 1." || say.attr("language") != "de-DE" || say.attr("loop") != "2" {
		t.Errorf("says %+v", say)
	}
}

func TestDigitsTakesAWholePIN(t *testing.T) {
	doc, err := Digits(Spoken{Text: "Enter your PIN.", Language: "en-US"}, "https://mdr.example/key")
	gather := parse(t, doc, err).Children[0]
	if got, end := gather.attr("numDigits"), gather.attr("finishOnKey"); got != "8" || end != "" { // then it is the hash key
		t.Errorf("numDigits=%q finishOnKey=%q", got, end)
	}
}

func TestSayAndHangup(t *testing.T) {
	doc, err := Say("Thank you.", "")
	root := parse(t, doc, err)
	if root.names() != "Say Hangup" || root.Children[0].Text != "Thank you." ||
		root.Children[0].attr("language") != "en-US" || root.Children[0].attr("loop") != "" {
		t.Errorf("%s", doc)
	}
	doc, err = Hangup()
	if root = parse(t, doc, err); root.names() != "Hangup" {
		t.Errorf("%s", doc)
	}
}

func TestHostileTextIsReadAloudNotObeyed(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"markup":          {`</Say><Dial>+1900</Dial>`, `</Say><Dial>+1900</Dial>`},
		"entities":        {`a & b &amp; "c" ]]>`, `a & b &amp; "c" ]]>`},
		"line breaks":     {"one\r\ntwo\u2028three", "one two three"},
		"template":        {"{{.Secret}} ${x}", "{{.Secret}} ${x}"},
		"direction marks": {"pay\u202Eexe\u200F", "payexe"},
		"controls":        {"a\x00\x08b\x0bc", "a b c"},
		"noncharacters":   {"a\uFFFEb\uFFFFc", "abc"},
	} {
		doc, err := Menu(Spoken{Text: c.text}, "https://mdr.example/key")
		root := parse(t, doc, err)
		if root.names() != "Gather Hangup" || root.Children[0].names() != "Say" || root.Children[0].Children[0].Text != c.want {
			t.Errorf("%s: %s", name, doc)
		}
	}
}

func TestTextIsBounded(t *testing.T) {
	doc, err := Menu(Spoken{Text: strings.Repeat("wörter ", 1500)}, "/key")
	root := parse(t, doc, err)
	if n := utf8.RuneCountInString(root.Children[0].Children[0].Text); n == 0 || n > maxSpoken {
		t.Errorf("%d characters", n)
	}
}

func TestAnyTextGivesTheSameVerbs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "x" + rapid.String().Draw(t, "text")
		doc, err := Say(text, "en-GB")
		if root := parse(t, doc, err); root.names() != "Say Hangup" || root.Children[0].names() != "" {
			t.Fatalf("%q gives %s", text, doc)
		}
	})
}

func TestDocumentsReject(t *testing.T) {
	for name, c := range map[string]struct {
		m      Spoken
		action string
	}{
		"nothing to say":      {Spoken{Text: "\r\n\u200b"}, "/key"},
		"no action":           {Spoken{Text: "Hello"}, ""},
		"action without path": {Spoken{Text: "Hello"}, "key"},
		"action with control": {Spoken{Text: "Hello"}, "https://mdr.example/\r\n"},
		"language injection":  {Spoken{Text: "Hello", Language: `en" voice="x`}, "/key"},
	} {
		if doc, err := Menu(c.m, c.action); err == nil {
			t.Errorf("%s: %s", name, doc)
		}
	}
}
