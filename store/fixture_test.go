package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// house is a provider with two clients in a database of its own.
type house struct {
	*testing.T
	*store.Store
	ownerURL string
	appURL   string
	analyst  models.User
	acme     tenant
	other    tenant
}

// tenant is a client with one contact and one user.
type tenant struct {
	models.Client
	contact models.Contact
	user    models.User
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 123456000, time.UTC)

func newHouse(t *testing.T) *house {
	t.Helper()
	ownerURL, appURL := storetest.URLs(t)
	s, err := store.Open(t.Context(), appURL, store.Options{Codes: storetest.Codes{}})
	h := &house{T: t, Store: s, ownerURL: ownerURL, appURL: appURL}
	h.ok(err)
	t.Cleanup(func() { closeStore(t, s) })
	h.analyst = h.newUser(models.User{Name: "Ada Analyst", Email: "ada@soc.example", Role: models.RoleAnalyst})
	h.acme, h.other = h.newTenant("Acme"), h.newTenant("Other")
	return h
}

func (h *house) newTenant(name string) tenant {
	h.Helper()
	c, err := h.CreateClient(h.Context(), models.Client{
		LegalName: name, TimeZone: "Europe/Prague", Language: "en", Business: models.OfficeHours(), Policy: models.DefaultPolicy(),
		EDR: models.EDR{Vendor: "crowdstrike", Tenant: "cid"}, CreatedAt: noon,
	}, "client-"+name, "")
	h.ok(err)
	te := tenant{Client: c}
	te.user = h.newUser(models.User{ClientID: c.ID, Name: "User of " + name, Email: strings.ReplaceAll(name, " ", "-") + "@client.example", Role: models.RoleResponder})
	h.as(store.SOC, te, func(tx *store.Tx) error {
		te.contact, err = tx.CreateContact(models.Contact{
			Name: "Contact of " + name, Role: "CISO", Email: "ciso@" + name, Phone: "+15005550006", Language: "en", Order: 1,
			Severities: models.Severities(), Channels: []models.Channel{models.ChannelEmail, models.ChannelVoice},
		}, "contact-1", "")
		return err
	})
	return te
}

func (h *house) newUser(u models.User) models.User {
	h.Helper()
	u, err := h.CreateUser(h.Context(), u)
	h.ok(err)
	return u
}

// as runs fn for a client and fails the test on an error.
func (h *house) as(who store.Audience, te tenant, fn func(*store.Tx) error) {
	h.Helper()
	h.ok(h.ForClient(h.Context(), who, te.ID, fn))
}

// open opens an incident of a client.
func (h *house) open(te tenant, requestID string, alerts ...uuid.UUID) incident.Incident {
	h.Helper()
	var i incident.Incident
	h.as(store.SOC, te, func(tx *store.Tx) (err error) {
		i, err = tx.OpenIncident(incident.Opened{Title: "Ransom note", Severity: models.SeverityCritical, Alerts: alerts},
			h.analyst.Actor(), noon, requestID, "fingerprint")
		return err
	})
	return i
}

// record applies data by an actor to i and records the events.
func (h *house) record(te tenant, i *incident.Incident, by models.Actor, data ...incident.EventData) {
	h.Helper()
	h.as(store.Worker, te, func(tx *store.Tx) error { return tx.Record(i.Reference, h.events(i, by, data...)) })
}

// recordCommand applies data by an actor to i and records the events as those of a command.
func (h *house) recordCommand(te tenant, i *incident.Incident, request string, by models.Actor, data ...incident.EventData) {
	h.Helper()
	events := h.events(i, by, data...)
	command := incident.CommandResult{RequestID: request, Command: "c", Fingerprint: "f", FirstSeq: events[0].Seq, LastSeq: i.Seq}
	h.as(store.Worker, te, func(tx *store.Tx) error { return tx.Record(i.Reference, events, command) })
}

// events makes the next events of i and applies them.
func (h *house) events(i *incident.Incident, by models.Actor, data ...incident.EventData) []incident.Event {
	h.Helper()
	var events []incident.Event
	for _, d := range data {
		e := incident.NewEvent(*i, noon.Add(time.Duration(i.Seq)*time.Minute), by, d)
		h.ok(i.Apply(e))
		events = append(events, e)
	}
	return events
}

// published opens and publishes an incident.
func (h *house) published(te tenant, requestID string) incident.Incident {
	h.Helper()
	i := h.open(te, requestID)
	h.record(te, &i, h.analyst.Actor(), &incident.Published{Expedited: true})
	return i
}

// receive takes an alert.
func (h *house) receive(te tenant, finding, raw, requestID string) (models.Alert, store.AlertOutcome) {
	h.Helper()
	var a models.Alert
	var outcome store.AlertOutcome
	h.as(store.SOC, te, func(tx *store.Tx) (err error) {
		a, outcome, err = tx.ReceiveAlert(newAlert(finding, raw), []byte(raw), requestID)
		return err
	})
	return a, outcome
}

