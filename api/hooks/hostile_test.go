package hooks_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// hostile holds texts that attackers write where we keep text, and send us.
var hostile = map[string]string{
	"markup":          `<script>alert(1)</script></Say><Dial>+4912345</Dial><Redirect>https://evil.example</Redirect>`,
	"speech markup":   `<break time="99s"/><prosody rate="x-slow"><?xml version="1.0"?><!-- --><![CDATA[ ]]>`,
	"line ends":       "evil\r\nX-Evil: 1\r\n\r\n<Response/>\u2028\u2029\u0085",
	"template braces": `{{.}} {{.Code}} {{template "menu" .}} {{define "say/key1"}}evil{{end}}`,
	"direction marks": "\u202elive\u202c \u2066evil\u2069 \u200f\u200b\ufeff",
	"entities":        `&lt;evil&gt; &#60; & "evil" 'evil'`,
	"statement":       `evil'; drop table effects; --`,
	"10 kB":           strings.Repeat("evil.example ", 800),
	"a language":      "evil-DE\"><evil>",
}

// plainly is a script without its reference: tenants differ by nothing else.
func plainly(docs map[string]string, tenants ...tenant) map[string]string {
	for name, doc := range docs {
		for _, te := range tenants {
			doc = strings.ReplaceAll(doc, spelled(te.incident.Reference), "REFERENCE")
		}
		docs[name] = doc
	}
	return docs
}

func spelled(r models.Reference) string {
	var parts []string
	for part := range strings.SplitSeq(string(r), "-") {
		parts = append(parts, strings.Join(strings.Split(part, ""), " "))
	}
	return strings.Join(parts, ", ")
}

func TestNothingConfidentialIsSaidOrTexted(t *testing.T) {
	d := newDoor(t)
	script := func(text string) map[string]string {
		te := d.newTenant(text, models.Contact{Name: text, Role: text, Language: text}, incident.Opened{Title: text})
		drill := te
		drill.incident = d.publish(te.client.ID, incident.Opened{Title: text, Exercise: models.ExerciseOrdinary})
		return plainly(d.script(te, drill), te, drill)
	}
	calm := script("en")
	for name, text := range hostile {
		for document, got := range script(text) {
			if got != calm[document] {
				t.Errorf("%s: %s says\n%s\nnot\n%s", name, document, got, calm[document])
			}
		}
	}
}

func TestHostileTextsToUsAreNeverSentBack(t *testing.T) {
	d := newDoor(t)
	help := normal(t, d.replies(phone, "hello").Body.Bytes())
	recorded := normal(t, d.replies(phone, d.text.Code()).Body.Bytes())
	d.tells(replied(d.tenant, d.text))
	bodies := map[string]string{
		"nothing": "", "NUL": "a\x00evil", "broken UTF-8": "evil\xff\xfe\xc0", "1600 characters": strings.Repeat("evil\u00fc", 320),
		"many numbers": strings.TrimSpace(strings.Repeat("000000 ", 228)), "one long number": strings.Repeat("1", 1600), "other digits": "١٢٣٤٥٦ １２３４５６",
	}
	for name, body := range hostile {
		bodies[name] = body
	}
	n := 10
	for name, body := range bodies {
		n++
		d.now = d.now.Add(time.Second)
		text := d.sends(d.tenant, models.ChannelSMS, n)
		for range 2 {
			if got := normal(t, d.replies(phone, body).Body.Bytes()); got != help {
				t.Errorf("%s is answered %s", name, got)
			}
		}
		d.silent(d.replies(another, body))
		d.tells()
		d.acknowledged(text, false)

		if len(body) > 1000 {
			continue // what comes after it is cut
		}
		w := d.replies(phone, text.Code()+" "+body)
		d.says(w, http.StatusOK)
		if got := normal(t, w.Body.Bytes()); got != recorded {
			t.Errorf("%s after the code is answered %s", name, got)
		}
		d.tells(replied(d.tenant, text))
	}
	for _, from := range []string{"", "12345", "EVIL", "whatsapp:" + phone, phone + "\r\n", "' or 1=1 --"} {
		d.says(d.replies(from, d.text.Code()), http.StatusBadRequest)
	}
	d.tells()
}
