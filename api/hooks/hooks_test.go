package hooks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/api/hooks"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
	"github.com/watchfire-mdr/watchfire/vendors/mail/sendgrid"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	token   = "0123456789abcdef"
	public  = "https://soc.example"
	title   = "Ransomware at Acme"
)

// engine notes what is signalled. Workflows in gone do not exist; down makes every signal fail.
type engine struct {
	told []string
	gone map[string]bool
	down bool
}

func (e *engine) Tell(_ context.Context, workflow, name string, arg any) error {
	switch {
	case e.down:
		return errors.New("no connection")
	case e.gone[workflow]:
		return models.Errorf(models.NotFound, "over")
	}
	b, err := json.Marshal(arg)
	e.told = append(e.told, workflow+" "+name+" "+string(b))
	return err
}

// door is the hooks with a published critical incident and one call and one mail on the ledger.
type door struct {
	*testing.T
	store   *store.Store
	engine  *engine
	handler http.Handler
	key     *ecdsa.PrivateKey
	client  uuid.UUID
	call    store.LedgerRow
	mail    store.LedgerRow
}

func newDoor(t *testing.T) *door {
	gin.SetMode(gin.TestMode)
	d := &door{T: t, engine: &engine{gone: map[string]bool{}}}
	d.store, _ = storetest.New(t)
	var err error
	d.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	d.ok(err)
	der, err := x509.MarshalPKIXPublicKey(&d.key.PublicKey)
	d.ok(err)
	events, err := sendgrid.NewEvents(base64.StdEncoding.EncodeToString(der))
	d.ok(err)
	calls, err := twilio.NewSignatures(account, token)
	d.ok(err)
	address, err := url.Parse(public)
	d.ok(err)
	h := &hooks.Hooks{Store: d.store, Desk: d.engine, Twilio: calls, SendGrid: events, PublicURL: address, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	r := gin.New()
	h.Register(r)
	d.handler = r
	d.furnish()
	return d
}

func (d *door) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *door) furnish() {
	c, err := d.store.CreateClient(d.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client")
	d.ok(err)
	d.client = c.ID
	by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
	var i models.Incident
	var contact models.Contact
	d.ok(d.store.ForClient(d.Context(), store.SOC, c.ID, func(tx *store.Tx) (err error) {
		contact, err = tx.CreateContact(models.Contact{Name: "C", Email: "c@acme.example", Phone: "+12025550100", Language: "en", Order: 1,
			Severities: models.Severities(), Channels: []models.Channel{models.ChannelEmail, models.ChannelVoice}}, "contact")
		if err != nil {
			return err
		}
		i, err = tx.OpenIncident(models.Opened{ClientID: c.ID, Title: title, Severity: models.SeverityCritical}, by, time.Now(), "open", "f")
		return err
	}))
	published := models.NewEvent(i, time.Now(), by, &models.Published{Expedited: true})
	d.worker(func(tx *store.Tx) (err error) {
		if err := tx.Record(i.Reference, []models.Event{published}); err != nil {
			return err
		}
		if d.call, err = tx.Intend(models.CallEffect(i.Reference, c.ID, 1, 1, 1, contact.ID), time.Now()); err != nil {
			return err
		}
		d.mail, err = tx.Intend(models.MailEffect(i.Reference, c.ID, models.PurposePublished, 1, 1, contact.ID), time.Now())
		return err
	})
}

func (d *door) worker(fn func(*store.Tx) error) {
	d.Helper()
	d.ok(d.store.ForClient(d.Context(), store.Worker, d.client, fn))
}

// twilio posts a form as Twilio would: signed over the public address and the sorted form.
func (d *door) twilio(what, query, sid string, form url.Values) *httptest.ResponseRecorder {
	form.Set("AccountSid", account)
	form.Set("CallSid", sid)
	path := "/hooks/twilio/" + what + "/" + d.client.String() + "/" + d.call.Token + query
	return d.post(path, form, signature(public+path, form))
}

func (d *door) post(path string, form url.Values, signed string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(d.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Twilio-Signature", signed)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, req)
	return w
}

func signature(address string, form url.Values) string {
	var keys []string
	for k := range form {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	text := address
	for _, k := range keys {
		text += k + form.Get(k)
	}
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (d *door) says(w *httptest.ResponseRecorder, status int, words ...string) {
	d.Helper()
	if w.Code != status {
		d.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	for _, word := range words {
		if !strings.Contains(w.Body.String(), word) {
			d.Errorf("%q is missing in %s", word, w.Body)
		}
	}
}

func (d *door) row() (row store.LedgerRow) {
	d.Helper()
	d.worker(func(tx *store.Tx) (err error) {
		row, err = tx.Effect(d.call.Key)
		return err
	})
	return row
}

const (
	sid      = "CA00000000000000000000000000000001"
	otherSid = "CA00000000000000000000000000000002"
)

func TestAForgedReportChangesNothing(t *testing.T) {
	d := newDoor(t)
	form := url.Values{"AccountSid": {account}, "CallSid": {sid}, "Digits": {"1"}, "CallStatus": {"in-progress"}}
	path := "/hooks/twilio/key/" + d.client.String() + "/" + d.call.Token
	for name, signed := range map[string]string{"none": "", "another address": signature("https://elsewhere.example"+path, form), "another digit": signature(public+path, url.Values{"Digits": {"2"}})} {
		d.says(d.post(path, form, signed), http.StatusForbidden)
		if len(d.engine.told) != 0 || d.row().VendorID != "" {
			t.Errorf("signature %q: told %v, row %+v", name, d.engine.told, d.row())
		}
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/sendgrid/events", strings.NewReader("[]"))
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, req)
	d.says(w, http.StatusForbidden)
}

func TestOnlyOneCallIsReadTheIncident(t *testing.T) {
	d := newDoor(t)
	answered := url.Values{"CallStatus": {"in-progress"}}
	first := d.twilio("voice", "", sid, answered)
	d.says(first, http.StatusOK, "<Gather", "critical", "S I, 1 0 0 1, 0 0 0 1")
	if strings.Contains(first.Body.String(), "Ransomware") || strings.Contains(first.Body.String(), "Acme") {
		t.Errorf("something confidential is said before a key press: %s", first.Body)
	}
	second := d.twilio("voice", "", otherSid, answered)
	d.says(second, http.StatusOK, "<Hangup")
	if strings.Contains(second.Body.String(), "<Say") {
		t.Errorf("a second call is spoken to: %s", second.Body)
	}
	d.says(d.twilio("key", "?n=1", otherSid, url.Values{"Digits": {"1"}, "CallStatus": {"in-progress"}}), http.StatusOK, "<Hangup")
	if len(d.engine.told) != 0 {
		t.Errorf("the second call acknowledged: %v", d.engine.told)
	}
	if d.row().VendorID != sid {
		t.Errorf("the ledger has %q", d.row().VendorID)
	}
}

func TestKeys(t *testing.T) {
	pressed := func(digit string) url.Values { return url.Values{"Digits": {digit}, "CallStatus": {"in-progress"}} }
	for _, c := range []struct {
		digit, query string
		says         []string
		told         int
	}{
		{"1", "?n=1", []string{"recorded"}, 1},
		{"3", "?n=1", []string{"next contact"}, 1},
		{"2", "?n=1", []string{"<Gather", "n=2"}, 0},
		{"9", "?n=1", []string{"no meaning", "<Gather"}, 0},
		{"9", "?n=3", []string{"Goodbye"}, 0},
		{"", "?n=1", []string{"Goodbye"}, 0},
	} {
		d := newDoor(t)
		d.says(d.twilio("key", c.query, sid, pressed(c.digit)), http.StatusOK, c.says...)
		if len(d.engine.told) != c.told {
			t.Errorf("key %q: told %v", c.digit, d.engine.told)
		}
		if c.told > 0 && !strings.HasPrefix(d.engine.told[0], d.call.Workflow+" key-press ") {
			t.Errorf("key %q was told to %s", c.digit, d.engine.told[0])
		}
	}
}

func TestRecordedIsSaidOnlyWhenItIs(t *testing.T) {
	d := newDoor(t)
	pressed := url.Values{"Digits": {"1"}, "CallStatus": {"in-progress"}}
	d.engine.down = true
	d.says(d.twilio("key", "?n=1", sid, pressed), http.StatusOK, "could not be recorded", "<Gather")
	d.engine.down = false
	d.engine.gone[d.call.Workflow] = true
	d.says(d.twilio("key", "?n=2", sid, pressed), http.StatusOK, "recorded")
	if len(d.engine.told) != 1 || !strings.HasPrefix(d.engine.told[0], d.call.Incident.WorkflowID()+" key-press ") {
		t.Errorf("after the round ended the key went to %v", d.engine.told)
	}
	d.engine.gone[d.call.Incident.WorkflowID()] = true
	d.says(d.twilio("key", "?n=2", sid, pressed), http.StatusOK, "is over")
}

func TestCallStatusMovesForwardOnly(t *testing.T) {
	d := newDoor(t)
	report := func(status, sequence string) {
		t.Helper()
		d.says(d.twilio("status", "", sid, url.Values{"CallStatus": {status}, "SequenceNumber": {sequence}}), http.StatusNoContent)
	}
	report("initiated", "0")
	report("completed", "3")
	report("ringing", "1") // late
	report("completed", "3")
	if got := d.row().VendorState; got != "completed" {
		t.Errorf("the ledger says %s", got)
	}
	for _, told := range d.engine.told {
		if !strings.Contains(told, `"status":"completed"`) {
			t.Errorf("told a status nobody waits for: %s", told)
		}
	}
	d.engine.down = true
	w := d.twilio("status", "", sid, url.Values{"CallStatus": {"busy"}, "SequenceNumber": {"4"}})
	d.says(w, http.StatusServiceUnavailable)
}

// events posts a batch as SendGrid would.
func (d *door) events(batch string) *httptest.ResponseRecorder {
	stamp := "1773889800"
	sum := sha256.Sum256([]byte(stamp + batch))
	signed, err := ecdsa.SignASN1(rand.Reader, d.key, sum[:])
	d.ok(err)
	req := httptest.NewRequestWithContext(d.Context(), http.MethodPost, "/hooks/sendgrid/events", strings.NewReader(batch))
	req.Header.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signed))
	req.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", stamp)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, req)
	return w
}

func TestMailEventsComeInAnyOrderAndTwice(t *testing.T) {
	d := newDoor(t)
	event := func(id, kind string) string {
		return fmt.Sprintf(`{"email":"c@acme.example","event":%q,"sg_event_id":%q,"sg_message_id":"m.1","timestamp":1773889800,"mdr_delivery_id":%q,"mdr_client_id":%q}`, kind, id, d.mail.ID, d.client)
	}
	stranger := fmt.Sprintf(`{"email":"x@y.example","event":"bounce","sg_event_id":"s","timestamp":1,"mdr_delivery_id":%q,"mdr_client_id":%q}`, uuid.New(), d.client)
	d.says(d.events("["+event("2", "bounce")+","+event("1", "processed")+","+stranger+",{\"event\":7}]\r\n"), http.StatusNoContent)
	d.says(d.events("["+event("2", "bounce")+"]"), http.StatusNoContent)
	var row store.LedgerRow
	d.worker(func(tx *store.Tx) (err error) {
		row, err = tx.EffectByID(d.mail.ID)
		return err
	})
	if row.VendorState != "bounce" {
		t.Errorf("the ledger says %s", row.VendorState)
	}
	if len(d.engine.told) != 1 || !strings.Contains(d.engine.told[0], d.mail.Key) {
		t.Errorf("the bounce was told %d times: %v", len(d.engine.told), d.engine.told)
	}
}

func TestAFactThatCouldNotBeToldIsTakenFromTheNextBatch(t *testing.T) {
	d := newDoor(t)
	batch := fmt.Sprintf(`[{"event":"dropped","sg_event_id":"1","timestamp":1,"mdr_delivery_id":%q,"mdr_client_id":%q}]`, d.mail.ID, d.client)
	d.engine.down = true
	d.says(d.events(batch), http.StatusServiceUnavailable)
	d.engine.down = false
	d.says(d.events(batch), http.StatusNoContent)
	if len(d.engine.told) != 1 {
		t.Errorf("told %v", d.engine.told)
	}
}
