package sendgrid

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

var since = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// logs is a pretended log: message ids in the order they are listed, and their stored details.
func logs(t *testing.T, list string, details map[string]string) *Mailer {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			t.Error("no key")
		}
		if r.Method == http.MethodPost && r.URL.Path == "/v3/logs" {
			answering(200, list)(w, r)
			return
		}
		body, ok := details[strings.TrimPrefix(r.URL.Path, "/v3/logs/")]
		if r.Method != http.MethodGet || !ok {
			answering(404, `{"errors":[{"message":"not found"}]}`)(w, r)
			return
		}
		answering(200, body)(w, r)
	})
}

func TestLookup(t *testing.T) {
	list := `{"messages":[{"sg_message_id":"old.1.2"},{"sg_message_id":"gone.1"},{"sg_message_id":"mine.filter01.5-6"}]}`
	details := map[string]string{
		"old.1.2":           `{"custom_args":{"mdr_delivery_id":"other","mdr_incident":"SI-1042-0007"}}`,
		"mine.filter01.5-6": `{"custom_args":{"mdr_delivery_id":"d1","mdr_incident":"SI-1042-0007","more":"x"}}`,
	}
	id, found, err := logs(t, list, details).Lookup(t.Context(), letter, since)
	if err != nil || !found || id != "mine" {
		t.Errorf("got %q %v %v", id, found, err)
	}
	delete(details, "mine.filter01.5-6")
	id, found, err = logs(t, list, details).Lookup(t.Context(), letter, since)
	if v := vendorError(t, err); v.Class != models.Transient || found || id != "" {
		t.Errorf("a message that could not be read was counted as none: %q %v %v", id, found, err)
	}
	foreign := `{"messages":[{"sg_message_id":"old.1.2"}]}`
	if id, found, err = logs(t, foreign, details).Lookup(t.Context(), letter, since); err != nil || found || id != "" {
		t.Errorf("somebody else's message was taken for ours: %q %v %v", id, found, err)
	}
	full := `{"messages":[` + strings.TrimSuffix(strings.Repeat(`{"sg_message_id":"old.1.2"},`, maxCandidates), ",") + `]}`
	_, found, err = logs(t, full, details).Lookup(t.Context(), letter, since)
	if v := vendorError(t, err); v.Class != models.Transient || found {
		t.Errorf("what SendGrid did not list was counted as none: %v %v", found, err)
	}
	if _, found, err = logs(t, `{"messages":[]}`, nil).Lookup(t.Context(), letter, since); err != nil || found {
		t.Errorf("got %v %v", found, err)
	}
}

func TestLookupNeverTakesABrokenAnswerForNotFound(t *testing.T) {
	one := `{"messages":[{"sg_message_id":"a.1"}]}`
	for _, c := range []struct{ list, detail string }{
		{"", ""}, {"{}", ""}, {`{"messages":null}`, ""}, {"[]", ""}, {`{"messages":[`, ""},
		{one, ""}, {one, "null"}, {one, "<html>"}, {one, `{"custom_args":`},
	} {
		_, _, err := logs(t, c.list, map[string]string{"a.1": c.detail}).Lookup(t.Context(), letter, since)
		if v := vendorError(t, err); v.Class != models.Transient {
			t.Errorf("%q, %q: %+v", c.list, c.detail, v)
		}
	}
}

func TestLookupFailures(t *testing.T) {
	for status, want := range map[int]models.VendorClass{
		401: models.Config, 403: models.Config, 429: models.Throttled, 500: models.Transient, 400: models.Rejected,
	} {
		_, _, err := serve(t, answering(status, "{}")).Lookup(t.Context(), letter, since)
		if v := vendorError(t, err); v.Class != want {
			t.Errorf("%d: %+v", status, v)
		}
	}
	out := letter
	out.Opaque = nil
	_, _, err := serve(t, answering(200, `{"messages":[]}`)).Lookup(t.Context(), out, since)
	if v := vendorError(t, err); v.Class != models.Rejected {
		t.Errorf("got %+v", v)
	}
}

func TestLookupQuestion(t *testing.T) {
	const after = ` AND sg_message_id_created_at >= TIMESTAMP "2026-03-01T12:00:00Z"`
	for _, c := range []struct{ name, to, subject, want string }{
		{"plain", to, "Critical\r\nincident", `to_email = '` + to + `' AND subject = 'Critical incident'` + after},
		{"one kind of quote", "o'hara@x.example", `It's on`, `to_email = "o'hara@x.example" AND subject = "It's on"` + after},
		{"both kinds", to, `It's "on"`, `to_email = '` + to + `'` + after},
		{"backslash", to, `a\`, `to_email = '` + to + `'` + after},
		{"injection", to, `x' OR status IN ('delivered`, `to_email = '` + to + `' AND subject = "x' OR status IN ('delivered"` + after},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var got struct {
					Query string
					Limit int
				}
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil || got.Query != c.want || got.Limit < 1 || got.Limit > 1000 {
					t.Errorf("got %+v, %v", got, err)
				}
				answering(200, `{"messages":[]}`)(w, r)
			})
			out := letter
			out.To, out.Subject = c.to, c.subject
			if _, _, err := m.Lookup(t.Context(), out, since.Add(300*time.Millisecond)); err != nil {
				t.Error(err)
			}
		})
	}
}
