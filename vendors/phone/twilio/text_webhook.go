package twilio

import (
	"fmt"
	"net/url"
	"regexp"

	"github.com/twilio/twilio-go/twiml"

	"github.com/watchfire-mdr/watchfire/models"
)

const maxReply = 320 // runes, two to five parts of a short message

var errorCode = regexp.MustCompile(`^[0-9]{1,6}$`)

// TextReport is the content of one status callback about a short message of ours. Callbacks of one
// message may come out of order and carry no number: never leave a final status.
type TextReport struct {
	TextID    string
	Status    models.TextStatus
	ErrorCode string // Twilio's code for an undelivered or failed message, such as "30003"; "" when not given
}

// ParseTextReport reads the form of a request to OutboundText.StatusURL whose signature was
// checked. It returns a *models.Error of kind Invalid when the message or its status cannot be
// understood.
func ParseTextReport(form url.Values) (TextReport, error) {
	r := TextReport{TextID: form.Get("MessageSid"), Status: models.TextStatus(form.Get("MessageStatus"))}
	switch {
	case !textSID.MatchString(r.TextID):
		return TextReport{}, models.InvalidField("/MessageSid", "not a message id")
	case !knownText(r.Status):
		return TextReport{}, models.InvalidField("/MessageStatus", "not a status of a message")
	}
	if code := form.Get("ErrorCode"); errorCode.MatchString(code) {
		r.ErrorCode = code
	}
	return r, nil
}

func knownText(s models.TextStatus) bool {
	switch s {
	case models.TextAccepted, models.TextQueued, models.TextSending, models.TextSent,
		models.TextDelivered, models.TextUndelivered, models.TextFailed:
		return true
	}
	return false
}

// IncomingText is a short message somebody sent to our number. The number it claims to come from
// can be forged.
type IncomingText struct {
	TextID string
	From   string // E.164
	Body   string // untrusted, as one line of at most 1600 characters; "" when only a picture was sent
}

// ParseIncoming reads the form of a request with a message to us whose signature was checked. It
// returns a *models.Error of kind Invalid when the message has no id or does not come from a
// phone number (but from a short code or a name).
func ParseIncoming(form url.Values) (IncomingText, error) {
	in := IncomingText{
		TextID: form.Get("MessageSid"),
		From:   form.Get("From"),
		Body:   models.CleanLine(form.Get("Body"), maxText),
	}
	switch {
	case !textSID.MatchString(in.TextID):
		return IncomingText{}, models.InvalidField("/MessageSid", "not a message id")
	case !e164.MatchString(in.From):
		return IncomingText{}, models.InvalidField("/From", "not a phone number")
	}
	return in, nil
}

// Reply returns the TwiML document that answers an incoming message with text, as one line of at
// most 320 characters, or with silence if text is "". Serve it as text/xml.
func Reply(text string) ([]byte, error) {
	var verbs []twiml.Element
	if line := models.CleanLine(text, maxReply); line != "" {
		verbs = append(verbs, &twiml.MessagingMessage{Body: line})
	}
	xml, err := twiml.Messages(verbs)
	if err != nil {
		return nil, fmt.Errorf("twilio: write TwiML: %w", err)
	}
	return []byte(xml), nil
}