func newAlert(finding, title string) models.Alert {
	return models.Alert{
		Source: models.SourceRealtime, FindingID: finding, Title: title, Severity: models.SeverityHigh,
		Techniques: []string{"T1486"}, Indicators: []models.Indicator{{Type: "ip", Value: "203.0.113.7"}},
		Hostnames: []string{"ws-1"}, OccurredAt: noon.Add(-time.Minute), ReceivedAt: noon,
	}
}

// intend writes a mail effect into the ledger.
func (h *house) intend(te tenant, i incident.Incident, occurrence int) store.LedgerRow {
	h.Helper()
	var row store.LedgerRow
	h.as(store.Worker, te, func(tx *store.Tx) (err error) {
		row, err = tx.Intend(message(te, i, models.ChannelEmail, occurrence), noon)
		return err
	})
	return row
}

// message is the effect of telling a client's contact of a publication.
func message(te tenant, i incident.Incident, ch models.Channel, occurrence int) notify.Effect {
	return notify.MessageEffect(i.Reference, te.ID, notify.Notification{
		Purpose: notify.PurposePublished, Revision: 1, Occurrence: occurrence, Contact: te.contact.ID, Channel: ch,
	})
}

// advance takes a vendor's words as a worker of a client, and returns the effects that moved.
func (h *house) advance(te tenant, vendor string, words ...store.VendorReport) []store.LedgerRow {
	h.Helper()
	var moved []store.LedgerRow
	h.as(store.Worker, te, func(tx *store.Tx) (err error) {
		moved, err = tx.Advance(vendor, words, noon)
		return err
	})
	return moved
}

// decide saves a decision of the client's user.
func (h *house) decide(te tenant, r models.Reference, requestID string) {
	h.Helper()
	h.as(store.Portal, te, func(tx *store.Tx) error { return tx.SaveDecision(decision(te, r, requestID)) })
}

func decision(te tenant, r models.Reference, requestID string) store.Decision {
	return store.Decision{
		RequestID: requestID, Incident: r, Command: "request-closure", UserID: te.user.ID, Fingerprint: "f", At: noon,
		Said: store.Said{Role: te.user.Role, Person: te.user.Person(), Via: "api", Body: `{"outcome":"resolved","note":"done"}`, Seq: 1},
	}
}

// statement is a key that the client's contact pressed.
func statement(te tenant, r models.Reference) store.Statement {
	return store.Statement{Effect: string(r) + "/published/1/c/voice/1.1", Key: notify.KeyAcknowledge, Incident: r, Contact: te.contact.ID, Seq: 2, At: noon}
}

// everything gives a client at least one row in every table, and returns its incident.
func (h *house) everything(te tenant) incident.Incident {
	h.Helper()
	a, _ := h.receive(te, "finding", "{}", "alert-1")
	i := h.open(te, "open-1", a.ID)
	h.record(te, &i, h.analyst.Actor(), &incident.Published{Expedited: true})
	h.decide(te, i.Reference, "decision-1")
	h.recordCommand(te, &i, "decision-1", te.user.Actor(), &incident.Commented{Text: "t"})
	h.as(store.Portal, te, func(tx *store.Tx) error { return tx.RefuseDecision("decision-1", 2) })
	row := h.intend(te, i, 1)
	h.as(store.Worker, te, func(tx *store.Tx) error {
		_, _, err := tx.Adopt(row.Token, "sendgrid", "m-1", noon)
		return err
	})
	h.as(store.Hooks, te, func(tx *store.Tx) error { return tx.SaveStatement(statement(te, i.Reference)) })
	h.advance(te, "sendgrid", store.VendorReport{EventID: "ev-1", Effect: row.ID, State: "delivered", Rank: 4, Sequence: -1})
	h.as(store.SOC, te, func(tx *store.Tx) error { return tx.SetCode(te.contact.ID, models.ChannelSMS, "key", noon) })
	h.as(store.SOC, te, func(tx *store.Tx) error {
		_, err := tx.RequestChannelCheck("check-1", "fingerprint")
		return err
	})
	h.as(store.Worker, te, func(tx *store.Tx) error {
		return tx.SaveCheckpoint(store.Checkpoint{Incident: i.Reference, Seq: i.Seq, Hash: hash("x"), At: noon, Signature: []byte("s")})
	})
	h.draft(te, "draft-1")
	h.setEDR(te, "mde", noon)
	h.as(store.SOC, te, func(tx *store.Tx) error {
		_, err := tx.SwitchIsolation(models.IsolationSwitch{Paused: true, Side: models.SideSOC, By: h.analyst.ID, At: noon, Reason: "r"})
		return err
	})
	h.as(store.SOC, te, func(tx *store.Tx) error { return tx.AppendAudit(h.change(h.analyst, noon)) })
	h.as(store.SOC, te, func(tx *store.Tx) error { return tx.AppendContactChange(contactChange(te, models.RoleLead)) })
	h.as(store.Portal, te, func(tx *store.Tx) error {
		_, err := tx.ConfirmApprover(te.contact.ID, te.user.ID, "hash", noon)
		return err
	})
	h.as(store.Hooks, te, func(tx *store.Tx) error { return tx.NoteWrongPIN(te.contact.ID, row.Key, 1, noon) })
	h.as(store.Worker, te, func(tx *store.Tx) error {
		_, err := tx.PassIsolation(i.Reference, "e1", 1, 1, noon, noon)
		return err
	})
	h.ok(h.CreateToken(h.Context(), models.Token{UserID: te.user.ID, Hash: hash("token of " + te.LegalName)}))
	h.ok(h.ForLogins(h.Context(), te.ID, func(tx *store.Tx) error {
		_, err := tx.AddServiceToken(models.ServiceToken{Name: "SIEM", Hash: hash("machine of " + te.LegalName), Operations: []string{"receive-alert"}, ExpiresAt: time.Now().Add(time.Hour)})
		return err
	}))
	h.reach(te)
	return i
}

