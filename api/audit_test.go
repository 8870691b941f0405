package api_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

// changes reads all that was changed of Acme, in pages of three.
func (w *world) changes(who string) (list []models.AuditEntry) {
	w.Helper()
	return w.entries(who, w.clientPath("audit-log"))
}

// entries pages through an audit log.
func (w *world) entries(who, path string) (list []models.AuditEntry) {
	w.Helper()
	for target := path + "?limit=3"; len(list) < 100; {
		var page struct {
			Items []models.AuditEntry
			Next  string
		}
		w.must(http.StatusOK, w.get(who, target)).into(w, &page)
		if list = append(list, page.Items...); page.Next == "" {
			return list
		}
		target = path + "?limit=3&cursor=" + page.Next
	}
	w.Fatal("the list does not end")
	return nil
}

// terms are those of Acme, with a pace of calls.
func terms(ring string) map[string]any {
	return map[string]any{"legal_name": "Acme", "time_zone": "Europe/Prague", "language": "en", "policy": map[string]any{"ring_for": ring},
		"contract": map[string]any{"start": "2026-01-01T00:00:00Z", "end": "2028-12-31T00:00:00Z", "plan": "mdr"}}
}

// Every operation that changes a client's settings is done twice. The audit log gets one entry with the person and the
// changed fields, and none of the fields' values.
func TestWhoChangedWhatIsNoted(t *testing.T) {
	w := newWorld(t)
	ada := w.contact()
	w.must(http.StatusOK, w.put("lead", w.clientPath(), terms("20s")))
	done := len(w.changes("analyst"))
	const phone, email = "+12025550177", "mallory@acme.example"
	moved := map[string]any{"name": "Ada Example", "role": "CISO", "email": email, "phone": phone, "language": "en",
		"order": 1, "severities": []string{"critical", "high"}, "channels": []string{"email", "sms", "voice"}}
	rules := map[string]any{"rules": []any{map[string]any{"name": "all of them", "action": "isolated", "decision": "auto"}}}
	reason := map[string]any{"reason": "a stolen session"}
	code := ""
	confirm := func(who, key string) answer {
		if code == "" {
			row, err := w.engine.Carry(t.Context(), ada, models.ChannelSMS)
			w.ok(err)
			code = row.Code()
			w.must(http.StatusUnprocessableEntity, w.post(who, contactPath(w, ada, "confirm-channel"), withCode(models.ChannelSMS, other(code))))
		}
		return w.postAs(who, contactPath(w, ada, "confirm-channel"), key, withCode(models.ChannelSMS, code))
	}
	posted := func(body any, path ...string) func(who, key string) answer {
		return func(who, key string) answer { return w.postAs(who, w.clientPath(path...), key, body) }
	}
	put := func(body any, path ...string) func(who, key string) answer {
		return func(who, _ string) answer { return w.put(who, w.clientPath(path...), body) }
	}
	removed := func(path ...string) func(who, key string) answer {
		return func(who, _ string) answer { return w.remove(who, w.clientPath(path...)) }
	}
	contact := []string{"contacts", ada.String()}
	for _, c := range []struct {
		operation, who, subject string
		fields                  []string
		do                      func(who, key string) answer
	}{
		{"create-contact", "analyst", "?", []string{"channels", "email", "language", "name", "order", "phone", "role", "severities"}, posted(moved, "contacts")},
		{"update-contact", "operator", ada.String(), []string{"email", "phone"}, put(moved, contact...)},
		{"verify-channel", "analyst", ada.String(), []string{"sms"}, posted(channel(models.ChannelSMS), append(contact, "verify-channel")...)},
		{"confirm-channel", "lead", ada.String(), []string{"verified/sms"}, confirm},
		{"test-channel", "analyst", ada.String(), []string{"email"}, posted(channel(models.ChannelEmail), append(contact, "test-channel")...)},
		{"update-client", "lead", "", []string{"policy/ring_for"}, put(terms("25s"))},
		{"draft-response-authority", "lead", "1", []string{"rules", "version"}, posted(rules, "response-authority")},
		{"sign-response-authority", "admin", "1", []string{"signed_at", "signed_by"}, posted(nil, "response-authority", "1", "sign")},
		{"pause-isolation", "admin", "", []string{"isolation_paused"}, posted(reason, "pause-isolation")},
		{"resume-isolation", "lead", "", []string{"isolation_paused"}, posted(reason, "resume-isolation")},
		{"remove-contact", "analyst", ada.String(), []string{"removed_at"}, removed(contact...)},
		{"set-edr-credentials", "lead", "crowdstrike", []string{"base_url", "values/client_id", "values/client_secret", "vendor"}, func(who, _ string) answer {
			return w.put(who, w.clientPath("edr"), edrCredentials())
		}},
		{"set-edr-credentials", "operator", "crowdstrike", []string{"values/client_secret"}, func(who, _ string) answer {
			return w.put(who, w.clientPath("edr"), edrCredentials())
		}},
		{"remove-edr-credentials", "operator", "crowdstrike", []string{"base_url", "values/client_id", "vendor"}, removed("edr")},
	} {
		key := w.newKey()
		for range 2 {
			if a := c.do(c.who, key); a.StatusCode/100 != 2 {
				t.Fatalf("%s: %s", c.operation, a)
			}
			if c.operation == "set-edr-credentials" {
				break // nobody can tell whether a secret is the same, so it is noted each time
			}
		}
		list := w.changes("analyst")
		if done++; len(list) != done {
			t.Fatalf("%s: %d changes are noted, want %d: %+v", c.operation, len(list), done, list)
		}
		got := list[0]
		if c.subject == "?" {
			c.subject = got.Subject
		}
		by := w.users[c.who]
		if got.Operation != c.operation || got.By != by.ID || got.ByName != by.Name || got.Side != by.Role.Side() || got.Subject != c.subject ||
			!slices.Equal(got.Fields, c.fields) || got.At.IsZero() {
			t.Errorf("%s: %+v", c.operation, got)
		}
	}
	added := w.changes("lead")[13]
	if id, err := uuid.Parse(added.Subject); err != nil || !slices.ContainsFunc(w.contacts("lead"), func(c models.Contact) bool { return c.ID == id }) {
		t.Errorf("the contact that was added: %+v", added)
	}
	if ours, theirs := w.changes("lead"), w.changes("admin"); !slices.EqualFunc(ours, theirs, func(a, b models.AuditEntry) bool {
		return a.ID == b.ID && a.ByName == b.ByName && a.ByName != ""
	}) {
		t.Errorf("the client reads %+v, the SOC %+v", theirs, ours)
	}
	all := string(w.get("lead", w.clientPath("audit-log?limit=200")).body)
	for _, value := range []string{phone, email, "+12025550100", "ada@acme.example", edrSecret, "0123456789abcdef", "api.eu-1", "25s", "stolen", "all of them", code} {
		if strings.Contains(all, value) {
			t.Errorf("a change tells %s", value)
		}
	}
}

