package hooks_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// routes are all that Twilio may ask for, each with a form that would change something.
func routes(d *door) map[string]url.Values {
	answered := url.Values{"AccountSid": {account}, "CallSid": {sid}, "CallStatus": {"in-progress"}, "Digits": {"1"}}
	over := url.Values{"AccountSid": {account}, "CallSid": {sid}, "CallStatus": {"completed"}, "SequenceNumber": {"3"}}
	at := func(what string, row store.LedgerRow) string {
		return "/hooks/twilio/" + what + "/" + row.ClientID.String() + "/" + row.Token
	}
	return map[string]url.Values{
		at("voice", d.call):   answered,
		at("key", d.call):     answered,
		at("status", d.call):  over,
		at("machine", d.call): {"AccountSid": {account}, "CallSid": {sid}, "AnsweredBy": {"machine_start"}},
		at("text", d.text):    {"AccountSid": {account}, "MessageSid": {textID(d.text)}, "MessageStatus": {"failed"}},
		"/hooks/twilio/text":  {"AccountSid": {account}, "MessageSid": {textSid}, "From": {phone}, "Body": {d.text.Code()}},
	}
}

func TestAForgedReportChangesNothing(t *testing.T) {
	d := newDoor(t)
	untouched := func() []store.LedgerRow { return []store.LedgerRow{d.row(d.call), d.row(d.text), d.row(d.mail)} }
	before := untouched()
	for path, form := range routes(d) {
		stranger := url.Values{"AccountSid": {"AC" + strings.Repeat("f", 32)}}
		for key := range form {
			if key != "AccountSid" {
				stranger[key] = form[key]
			}
		}
		for name, w := range map[string]*httptest.ResponseRecorder{
			"no signature":     d.post(path, form.Encode(), ""),
			"another address":  d.post(path, form.Encode(), signature("https://elsewhere.example"+path, form)),
			"another path":     d.post(path, form.Encode(), signature(public+path+"/", form)),
			"another query":    d.post(path+"?n=1", form.Encode(), signature(public+path, form)),
			"another form":     d.post(path, form.Encode(), signature(public+path, url.Values{"AccountSid": {account}})),
			"a field too many": d.post(path, form.Encode()+"&Extra=1", signature(public+path, form)),
			"another account":  d.post(path, stranger.Encode(), signature(public+path, stranger)),
		} {
			if w.Code != http.StatusForbidden || w.Body.Len() > 0 {
				t.Errorf("%s, %s: %d %s", path, name, w.Code, w.Body)
			}
		}
	}
	for name, head := range map[string]string{"no signature": "", "no base64": "<>", "not ours": "MEUCIQ=="} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/sendgrid/events", strings.NewReader("["+event(d.mail, "1", "bounce")+"]"))
		req.Header.Set("X-Twilio-Email-Event-Webhook-Signature", head)
		req.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", "1773889800")
		if w := d.serve(req); w.Code != http.StatusForbidden {
			t.Errorf("mail events, %s: %d", name, w.Code)
		}
	}
	d.tells()
	if after := untouched(); !reflect.DeepEqual(after, before) {
		t.Errorf("the ledger changed from\n%+v\nto\n%+v", before, after)
	}
	for path, form := range routes(d) { // the same forms are taken when they are signed
		if w := d.post(path, form.Encode(), signature(public+path, form)); w.Code >= 300 {
			t.Errorf("%s, signed: %d", path, w.Code)
		}
	}
}

func TestARequestThatIsTooMuchIsRejected(t *testing.T) {
	d := newDoor(t)
	many := url.Values{}
	for _, a := range "abcdefghijk" {
		for _, b := range "abcdefghijk" {
			many.Set(string([]rune{a, b}), "1")
		}
	}
	for path := range routes(d) {
		for body, want := range map[string]int{
			"Body=" + strings.Repeat("x", 65<<10): http.StatusRequestEntityTooLarge,
			many.Encode():                         http.StatusBadRequest,
			"Body=%zz":                            http.StatusBadRequest,
		} {
			if w := d.post(path, body, forgedCall["X-Twilio-Signature"]); w.Code != want {
				t.Errorf("%s, %.20s…: %d, want %d", path, body, w.Code, want)
			}
		}
	}
}

func TestReportsAboutNothingOfOursAreNotFound(t *testing.T) {
	d := newDoor(t)
	for path, form := range routes(d) {
		parts := strings.Split(path, "/")
		if len(parts) < 6 {
			continue
		}
		other := d.newTenant("Other "+parts[3], models.Contact{}, incident.Opened{Title: title})
		for name, p := range map[string][2]string{
			"unknown token":    {parts[4], strings.Repeat("0", 32)},
			"unknown client":   {"c0ffee00-0000-4000-8000-000000000001", parts[5]},
			"another client":   {other.client.ID.String(), parts[5]},
			"no client at all": {"1", parts[5]},
		} {
			at := "/hooks/twilio/" + parts[3] + "/" + p[0] + "/" + p[1]
			if w := d.signed(at, form); w.Code != http.StatusNotFound {
				t.Errorf("%s, %s: %d", parts[3], name, w.Code)
			}
		}
		for key := range form {
			if broken := without(form, key); key != "AccountSid" && key != "Digits" && key != "SequenceNumber" {
				if w := d.signed(path, broken); w.Code != http.StatusBadRequest {
					t.Errorf("%s without %s: %d", parts[3], key, w.Code)
				}
			}
		}
	}
	d.tells()
}

func without(form url.Values, key string) url.Values {
	out := url.Values{}
	for k, v := range form {
		if k != key {
			out[k] = v
		}
	}
	return out
}
