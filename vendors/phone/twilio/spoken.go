package twilio

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/twilio/twilio-go/twiml"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	maxSpoken       = 1500 // runes, about two minutes of speech
	defaultLanguage = "en-US"
)

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

// Spoken is a text that a person hears on the phone.
type Spoken struct {
	Text     string // plain text; markup in it is read aloud, not obeyed; cut at 1500 characters
	Language string // BCP 47, such as "en-US" or "de-DE"; "" = en-US
}

// Menu returns the TwiML document that says m twice, waits eight seconds for one key and posts it
// (or its absence) to action. It hangs up when action does not take over. Serve it as text/xml.
func Menu(m Spoken, action string) ([]byte, error) {
	return gather(m, action, "1")
}

// maxDigits is how many keys Digits takes.
const maxDigits = 8

// Digits is Menu for up to eight keys, which the hash key ends, or eight seconds without one.
func Digits(m Spoken, action string) ([]byte, error) {
	return gather(m, action, strconv.Itoa(maxDigits))
}

func gather(m Spoken, action, digits string) ([]byte, error) {
	if u, err := url.Parse(action); err != nil || action == "" || (u.Host == "" && !strings.HasPrefix(u.Path, "/")) {
		return nil, errors.New("twilio: the address for pressed keys is not a URL")
	}
	say, err := newSay(m)
	if err != nil {
		return nil, err
	}
	say.Loop = "2"
	return document(&twiml.VoiceGather{
		Input: "dtmf", NumDigits: digits, Timeout: "8", ActionOnEmptyResult: "true",
		Action: action, Method: "POST",
		InnerElements: []twiml.Element{say},
	}, &twiml.VoiceHangup{})
}

// Say returns the TwiML document that says text once and hangs up. The rules of Spoken apply.
func Say(text, language string) ([]byte, error) {
	say, err := newSay(Spoken{Text: text, Language: language})
	if err != nil {
		return nil, err
	}
	return document(say, &twiml.VoiceHangup{})
}

// Hangup returns the TwiML document that ends the call without a word.
func Hangup() ([]byte, error) {
	return document(&twiml.VoiceHangup{})
}

func newSay(m Spoken) (*twiml.VoiceSay, error) {
	text := models.CleanLine(m.Text, maxSpoken)
	if text == "" {
		return nil, errors.New("twilio: there is nothing to say")
	}
	language := m.Language
	if language == "" {
		language = defaultLanguage
	}
	if !languageTag.MatchString(language) {
		return nil, errors.New("twilio: the language is not a BCP 47 tag")
	}
	return &twiml.VoiceSay{Message: text, Language: language}, nil
}

func document(verbs ...twiml.Element) ([]byte, error) {
	xml, err := twiml.Voice(verbs)
	if err != nil {
		return nil, fmt.Errorf("twilio: write TwiML: %w", err)
	}
	return []byte(xml), nil
}
