package twilio

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Codes of Twilio's errors for a text that it refuses.
const (
	codeNoBody       = 21602
	codeNoTextFrom   = 21603
	codeNoTextTo     = 21604
	codeForeignFrom  = 21606
	codeUnsubscribed = 21610
	codeBodyTooLong  = 21617
	codeBadTextFrom  = 21212
	codeValidity     = 21625
)

const maxTextRunes = 1600

func refuseTextRecipient(to string) *refusal {
	return &refusal{codeInvalidTo, "Invalid 'To' Phone Number: " + to}
}

func (t *simulator) checkText(f url.Values) *refusal {
	to, from, body := f.Get("To"), f.Get("From"), f.Get("Body")
	switch {
	case to == "":
		return &refusal{codeNoTextTo, "A 'To' phone number is required."}
	case from == "":
		return &refusal{codeNoTextFrom, "A 'From' phone number is required."}
	case !isE164(to):
		return refuseTextRecipient(to)
	case !isE164(from):
		return &refusal{codeBadTextFrom, "The 'From' number " + from + " is not a valid phone number, shortcode, or alphanumeric sender ID."}
	case from != t.from:
		return &refusal{codeForeignFrom, "The 'From' phone number provided (" + from + ") is not a valid, message-capable phone number of this account."}
	case body == "":
		return &refusal{codeNoBody, "Message body is required."}
	case utf8.RuneCountInString(body) > maxTextRunes:
		return &refusal{codeBodyTooLong, "The concatenated message body exceeds the 1600 character limit."}
	case f.Get("StatusCallback") != "" && !isWebhookURL(f.Get("StatusCallback")):
		return &refusal{codeStatusCallback, "The StatusCallback URL is not a valid URL."}
	case !isValidityPeriod(f.Get("ValidityPeriod")):
		return &refusal{codeValidity, "ValidityPeriod must be an integer from 1 to 36000."}
	}
	return nil
}

// isValidityPeriod reports whether a period in seconds is valid; none is.
func isValidityPeriod(seconds string) bool {
	n, err := strconv.Atoi(seconds)
	return seconds == "" || err == nil && n >= 1 && n <= 36000
}

// noteLinks records a link in a text as a violation: the product promises to send none.
func (t *simulator) noteLinks(op, body string) {
	lower := strings.ToLower(body)
	for _, sign := range []string{"http://", "https://", "www."} {
		if strings.Contains(lower, sign) {
			t.Violations.Add(t.Now(), op, "the text contains a link")
			return
		}
	}
}

// gsm7 are the characters that a segment of 160 can hold; those of gsm7Extended count twice.
const (
	gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ" +
		"ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsm7Extended = "\f^{}\\[~]|€"
)

// countSegments returns the number of messages that the network carries for a body (3GPP TS 23.038):
// each holds 160 characters of the network's alphabet or 70 of any other, a few less of several.
func countSegments(body string) int {
	units, single, several := 0, 160, 153
	for _, r := range body {
		switch {
		case strings.ContainsRune(gsm7, r):
			units++
		case strings.ContainsRune(gsm7Extended, r):
			units += 2
		default:
			single, several = 70, 67
		}
	}
	if single == 70 {
		units = len(utf16.Encode([]rune(body)))
	}
	if units <= single {
		return 1
	}
	return (units + several - 1) / several
}
