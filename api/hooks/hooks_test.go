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
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/api/hooks"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/report"
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
	phone   = "+12025550100"
	another = "+12025550199"

	sid      = "CA00000000000000000000000000000001"
	otherSid = "CA00000000000000000000000000000002"
	textSid  = "SM00000000000000000000000000000001"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// told is one fact that a workflow was told.
type told struct{ workflow, fact, arg string }

// engine notes what is told. Workflows in gone do not exist; down makes every fact fail: neither the engine nor the
// database takes it.
type engine struct {
	mu     sync.Mutex
	told   []told
	gone   map[string]bool
	down   bool
	before func() // anything is told
}

func (e *engine) SignalFact(_ context.Context, name string, arg any, workflow string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.before != nil {
		e.before()
	}
	if e.down {
		return errors.New("no connection")
	}
	if e.gone[workflow] {
		return models.Errorf(models.NotFound, "over")
	}
	b, err := json.Marshal(arg)
	e.told = append(e.told, told{workflow, name, string(b)})
	return err
}

// door is the hooks, with a client that has a published critical incident and a call, a text and a mail about it.
type door struct {
	*testing.T
	store    *store.Store
	ownerURL string
	engine   *engine
	handler  http.Handler
	key      *ecdsa.PrivateKey
	now      time.Time
	tenant
	call, text, mail store.LedgerRow
}

// tenant is a client with one contact and one published incident.
type tenant struct {
	client   models.Client
	contact  models.Contact
	incident incident.Incident
}

// ages lets the texts that were planned become older.
func (d *door) ages(by time.Duration) {
	d.Helper()
	d.asOwner("update effects set planned_at = planned_at - $1::interval", by)
}

// asOwner runs a statement as the owner of the database.
func (d *door) asOwner(sql string, args ...any) {
	d.Helper()
	conn, err := pgx.Connect(d.Context(), d.ownerURL)
	d.ok(err)
	defer conn.Close(context.WithoutCancel(d.Context()))
	_, err = conn.Exec(d.Context(), sql, args...)
	d.ok(err)
}

// statements returns what the contact is known to have said about the incident.
func (d *door) statements() (all []store.Statement) {
	d.Helper()
	d.ok(d.store.ForClient(d.Context(), store.Worker, d.client.ID, func(tx *store.Tx) (err error) {
		all, err = tx.Statements(d.incident.Reference, d.contact.ID)
		return err
	}))
	return all
}

