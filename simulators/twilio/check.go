package twilio

import (
	"maps"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// Codes of Twilio's errors for a call that it refuses.
const (
	codeBadParameter   = 20001
	codeNoTo           = 21201
	codeInvalidURL     = 21205
	codeInvalidFrom    = 21210
	codeInvalidTo      = 21211
	codeNoFrom         = 21213
	codeInvalidApp     = 21218
	codeStatusCallback = 21609
	codeStatusEvents   = 21626
)

// refusal is the reason why Twilio refuses a form.
type refusal struct {
	code    int
	message string
}

func badParameter(message string) *refusal { return &refusal{codeBadParameter, message} }

func createCallFields() []string {
	return []string{"To", "From", "Url", "Twiml", "ApplicationSid", "Method", "FallbackUrl", "FallbackMethod",
		"StatusCallback", "StatusCallbackEvent", "StatusCallbackMethod", "SendDigits", "Timeout", "TimeLimit",
		"Record", "RecordingChannels", "RecordingStatusCallback", "RecordingStatusCallbackMethod",
		"RecordingStatusCallbackEvent", "RecordingTrack", "Trim", "CallerId", "CallReason", "CallToken", "Byoc",
		"SipAuthUsername", "SipAuthPassword", "ClientNotificationUrl", "MachineDetection", "MachineDetectionTimeout",
		"MachineDetectionSpeechThreshold", "MachineDetectionSpeechEndThreshold", "MachineDetectionSilenceTimeout",
		"AsyncAmd", "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod"}
}

// readForm parses a form and refuses unknown fields and repeated values.
func readForm(r *stage.Request, known []string) (url.Values, *refusal) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badParameter("the body must be application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(r.Payload))
	if err != nil {
		return nil, badParameter("the form cannot be read")
	}
	if r.URL.RawQuery != "" {
		return nil, badParameter("parameters belong into the form, not into the query")
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if !slices.Contains(known, name) {
			return nil, badParameter("unknown parameter " + name)
		}
		if len(form[name]) > 1 && !strings.HasSuffix(name, "CallbackEvent") {
			return nil, badParameter(name + " was given more than once")
		}
	}
	return form, nil
}

// checkCreate holds a new call against everything that Twilio documents. It is stricter than the
// vendor's contract file, which accepts most calls that checkCreate refuses.
func (t *simulator) checkCreate(f url.Values) *refusal {
	for _, check := range []func(url.Values) *refusal{
		t.checkNumbers, checkInstructions, checkURLs, checkEnums, checkIntegers,
	} {
		if bad := check(f); bad != nil {
			return bad
		}
	}
	if f.Get("SendDigits") != "" && f.Get("MachineDetection") != "" {
		return badParameter("SendDigits switches MachineDetection off")
	}
	if f.Has("AsyncAmd") && f.Get("MachineDetection") == "" {
		return badParameter("AsyncAmd needs MachineDetection")
	}
	if (f.Has("AsyncAmdStatusCallback") || f.Has("AsyncAmdStatusCallbackMethod")) && f.Get("AsyncAmd") != "true" {
		return badParameter("AsyncAmdStatusCallback needs AsyncAmd")
	}
	if d := f.Get("SendDigits"); len(d) > 32 || strings.Trim(d, "0123456789ABCD#*wW") != "" {
		return badParameter("SendDigits is not valid")
	}
	return nil
}

func (t *simulator) checkNumbers(f url.Values) *refusal {
	switch {
	case f.Get("To") == "":
		return &refusal{codeNoTo, "No 'To' number is specified"}
	case f.Get("From") == "":
		return &refusal{codeNoFrom, "'From' phone number is required"}
	case !isE164(f.Get("To")):
		return &refusal{codeInvalidTo, "The phone number you are attempting to call, " + f.Get("To") + ", is not valid."}
	case f.Get("From") != t.from:
		return &refusal{codeInvalidFrom, "The source phone number provided, " + f.Get("From") + ", is not yet verified for your account."}
	}
	return nil
}

func checkInstructions(f url.Values) *refusal {
	given := 0
	for _, name := range []string{"Url", "Twiml", "ApplicationSid"} {
		if f.Get(name) != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return &refusal{codeInvalidURL, "Exactly one of Url, Twiml and ApplicationSid is required"}
	case f.Get("ApplicationSid") != "":
		return &refusal{codeInvalidApp, "Invalid ApplicationSid"}
	case utf8.RuneCountInString(f.Get("Twiml")) > 4000:
		return badParameter("Twiml is longer than 4000 characters")
	}
	if doc := f.Get("Twiml"); doc != "" {
		if _, err := parseTwiML([]byte(doc)); err != nil {
			return badParameter("Twiml: " + err.Error())
		}
	}
	return nil
}

func checkURLs(f url.Values) *refusal {
	for _, name := range []string{"Url", "FallbackUrl", "StatusCallback", "RecordingStatusCallback",
		"AsyncAmdStatusCallback", "ClientNotificationUrl"} {
		if f.Get(name) == "" || isWebhookURL(f.Get(name)) {
			continue
		}
		code := codeInvalidURL
		if name == "StatusCallback" {
			code = codeStatusCallback
		}
		return &refusal{code, name + " is not a valid URL"}
	}
	return nil
}

func checkEnums(f url.Values) *refusal {
	for _, event := range f["StatusCallbackEvent"] {
		if !slices.Contains([]string{"initiated", "ringing", "answered", "completed"}, event) {
			return &refusal{codeStatusEvents, "Invalid StatusCallbackEvent " + event}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		var allowed []string
		switch {
		case strings.HasSuffix(name, "Method"):
			allowed = []string{"GET", "POST"}
		case name == "MachineDetection":
			allowed = []string{"Enable", "DetectMessageEnd"}
		case name == "AsyncAmd" || name == "Record":
			allowed = []string{"true", "false"}
		case name == "Trim":
			allowed = []string{"trim-silence", "do-not-trim"}
		case name == "RecordingChannels":
			allowed = []string{"mono", "dual"}
		case name == "RecordingTrack":
			allowed = []string{"inbound", "outbound", "both"}
		default:
			continue
		}
		if !slices.Contains(allowed, f.Get(name)) {
			return badParameter(name + " must be one of " + strings.Join(allowed, ", "))
		}
	}
	return nil
}

func checkIntegers(f url.Values) *refusal {
	for _, limit := range []struct {
		name     string
		min, max int
	}{
		{"Timeout", 1, 600},
		{"TimeLimit", 1, 86_400},
		{"MachineDetectionTimeout", 3, 120},
		{"MachineDetectionSpeechThreshold", 1000, 6000},
		{"MachineDetectionSpeechEndThreshold", 500, 5000},
		{"MachineDetectionSilenceTimeout", 2000, 10_000},
	} {
		if !f.Has(limit.name) {
			continue
		}
		n, err := strconv.Atoi(f.Get(limit.name))
		if err != nil || n < limit.min || n > limit.max {
			return badParameter(limit.name + " must be an integer from " + strconv.Itoa(limit.min) + " to " + strconv.Itoa(limit.max))
		}
	}
	return nil
}

// isE164 reports whether s is a plus sign and 7 to 15 digits that do not begin with 0.
func isE164(s string) bool {
	digits, plus := strings.CutPrefix(s, "+")
	return plus && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// isWebhookURL reports whether Twilio would call s: https with a valid host name, or plain http on a
// loopback address.
func isWebhookURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Hostname(), "_") {
		return false
	}
	return u.Scheme == "https" || (u.Scheme == "http" && stage.IsLoopback(u.Hostname()))
}