// reach adds a client to the reach of the analyst of limited reach.
func (h *house) reach(te tenant) {
	h.Helper()
	h.ok(h.ForLogins(h.Context(), uuid.Nil, func(tx *store.Tx) error {
		known, err := tx.AccountByEmail("lim@soc.example")
		if models.KindOf(err) == models.NotFound {
			known.User, err = h.CreateUser(h.Context(), models.User{Name: "Lim Limited", Email: "lim@soc.example", Role: models.RoleAnalyst})
		}
		h.ok(err)
		_, _, err = tx.ChangeUser(known.ID, store.UserChange{Role: models.RoleAnalyst, Limited: true, Clients: append(known.Clients, te.Number)})
		return err
	}))
}

// contactChange is that somebody of a role gave a client's contact another address and number.
func contactChange(te tenant, by models.Role) notify.ContactChange {
	return notify.ContactChange{
		Contact: te.contact.ID, Side: by.Side(), Role: by, Operation: "update-contact", Fields: []string{"email", "phone"},
		Before: notify.Addresses{Email: "old@client.example", Phone: "+15005550006", Texts: true}, After: notify.Addresses{Email: "new@client.example"},
	}
}

// change is that somebody moved a contact to another phone.
func (h *house) change(by models.User, at time.Time) models.AuditEntry {
	return models.AuditEntry{
		At: at, By: by.ID, Side: by.Role.Side(), Operation: "update-contact", Subject: h.acme.contact.ID.String(), Fields: []string{"phone"},
	}
}

// draft adds a version of a client's response authority; its only rule is named after the request.
func (h *house) draft(te tenant, requestID string) authority.Authority {
	h.Helper()
	var a authority.Authority
	h.as(store.SOC, te, func(tx *store.Tx) (err error) {
		a, err = tx.DraftAuthority(someAuthority(requestID, h.analyst), requestID)
		return err
	})
	return a
}

func someAuthority(name string, by models.User) authority.Authority {
	return authority.Authority{
		Rules: []authority.Rule{{
			Name: name, Action: models.DesiredIsolated, Classes: []models.AssetClass{models.ClassServer}, Tags: []string{"prod"},
			Severities: models.Severities(), Hours: authority.HoursOutside, Decision: authority.DecideAskThenAuto,
		}},
		Never: []string{"dc-*"}, TwoPersons: []authority.AssetSelector{{Host: "db-*"}, {Class: models.ClassServer}, {Tag: "prod"}},
		DraftedBy: by.ID, DraftedAt: noon,
	}
}

// sign signs a version as the client's user.
func (h *house) sign(te tenant, version int, at time.Time) (a authority.Authority, err error) {
	err = h.ForClient(h.Context(), store.Portal, te.ID, func(tx *store.Tx) (err error) {
		a, err = tx.SignAuthority(version, te.user.ID, at)
		return err
	})
	return a, err
}

// owner runs a statement as the owner of the database, past every rule.
func (h *house) owner(sql string, args ...any) {
	h.Helper()
	h.ok(ownerExec(h.Context(), h.ownerURL, sql, args...))
}

func ownerExec(ctx context.Context, ownerURL, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, ownerURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// ownerTexts returns the first column of a query run as the owner.
func ownerTexts(t *testing.T, ownerURL, sql string, args ...any) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// fails fails the test unless err is a models.Error of the kind.
func (h *house) fails(err error, kind models.Kind) {
	h.Helper()
	if models.KindOf(err) != kind {
		h.Fatalf("got error %v, want one of kind %s", err, kind)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// same is equal for values that cannot be compared.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func closeStore(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close store: %v", err)
	}
}

func requestID(n int) string { return fmt.Sprintf("request-%d", n) }
