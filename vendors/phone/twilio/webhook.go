package twilio

import (
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"

	"github.com/watchfire-mdr/watchfire/models"
)

// Signatures decides whether a request to our webhooks comes from Twilio, for one account. It is
// immutable and safe for concurrent use.
type Signatures struct {
	account    string
	validators []client.RequestValidator
}

// NewSignatures returns the verifier for an account. While tokens are rotated both are given.
// It rejects a malformed account, no token, and any empty token: an empty key would accept what
// anybody can sign.
func NewSignatures(account string, tokens ...string) (*Signatures, error) {
	if !accountSID.MatchString(account) {
		return nil, errors.New("twilio: the account SID must be AC and 32 lower-case hexadecimal digits")
	}
	if len(tokens) == 0 || slices.Contains(tokens, "") {
		return nil, errors.New("twilio: an empty token cannot check signatures")
	}
	s := &Signatures{account: account}
	for _, token := range tokens {
		s.validators = append(s.validators, client.NewRequestValidator(token))
	}
	return s, nil
}

// macBytes is the length of an HMAC-SHA1.
const macBytes = 20

// IsSignature reports whether a header X-Twilio-Signature has the form of one: base64 of an
// HMAC-SHA1. It says nothing of who made it, and costs nothing to ask before a body is read.
func IsSignature(header string) bool {
	mac, err := base64.StdEncoding.DecodeString(header)
	return err == nil && len(mac) == macBytes
}

// Valid reports whether signature (header X-Twilio-Signature) was made by Twilio over publicURL
// and form, and the form names our account. publicURL is the configured public address with the
// request's path and query, never taken from the request's Host; form is the decoded body.
// Twilio signs no time, so the caller must take the same request twice without harm.
func (s *Signatures) Valid(publicURL string, form url.Values, signature string) bool {
	if signature == "" || form.Get("AccountSid") != s.account {
		return false
	}
	address, _, _ := strings.Cut(publicURL, "#") // never sent, so never signed
	params := signed(form)
	valid := false
	for i := range s.validators { // all of them, so that timing does not tell which token is in use
		valid = s.validators[i].Validate(address, params, signature) || valid
	}
	return valid
}

// signed flattens the form so that the SDK, which takes one value per key, signs every distinct
// value of a repeated key in order, as Twilio does.
func signed(form url.Values) map[string]string {
	params := make(map[string]string, len(form))
	for key, values := range form {
		distinct := slices.Compact(slices.Sorted(slices.Values(values)))
		params[key] = strings.Join(distinct, key)
	}
	return params
}

// CallReport is the content of one request of Twilio about a call: a status callback, the request
// for the words to say, or the result of a Gather.
type CallReport struct {
	CallID     string
	Status     models.CallStatus
	Sequence   int           // orders status callbacks; -1 when the request has none
	SIPCode    string        // the carrier's SIP response, such as "480"; "" when not given
	AnsweredBy string        // only with answering machine detection: "human", "machine_start", …
	Duration   time.Duration // of a finished call, whole seconds
	Digits     string        // pressed keys, of 0-9 * # A-D; "" after a Gather without input
}

var (
	sipCode    = regexp.MustCompile(`^[1-9][0-9]{2}$`)
	answeredBy = regexp.MustCompile(`^[a-z_]{1,32}$`)
	keys       = regexp.MustCompile(`^[0-9*#A-Dw]{0,32}$`)
)

// ParseReport reads the form of a request whose signature was checked. It returns a *models.Error
// of kind Invalid when the call, its status, the sequence number or the keys cannot be understood.
func ParseReport(form url.Values) (CallReport, error) {
	r := CallReport{
		CallID:   form.Get("CallSid"),
		Status:   models.CallStatus(form.Get("CallStatus")),
		Sequence: -1,
		Digits:   form.Get("Digits"),
	}
	switch {
	case !callSID.MatchString(r.CallID):
		return CallReport{}, models.InvalidField("/CallSid", "not a call id")
	case !known(r.Status):
		return CallReport{}, models.InvalidField("/CallStatus", "not a call status")
	case !keys.MatchString(r.Digits):
		return CallReport{}, models.InvalidField("/Digits", "not keys of a phone")
	}
	if n := form.Get("SequenceNumber"); n != "" {
		sequence, err := strconv.ParseUint(n, 10, 31)
		if err != nil {
			return CallReport{}, models.InvalidField("/SequenceNumber", "not a sequence number")
		}
		r.Sequence = int(sequence)
	}
	if code := form.Get("SipResponseCode"); sipCode.MatchString(code) {
		r.SIPCode = code
	}
	if by := form.Get("AnsweredBy"); answeredBy.MatchString(by) {
		r.AnsweredBy = by
	}
	if seconds, err := strconv.ParseUint(form.Get("CallDuration"), 10, 31); err == nil {
		r.Duration = time.Duration(seconds) * time.Second
	}
	return r, nil
}

func known(s models.CallStatus) bool {
	switch s {
	case models.CallQueued, models.CallInitiated, models.CallRinging, models.CallInProgress:
		return true
	}
	return s.IsFinal()
}

// MachineReport is Twilio's finding after a call with OutboundCall.MachineURL was picked up.
type MachineReport struct {
	CallID     string
	AnsweredBy string // "human", "machine_start", "fax", "unknown", …
}

// Machine reports whether something other than a person picked up. Unknown is no machine.
func (r MachineReport) Machine() bool {
	return strings.HasPrefix(r.AnsweredBy, "machine_") || r.AnsweredBy == "fax"
}

// ParseMachine reads the form of a request to OutboundCall.MachineURL whose signature was
// checked. It returns a *models.Error of kind Invalid when the call or the finding cannot be
// understood.
func ParseMachine(form url.Values) (MachineReport, error) {
	r := MachineReport{CallID: form.Get("CallSid"), AnsweredBy: form.Get("AnsweredBy")}
	switch {
	case !callSID.MatchString(r.CallID):
		return MachineReport{}, models.InvalidField("/CallSid", "not a call id")
	case !answeredBy.MatchString(r.AnsweredBy):
		return MachineReport{}, models.InvalidField("/AnsweredBy", "not a finding of who answered")
	}
	return r, nil
}