func newDoor(t *testing.T) *door {
	t.Helper()
	gin.SetMode(gin.TestMode)
	d := &door{T: t, engine: &engine{gone: map[string]bool{}}, now: time.Now().UTC()}
	d.store, d.ownerURL = storetest.New(t)
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
	words, err := report.LoadLanguages("Nordlicht SOC")
	d.ok(err)
	h := &hooks.Hooks{
		Store: d.store, Desk: d.engine, Twilio: calls, SendGrid: events, Words: words, PublicURL: address,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	r := gin.New()
	h.Register(r)
	d.handler = r
	d.tenant = d.newTenant("Acme", models.Contact{Name: "C", Language: "en"}, incident.Opened{Title: title})
	d.call = d.calls(d.tenant, 1)
	d.text = d.sends(d.tenant, models.ChannelSMS, 1)
	d.mail = d.sends(d.tenant, models.ChannelEmail, 1)
	return d
}

func (d *door) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// newTenant makes a client, its contact, who has the same phone at every client, and a published critical incident.
func (d *door) newTenant(name string, contact models.Contact, opened incident.Opened) (te tenant) {
	d.Helper()
	var err error
	te.client, err = d.store.CreateClient(d.Context(), models.Client{LegalName: name, TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, uuid.NewString(), "")
	d.ok(err)
	contact.Email, contact.Phone, contact.Order, contact.Severities = "c@acme.example", phone, 1, models.Severities()
	contact.Channels = []models.Channel{models.ChannelEmail, models.ChannelVoice, models.ChannelSMS}
	d.ok(d.store.ForClient(d.Context(), store.SOC, te.client.ID, func(tx *store.Tx) (err error) {
		te.contact, err = tx.CreateContact(contact, "contact", "")
		return err
	}))
	te.incident = d.publish(te.client.ID, opened)
	return te
}

var analyst = models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}

// publish opens a critical incident of a client and publishes it.
func (d *door) publish(client uuid.UUID, opened incident.Opened) (i incident.Incident) {
	d.Helper()
	opened.Severity = models.SeverityCritical
	d.ok(d.store.ForClient(d.Context(), store.SOC, client, func(tx *store.Tx) (err error) {
		i, err = tx.OpenIncident(opened, analyst, noon, uuid.NewString(), "f")
		return err
	}))
	d.record(&i, analyst, &incident.Published{Expedited: true})
	return i
}

func (d *door) record(i *incident.Incident, by models.Actor, data incident.EventData) {
	d.Helper()
	event := incident.NewEvent(*i, noon, by, data)
	d.ok(i.Apply(event))
	d.ledger(i.ClientID, func(tx *store.Tx) error { return tx.Record(i.Reference, []incident.Event{event}) })
}

func (d *door) ledger(client uuid.UUID, fn func(*store.Tx) error) {
	d.Helper()
	d.ok(d.store.ForClient(d.Context(), store.Worker, client, fn))
}

func (d *door) intend(e notify.Effect) (row store.LedgerRow) {
	d.Helper()
	d.ledger(e.ClientID, func(tx *store.Tx) (err error) {
		row, err = tx.Intend(e, d.now)
		return err
	})
	return row
}

// calls puts a call of a round to a tenant's contact on the ledger.
func (d *door) calls(te tenant, round int) store.LedgerRow {
	d.Helper()
	return d.intend(notify.CallEffect(te.incident.Reference, te.client.ID, 1, round, 1, te.contact.ID))
}

// sends puts a message to a tenant's contact on the ledger; the vendor has taken it.
func (d *door) sends(te tenant, ch models.Channel, occurrence int) store.LedgerRow {
	d.Helper()
	row := d.intend(notify.MessageEffect(te.incident.Reference, te.client.ID, notificationTo(te, ch, occurrence)))
	if ch == models.ChannelSMS {
		d.ledger(te.client.ID, func(tx *store.Tx) error { return tx.Accept(row.Key, "twilio", textID(row), d.now) })
	}
	return row
}

func notificationTo(te tenant, ch models.Channel, occurrence int) notify.Notification {
	return notify.Notification{Purpose: notify.PurposeReminder, Revision: 1, Occurrence: occurrence, Contact: te.contact.ID, Channel: ch}
}

// textID is Twilio's id of a text message of ours.
func textID(row store.LedgerRow) string { return "SM" + strings.ReplaceAll(row.ID.String(), "-", "") }

// row reads a ledger row again.
func (d *door) row(of store.LedgerRow) (row store.LedgerRow) {
	d.Helper()
	d.ledger(of.ClientID, func(tx *store.Tx) (err error) {
		row, err = tx.Effect(of.Key)
		return err
	})
	return row
}

// deliveries reads the ledger as people see it.
func (d *door) deliveries() (all []notify.Delivery) {
	d.Helper()
	d.ledger(d.client.ID, func(tx *store.Tx) (err error) {
		all, err = tx.Deliveries(d.incident.Reference, store.Cursor{}, 1000)
		return err
	})
	return all
}

// twilio posts a form as Twilio would, to the address of an effect: signed over the public address and the sorted form.
func (d *door) twilio(what string, row store.LedgerRow, query string, form url.Values) *httptest.ResponseRecorder {
	return d.signed("/hooks/twilio/"+what+"/"+row.ClientID.String()+"/"+row.Token+query, form)
}

// speaks posts what Twilio posts during the first call.
func (d *door) speaks(what string, row store.LedgerRow, query, digits string) *httptest.ResponseRecorder {
	return d.twilio(what, row, query, url.Values{"CallSid": {sid}, "CallStatus": {"in-progress"}, "Digits": {digits}})
}

func (d *door) signed(path string, form url.Values) *httptest.ResponseRecorder {
	form.Set("AccountSid", account)
	return d.post(path, form.Encode(), signature(public+path, form))
}

func (d *door) post(path, form, signed string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(d.Context(), http.MethodPost, path, strings.NewReader(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Twilio-Signature", signed)
	return d.serve(req)
}

func (d *door) serve(req *http.Request) *httptest.ResponseRecorder {
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

// events posts a batch as SendGrid would.
func (d *door) events(events ...string) *httptest.ResponseRecorder {
	batch, stamp := "["+strings.Join(events, ",")+"]\r\n", "1773889800"
	sum := sha256.Sum256([]byte(stamp + batch))
	signed, err := ecdsa.SignASN1(rand.Reader, d.key, sum[:])
	if err != nil {
		d.Error(err)
	}
	req := httptest.NewRequestWithContext(d.Context(), http.MethodPost, "/hooks/sendgrid/events", strings.NewReader(batch))
	req.Header.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signed))
	req.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", stamp)
	return d.serve(req)
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

// tells compares all that was told with what should have been, and forgets it.
func (d *door) tells(want ...told) {
	d.Helper()
	if len(d.engine.told)+len(want) > 0 && !reflect.DeepEqual(d.engine.told, want) {
		d.Errorf("told %v\nnot  %v", d.engine.told, want)
	}
	d.engine.told = nil
}

// fact is a fact as it is told.
func fact(workflow, name string, arg any) told {
	b, _ := json.Marshal(arg)
	return told{workflow, name, string(b)}
}
