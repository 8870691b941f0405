package sendgrid

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

const testRecipient = "ciso@client.example"

func (w *world) mailBody() map[string]any {
	return map[string]any{
		"from":    map[string]any{"email": testSender, "name": "SOC"},
		"subject": "Critical: SI-1042-0007",
		"personalizations": []any{map[string]any{
			"to":          []any{map[string]any{"email": testRecipient, "name": "The CISO"}},
			"custom_args": map[string]any{"wf_delivery": "SI-1042-0007/publish/1/3f1c/mail"},
			"headers":     map[string]any{"Message-ID": "<0123@watchfire.example>"},
		}},
		"content": []any{map[string]any{"type": "text/plain", "value": "Open the portal."},
			map[string]any{"type": "text/html", "value": "<p>Open the portal.</p>"}},
		"categories":        []any{"incident"},
		"tracking_settings": map[string]any{"click_tracking": map[string]any{"enable": false, "enable_text": false}},
	}
}

func logIn(r *http.Request) { r.Header.Set("Authorization", "Bearer "+testMailKey) }

func (w *world) sendMail(change func(m, p map[string]any)) stagetest.Answered {
	w.T.Helper()
	m := w.mailBody()
	if change != nil {
		change(m, m["personalizations"].([]any)[0].(map[string]any))
	}
	body, err := json.Marshal(m)
	if err != nil {
		w.T.Fatal(err)
	}
	return w.Do("POST", w.SendGridURL+"/v3/mail/send", "application/json", string(body), logIn)
}

func (w *world) mailsTo(to string) []mailEffect {
	w.T.Helper()
	var e struct {
		Mails map[string][]mailEffect `json:"mails"`
	}
	w.Effects(w.SendGridURL, &e)
	return e.Mails[to]
}

// events are those the product received with a valid signature, in order.
func (w *world) events() []map[string]any {
	w.T.Helper()
	var out []map[string]any
	for _, r := range w.Product.Requests("/events") {
		if !validEventSignature(&w.key.PublicKey, r.Head.Get("X-Twilio-Email-Event-Webhook-Signature"),
			r.Head.Get("X-Twilio-Email-Event-Webhook-Timestamp"), r.Body) {
			continue
		}
		var batch []map[string]any
		if err := json.Unmarshal([]byte(r.Body), &batch); err != nil || !strings.HasSuffix(r.Body, "\r\n") {
			w.T.Fatalf("batch %q: %v", r.Body, err)
		}
		out = append(out, batch...)
	}
	return out
}

func TestAMailIsAcceptedAndDelivered(t *testing.T) {
	w := newWorld(t)
	a := w.sendMail(nil)
	id := a.Head.Get("X-Message-Id")
	if a.Status != 202 || len(a.Body) != 0 || id == "" || strings.Contains(id, ".") {
		t.Fatalf("%d %q %s", a.Status, id, a.Body)
	}
	w.Until("both events arrive", func() bool { return len(w.events()) == 2 })
	for i, want := range []string{"processed", "delivered"} {
		e := w.events()[i]
		if e["event"] != want || e["email"] != testRecipient || e["wf_delivery"] != "SI-1042-0007/publish/1/3f1c/mail" ||
			e["category"] != "incident" || e["sg_event_id"] == "" || !strings.HasPrefix(e["sg_message_id"].(string), id+".") {
			t.Errorf("event: %v", e)
		}
	}
	mails := w.mailsTo(testRecipient)
	if len(mails) != 1 || mails[0].Status != "delivered" || mails[0].RequestID != id || mails[0].CustomArgs["wf_delivery"] == "" ||
		mails[0].Headers["Message-ID"] != "<0123@watchfire.example>" {
		t.Errorf("effects: %+v", mails)
	}
	if v := w.Violations(w.SendGridURL); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestPersonasOfAddresses(t *testing.T) {
	for persona, want := range map[string]string{
		"hard_bounce": "processed bounce/bounce", "blocked": "processed bounce/blocked", "suppressed": "dropped",
		"deferred_then_delivered": "processed deferred delivered",
	} {
		t.Run(persona, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Steer(w.SendGridURL, "personas", `{"personas":{"CISO@client.example":"`+persona+`"}}`)
			if a := w.sendMail(nil); a.Status != 202 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			w.Until("the events "+want, func() bool {
				var got []string
				for _, e := range w.events() {
					kind := e["event"].(string)
					if detail, ok := e["type"].(string); ok {
						kind += "/" + detail
					}
					got = append(got, kind)
				}
				return strings.Join(got, " ") == want
			})
		})
	}
}

func TestBadMailsAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(m, p map[string]any)
		field  string
	}{
		"no sender":           {func(m, _ map[string]any) { delete(m, "from") }, "from.email"},
		"bad address":         {func(_, p map[string]any) { p["to"] = []any{map[string]any{"email": "nobody"}} }, "personalizations.0.to.0.email"},
		"no recipient":        {func(_, p map[string]any) { p["to"] = []any{} }, "personalizations.0.to"},
		"twice the same":      {func(_, p map[string]any) { p["cc"] = p["to"] }, "personalizations.0"},
		"no subject":          {func(m, _ map[string]any) { delete(m, "subject") }, "subject"},
		"line in the subject": {func(m, _ map[string]any) { m["subject"] = "a\r\nBcc: x" }, "subject"},
		"no content":          {func(m, _ map[string]any) { m["content"] = []any{} }, "content"},
		"html before text": {func(m, _ map[string]any) {
			c := m["content"].([]any)
			m["content"] = []any{c[1], c[0]}
		}, "content.1.type"},
		"reserved header":     {func(_, p map[string]any) { p["headers"] = map[string]any{"Reply-To": "x"} }, "personalizations.0.headers.Reply-To"},
		"line in a header":    {func(_, p map[string]any) { p["headers"] = map[string]any{"X-A": "a\nb"} }, "personalizations.0.headers.X-A"},
		"address in args":     {func(_, p map[string]any) { p["custom_args"] = map[string]any{"k": "to " + testRecipient} }, "personalizations.0.custom_args"},
		"number in args":      {func(_, p map[string]any) { p["custom_args"] = map[string]any{"k": "+49 30 123456"} }, "personalizations.0.custom_args"},
		"too much in args":    {func(_, p map[string]any) { p["custom_args"] = map[string]any{"k": strings.Repeat("x", 10_000)} }, "personalizations.0.custom_args"},
		"eleven categories":   {func(m, _ map[string]any) { m["categories"] = strings.Split("a b c d e f g h i j k", " ") }, "categories"},
		"address as category": {func(m, _ map[string]any) { m["categories"] = []string{testRecipient} }, "categories.0"},
		"unknown field":       {func(m, _ map[string]any) { m["idempotency_key"] = "x" }, ""},
		"number as argument":  {func(_, p map[string]any) { p["custom_args"] = map[string]any{"k": 1} }, ""},
		"no personalization":  {func(m, _ map[string]any) { m["personalizations"] = []any{} }, "personalizations"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.sendMail(c.change)
			field, _ := a.Get("errors", "field").(string)
			if a.Status != 400 || field != c.field || a.Get("errors", "message") == "" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	if len(w.mailsTo(testRecipient)) != 0 || len(w.Violations(w.SendGridURL)) < 18 {
		t.Errorf("mails %v, violations %v", w.mailsTo(testRecipient), w.Violations(w.SendGridURL))
	}
	if a := w.sendMail(func(m, _ map[string]any) { m["from"] = map[string]any{"email": "other@watchfire.example"} }); a.Status != 403 {
		t.Errorf("unverified sender: %d", a.Status)
	}
	if a := w.Do("POST", w.SendGridURL+"/v3/mail/send", "application/json", "{}"); a.Status != 401 {
		t.Errorf("no key: %d", a.Status)
	}
}

func TestPersonalDataIsFoundWithoutFalseAlarms(t *testing.T) {
	for text, want := range map[string]bool{
		"SI-1042-0007/publish/1/550e8400-e29b-41d4-a716-446655440000/mail": false, "1732222222": false, "a+b": false,
		"x@y.example": true, "mail:<x@y.example>": true, "+4930123456": true, "call +1 (800) 555-0100 now": true,
	} {
		if hasPersonalData(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestLogsFindWhatWasProcessed(t *testing.T) {
	w := newWorld(t)
	search := func(query string) stagetest.Answered {
		body, _ := json.Marshal(map[string]any{"query": query, "limit": 5})
		return w.Do("POST", w.SendGridURL+"/v3/logs", "application/json", string(body), logIn)
	}
	count := func(a stagetest.Answered) int { rows, _ := a.Get("messages").([]any); return len(rows) }
	w.sendMail(func(m, _ map[string]any) { m["subject"] = `SI-1042-0007 "quoted"` })
	ours := `to_email="ciso@client.example" AND subject = "SI-1042-0007 \"quoted\""`
	w.Until("it is delivered", func() bool {
		return search(ours+` AND status IN ('delivered')`).Get("messages", "status") == "delivered"
	})
	for query, want := range map[string]int{
		"": 1, `subject='other'`: 0, `to_email="x@client.example"`: 0, `categories IN ('incident', "x")`: 1,
		`sg_message_id_created_at > TIMESTAMP "2020-01-01T00:00:00Z"`: 1, `sg_message_id_created_at < TIMESTAMP "2020-01-01T00:00:00Z"`: 0,
	} {
		if a := search(query); a.Status != 200 || count(a) != want {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	for _, query := range []string{`custom_args="x"`, `subject LIKE "x"`, `subject="x`, `subject="x" OR subject="y"`, `status IN 'x'`} {
		if a := search(query); a.Status != 400 {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	id := search(ours).Get("messages", "sg_message_id").(string)
	a := w.Do("GET", w.SendGridURL+"/v3/logs/"+url.PathEscape(id), "", "", logIn)
	if a.Status != 200 || a.Get("custom_args", "wf_delivery") == nil || a.Get("events", "event") != "processed" {
		t.Errorf("one message: %d %s", a.Status, a.Body)
	}
	if a := w.Do("GET", w.SendGridURL+"/v3/logs/unknown", "", "", logIn); a.Status != 404 {
		t.Errorf("unknown message: %d", a.Status)
	}
}

func TestEventFaults(t *testing.T) {
	t.Run("missigned batches come again", func(t *testing.T) {
		w := unhurried(t)
		w.Product.Config.Handler = w.refuseBadSignatures()
		w.Steer(w.SendGridURL, "faults", `{"rules":[{"op":"callback","kind":"missign","times":1}]}`)
		w.sendMail(nil)
		w.Until("both events arrive properly signed", func() bool { return len(w.events()) == 2 })
		if n := len(w.Product.Requests("/events")); n < 3 {
			t.Errorf("%d batches", n)
		}
	})
	t.Run("duplicates keep their event id", func(t *testing.T) {
		w := unhurried(t)
		w.Steer(w.SendGridURL, "faults", `{"rules":[{"op":"callback","kind":"duplicate","times":1}]}`)
		w.sendMail(nil)
		w.Until("three events arrive", func() bool { return len(w.events()) == 3 })
		if e := w.events(); e[0]["sg_event_id"] != e[1]["sg_event_id"] {
			t.Errorf("events: %v", e)
		}
	})
}

func (w *world) refuseBadSignatures() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Product.Note(r)
		all := w.Product.Requests("/events")
		last := all[len(all)-1]
		if !validEventSignature(&w.key.PublicKey, last.Head.Get("X-Twilio-Email-Event-Webhook-Signature"),
			last.Head.Get("X-Twilio-Email-Event-Webhook-Timestamp"), last.Body) {
			rw.WriteHeader(http.StatusForbidden)
		}
	})
}
