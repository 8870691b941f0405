package twilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// sign is Twilio's published rule, written here on its own: the URL, then every parameter's name
// and value in order of names, HMAC-SHA1, base64.
func sign(key, address string, form url.Values) string {
	text := address
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			text += name + value
		}
	}
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestSignatures(t *testing.T) {
	const address = "https://mdr.example/hooks/twilio/status?c=k%201"
	form := func() url.Values {
		return url.Values{
			"AccountSid": {account}, "CallSid": {sid}, "CallStatus": {"completed"},
			"SequenceNumber": {"3"}, "To": {to}, "Empty": {""}, "Ünï": {"日本 +&="},
		}
	}
	with := func(name string, values ...string) url.Values {
		f := form()
		f[name] = values
		return f
	}
	s, err := NewSignatures(account, token, "secondtoken")
	if err != nil {
		t.Fatal(err)
	}
	good := sign(token, address, form())
	for _, c := range []struct {
		name, address string
		form          url.Values
		signature     string
		want          bool
	}{
		{"as signed", address, form(), good, true},
		{"with the second token", address, form(), sign("secondtoken", address, form()), true},
		{"fragment of the configured URL is not signed", address + "#rc=3&rp=all", form(), good, true},
		{"port named", "https://mdr.example:443/x", form(), sign(token, "https://mdr.example/x", form()), true},
		{"own port", "https://mdr.example:8443/x", form(), sign(token, "https://mdr.example:8443/x", form()), true},
		{"repeated key", address, with("Many", "a", "b"), sign(token, address, with("Many", "a", "b")), true},
		{"value added to a key", address, with("CallStatus", "completed", "busy"), good, false},
		{"third token", address, form(), sign("thirdtoken", address, form()), false},
		{"empty token", address, form(), sign("", address, form()), false},
		{"no signature", address, form(), "", false},
		{"not base64", address, form(), "%%%", false},
		{"changed status", address, with("CallStatus", "busy"), good, false},
		{"added field", address, with("Digits", "1"), good, false},
		{"other query", "https://mdr.example/hooks/twilio/status?c=k2", form(), good, false},
		{"other host", "https://evil.example/hooks/twilio/status?c=k%201", form(), good, false},
		{"other scheme", "http://mdr.example/hooks/twilio/status?c=k%201", form(), good, false},
		{"other account, well signed", address, with("AccountSid", "AC"+sid[2:]+"0"), sign(token, address, with("AccountSid", "AC"+sid[2:]+"0")), false},
		{"no form", address, nil, sign(token, address, nil), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.Valid(c.address, c.form, c.signature); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestNewSignaturesRejectsEmptyTokens(t *testing.T) {
	for name, make := range map[string]func() (*Signatures, error){
		"none":         func() (*Signatures, error) { return NewSignatures(account) },
		"empty":        func() (*Signatures, error) { return NewSignatures(account, "") },
		"second empty": func() (*Signatures, error) { return NewSignatures(account, token, "") },
		"no account":   func() (*Signatures, error) { return NewSignatures("", token) },
		"settings":     func() (*Signatures, error) { return Settings{AccountSID: account}.Signatures() },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	s, err := Settings{AccountSID: account, AuthToken: token, SecondAuthToken: "two"}.Signatures()
	form := url.Values{"AccountSid": {account}}
	if err != nil || !s.Valid("https://mdr.example/", form, sign("two", "https://mdr.example/", form)) {
		t.Errorf("the second token of the settings is not accepted: %v", err)
	}
	if _, err := (Settings{AccountSID: account, AuthToken: token}).Signatures(); err != nil {
		t.Error(err)
	}
}

func TestParseReport(t *testing.T) {
	form := func(pairs ...string) url.Values {
		f := url.Values{"CallSid": {sid}, "CallStatus": {"in-progress"}}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	for _, c := range []struct {
		name string
		form url.Values
		want CallReport
	}{
		{"initiated", form("CallStatus", "initiated", "SequenceNumber", "0"),
			CallReport{CallID: sid, Status: models.CallInitiated}},
		{"unreachable", form("CallStatus", "failed", "SequenceNumber", "2", "SipResponseCode", "480"),
			CallReport{CallID: sid, Status: models.CallFailed, Sequence: 2, SIPCode: "480"}},
		{"completed", form("CallStatus", "completed", "SequenceNumber", "3", "CallDuration", "17", "Duration", "1"),
			CallReport{CallID: sid, Status: models.CallCompleted, Sequence: 3, Duration: 17 * time.Second}},
		{"request for the text", form("AnsweredBy", "human"),
			CallReport{CallID: sid, Status: models.CallInProgress, Sequence: -1, AnsweredBy: "human"}},
		{"key", form("Digits", "1"), CallReport{CallID: sid, Status: models.CallInProgress, Sequence: -1, Digits: "1"}},
		{"no key", form("Digits", ""), CallReport{CallID: sid, Status: models.CallInProgress, Sequence: -1}},
		{"odd extras are dropped", form("SipResponseCode", "x", "AnsweredBy", "<b>", "CallDuration", "-1"),
			CallReport{CallID: sid, Status: models.CallInProgress, Sequence: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseReport(c.form); err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	for _, bad := range []url.Values{
		nil, form("CallSid", "CA1"), form("CallSid", ""), form("CallStatus", "answered"), form("CallStatus", ""),
		form("SequenceNumber", "-1"), form("SequenceNumber", "99999999999"), form("Digits", "1; DROP"),
	} {
		if _, err := ParseReport(bad); models.KindOf(err) != models.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