func TestWhatFailsIsNotNoted(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	version := strconv.Itoa(w.draft("a rule"))
	w.must(http.StatusAccepted, w.postAs("analyst", contactPath(w, id, "test-channel"), "k", channel(models.ChannelSMS)))
	noted := len(w.changes("lead"))
	w.must(http.StatusConflict, w.post("analyst", contactPath(w, id, "test-channel"), channel(models.ChannelSMS)))
	w.must(http.StatusUnprocessableEntity, w.postAs("analyst", contactPath(w, id, "test-channel"), "k", channel(models.ChannelEmail)))
	w.must(http.StatusForbidden, w.remove("viewer", contactPath(w, id)))
	w.must(http.StatusNotFound, w.remove("stranger", contactPath(w, id)))
	w.must(http.StatusNotFound, w.remove("lead", contactPath(w, uuid.New())))
	w.must(http.StatusConflict, w.post("lead", w.clientPath("response-authority", version, "sign"), nil))
	w.must(http.StatusNoContent, w.remove("lead", w.clientPath("edr"))) // there is none
	if list := w.changes("lead"); len(list) != noted {
		t.Errorf("%+v", list)
	}
	same(t, w.get("stranger", w.clientPath("audit-log")), w.get("stranger", "/api/v1/clients/999999/audit-log"))
	w.must(http.StatusUnprocessableEntity, w.get("lead", w.clientPath("audit-log?cursor=MjAyNi0wMS0wMVQwMDowMDowMFogeA"))) // no id in it
}

// Of many who make the same change at once, one made it.
func TestChangesAtOnceAreNotedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.contactWith(nil)
	noted := len(w.changes("lead"))
	for _, phone := range []string{"+12025550111", "+12025550112", "+12025550113"} {
		c.Phone = phone
		var all sync.WaitGroup
		for range 6 { // fewer than an address is told of
			all.Go(func() {
				if _, err := w.desk.UpdateContact(t.Context(), w.users["analyst"], w.acme.Number, c); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if list := w.changes("lead"); len(list) != noted+3 {
		t.Errorf("%d changes are noted, want 3", len(list)-noted)
	}
}
