package hooks_test

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

var update = flag.Bool("update", false, "write the golden files from what the hooks say now")

// normal checks that a document is well-formed and writes it one element a line, with its attributes in order.
func normal(t testing.TB, doc []byte) string {
	t.Helper()
	var out strings.Builder
	in := xml.NewDecoder(bytes.NewReader(doc))
	for depth := 0; ; {
		next, err := in.Token()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch e := next.(type) {
		case xml.StartElement:
			slices.SortFunc(e.Attr, func(a, b xml.Attr) int { return cmp.Compare(a.Name.Local, b.Name.Local) })
			out.WriteString(strings.Repeat("  ", depth) + "<" + e.Name.Local)
			for _, a := range e.Attr {
				fmt.Fprintf(&out, " %s=%q", a.Name.Local, a.Value)
			}
			out.WriteString(">\n")
			depth++
		case xml.EndElement:
			depth--
			out.WriteString(strings.Repeat("  ", depth) + "</" + e.Name.Local + ">\n")
		case xml.CharData:
			if text := strings.TrimSpace(string(e)); text != "" {
				out.WriteString(strings.Repeat("  ", depth))
				_ = xml.EscapeText(&out, []byte(text))
				out.WriteString("\n")
			}
		}
	}
}

// callerCode is the code that proves our calls: RFC 6238 over SHA-256, two minutes, four digits.
func callerCode(secret []byte, at time.Time) string {
	mac := hmac.New(sha256.New, secret)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix()/120))
	sum := mac.Sum(nil)
	from := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%04d", binary.BigEndian.Uint32(sum[from:])&0x7fffffff%10_000)
}

// script is everything the hooks answer a tenant's contact with, normal and with what differs from run to run named.
func (d *door) script(te, drill tenant) map[string]string {
	d.Helper()
	var secret []byte
	d.ledger(te.client.ID, func(tx *store.Tx) (err error) {
		secret, err = tx.CallerSecret()
		return err
	})
	docs, round := map[string]string{}, 100
	add := func(name string, row store.LedgerRow, w *httptest.ResponseRecorder) {
		d.Helper()
		d.says(w, http.StatusOK)
		if kind := w.Header().Get("Content-Type"); kind != "text/xml; charset=utf-8" {
			d.Errorf("%s is %s", name, kind)
		}
		spelled := strings.Join(strings.Split(row.Code(), ""), ", ")
		docs[name] = strings.NewReplacer(": "+spokenCode(secret, 0), ": CALLER CODE", ": "+spokenCode(secret, 1), ": CALLER CODE", spelled, "CODE", row.ClientID.String(), "CLIENT", row.Token, "TOKEN").Replace(normal(d, w.Body.Bytes()))
	}
	call := func(name, what, query, digit string) {
		d.Helper()
		round++
		row := d.calls(te, round)
		add(name, row, d.speaks(what, row, query, digit))
	}
	call("menu", "voice", "", "")
	call("menu-repeated", "key", "?n=1", "2")
	call("menu-after-wrong-key", "key", "?n=1", "9")
	call("key1", "key", "?n=1", "1")
	call("key3", "key", "?n=1", "3")
	call("goodbye", "key", "?n=1", "")
	d.engine.down = true
	call("menu-after-failure", "key", "?n=1", "1")
	d.engine.down = false

	exercise := d.calls(drill, 1)
	add("menu-of-a-drill", exercise, d.speaks("voice", exercise, "", ""))
	check := d.intend(notify.ChannelCheckEffect(te.client.ID, te.client.Number, notify.PurposeCode, te.contact.ID, models.ChannelVoice, "1"))
	add("verification-code", check, d.speaks("voice", check, "", ""))
	taken := d.calls(te, 1)
	d.speaks("voice", taken, "", "")
	add("hang-up", taken, d.twilio("voice", taken, "", map[string][]string{"CallSid": {otherSid}, "CallStatus": {"in-progress"}}))

	d.now = d.now.Add(time.Second) // the newest text is the one that is answered
	text := d.sends(te, models.ChannelSMS, 1)
	add("text-not-recognised", text, d.replies(phone, "hello"))
	add("text-silence", text, d.replies(another, "hello"))
	add("text-recorded", text, d.replies(phone, text.Code()))

	d.engine.gone[te.incident.Reference.WorkflowID()] = true
	call("over", "key", "?n=1", "1")
	add("text-over", text, d.replies(phone, text.Code()))
	clear(d.engine.gone)
	person := models.Actor{Side: models.SideClient, ID: te.contact.ID.String(), Role: models.RoleResponder}
	d.record(&te.incident, person, &incident.AcknowledgedBy{Channel: "phone", How: "key press 1", Revision: 1})
	late := d.sends(te, models.ChannelSMS, 2)
	add("text-already", late, d.replies(phone, late.Code()))
	call("already", "voice", "", "")
	return docs
}

func TestDocuments(t *testing.T) {
	for _, language := range []string{"en", "de"} {
		d := newDoor(t)
		te := d.tenant // Acme's number is in the references
		te.contact.Language = language
		d.ok(d.store.ForClient(t.Context(), store.SOC, te.client.ID, func(tx *store.Tx) error {
			_, err := tx.UpdateContact(te.contact)
			return err
		}))
		drill := te
		drill.incident = d.publish(te.client.ID, incident.Opened{Title: title, Exercise: models.ExerciseOrdinary})
		docs := d.script(te, drill)
		for name, doc := range docs {
			golden(t, filepath.Join("testdata", language, name+".xml"), doc)
		}
		files, err := filepath.Glob(filepath.Join("testdata", language, "*"))
		if err != nil || len(files) != len(docs) {
			t.Errorf("%d files for %d documents: %v", len(files), len(docs), err)
		}
	}
}

// golden compares a document with a file that somebody has read.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s says\n%s\nbut now it is\n%s", file, want, got)
	}
}

func TestTheCallerCodeIsOfTheMoment(t *testing.T) {
	d := newDoor(t)
	var secret []byte
	d.ledger(d.client.ID, func(tx *store.Tx) (err error) {
		secret, err = tx.CallerSecret()
		return err
	})
	said := d.speaks("voice", d.call, "", "").Body.String()
	if !strings.Contains(said, spokenCode(secret, 0)) && !strings.Contains(said, spokenCode(secret, 1)) {
		t.Errorf("the call says neither %s nor %s: %s", spokenCode(secret, 0), spokenCode(secret, 1), said)
	}
}

// spokenCode returns the code of now, or of a number of codes before, as a call says it.
func spokenCode(secret []byte, before int) string {
	return strings.Join(strings.Split(callerCode(secret, time.Now().Add(-time.Duration(before)*2*time.Minute)), ""), " ")
}
