package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/schema"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

func TestMigrateTwiceAndConcurrently(t *testing.T) {
	ownerURL, appURL := storetest.EmptyURL(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := store.Migrate(t.Context(), ownerURL); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	all.Wait()
	if err := store.Migrate(t.Context(), ownerURL); err != nil {
		t.Fatalf("migrate again: %v", err)
	}
	s, err := store.Open(t.Context(), appURL, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if err := s.SchemaCurrent(t.Context()); err != nil {
		t.Errorf("schema after migration: %v", err)
	}
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "applied migrations", len(ownerTexts(t, ownerURL, "select version_id::text from goose_db_version where version_id > 0")), len(files))
}

// TestMigrateReach takes a database with clients, effects and vendors' events of version 5 to the present one.
func TestMigrateReach(t *testing.T) {
	ownerURL, appURL := storetest.EmptyURL(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(store.MigrateTo(t.Context(), ownerURL, 5))
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	contact, effect := uuid.New(), uuid.New()
	for n, id := range ids {
		do(ownerExec(t.Context(), ownerURL, `insert into clients (id, number, legal_name, time_zone, language, contract, edr, policy, request_id)
			values ($1, $2, 'Acme', 'Europe/Prague', 'en', '{}', '{}', '{}', $1::uuid::text)`, id, 1001+n))
	}
	do(ownerExec(t.Context(), ownerURL, `insert into contacts values
		($1, $2, 'C', 'CISO', 'c@acme.example', '+15005550006', 'en', 1, '["critical"]', '["email", "voice"]', 'r')`, ids[0], contact))
	do(ownerExec(t.Context(), ownerURL, `insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill,
			expedited, revision, open_tasks, seq, last_hash, state, request_id, fingerprint, opened_at, updated_at)
		values ($1, 'SI-1001-0001', 'T', 'high', 'published', 'client', 'none', false, false, 1, 0, 1, sha256(''), '{}', 'r', 'f', $2, $2)`, ids[0], noon))
	do(ownerExec(t.Context(), ownerURL, `insert into effects values
		($1, 'key', $2, 'token', 'mail', 'SI-1001-0001', 'published', 1, $3, '', 'workflow', 'accepted', 'sendgrid', 'm-1', 'delivered',
		4, -1, '', '', 1, $4, $4, $4, $4)`, ids[0], effect, contact, noon))
	do(ownerExec(t.Context(), ownerURL, "insert into vendor_events values ($1, 'sendgrid', 'seen')", ids[0]))
	do(store.Migrate(t.Context(), ownerURL))
	s, err := store.Open(t.Context(), appURL, store.Options{})
	do(err)
	defer closeStore(t, s)
	do(s.SchemaCurrent(t.Context()))
	do(s.ForClient(t.Context(), store.Portal, ids[0], func(tx *store.Tx) error {
		d, err := tx.Directory()
		do(err)
		same(t, "business hours", d.Business, models.OfficeHours())
		same(t, "contact", d.Contacts, []models.Contact{{
			ID: contact, ClientID: ids[0], Name: "C", Role: "CISO", Email: "c@acme.example", Phone: "+15005550006", Language: "en", Order: 1,
			Severities: []models.Severity{"critical"}, Channels: []models.Channel{"email", "voice"}, Hours: models.Hours{},
			Verified: map[models.Channel]time.Time{},
		}})
		all, err := tx.Deliveries("SI-1001-0001", store.Cursor{}, 10)
		do(err)
		same(t, "deliveries", all, []notify.Delivery{{
			ID: effect, Key: "key", Kind: "mail", Incident: "SI-1001-0001", Purpose: "published", Revision: 1, Occurrence: 1,
			Contact: contact, ContactName: "C", State: "accepted", Vendor: "sendgrid", VendorID: "m-1", VendorState: "delivered",
			Attempts: 1, PlannedAt: noon, AcceptedAt: noon, UpdatedAt: noon, States: []notify.DeliveryState{},
		}})
		return nil
	}))
	do(s.ForClient(t.Context(), store.Worker, ids[0], func(tx *store.Tx) error {
		moved, err := tx.Advance("sendgrid", []store.VendorReport{{EventID: "seen", Effect: effect, State: "deferred", Rank: 2, Sequence: -1}}, noon)
		equal(t, "effects moved by a repeat from before", len(moved), 0)
		return err
	}))
}

// The risks that were accepted before their expiry was kept in a column come back, too.
func TestMigrateExpiredRisks(t *testing.T) {
	ownerURL, appURL := storetest.EmptyURL(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(store.MigrateTo(t.Context(), ownerURL, 27))
	id := uuid.New()
	do(ownerExec(t.Context(), ownerURL, `insert into clients (id, number, legal_name, time_zone, language, contract, edr, policy, request_id)
		values ($1, 1001, 'Acme', 'Europe/Prague', 'en', '{}', '{}', '{}', 'r')`, id))
	do(ownerExec(t.Context(), ownerURL, "alter table incidents disable trigger require_decision"))
	for n, state := range []string{
		`{"recommendations": [{"outcome": "risk_accepted", "expires_at": "2024-05-01T00:00:00Z", "settled_by": {}}, {"outcome": "mitigated"}], "closure": {"outcome": "resolved"}}`,
		`{"recommendations": null, "closure": {"outcome": "risk_accepted", "at": "2023-04-01T00:00:00Z"}}`,
		`{"recommendations": [], "closure": {"outcome": "resolved", "at": "2023-04-01T00:00:00Z"}}`,
	} {
		do(ownerExec(t.Context(), ownerURL, `insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill,
				expedited, revision, open_tasks, seq, last_hash, state, request_id, fingerprint, opened_at, updated_at, ended)
			values ($1, $2, 'T', 'high', 'closed', 'none', 'none', false, false, 1, 0, 1, sha256(''), $3, $2, 'f', $4, $4, true)`,
			id, models.NewReference(1001, n+1), state, noon))
	}
	do(ownerExec(t.Context(), ownerURL, "alter table incidents enable trigger require_decision"))
	do(store.Migrate(t.Context(), ownerURL))
	same(t, "expiries", ownerTexts(t, ownerURL, "select coalesce((risk_due at time zone 'UTC')::date::text, 'none') from incidents order by reference"),
		[]string{"2024-05-01", "2024-03-31", "none"})
	s, err := store.Open(t.Context(), appURL, store.Options{})
	do(err)
	defer closeStore(t, s)
	found, err := s.ExpiredRisks(t.Context())
	do(err)
	equal(t, "expired incidents", len(found), 2)
}

func TestANewerSchemaIsRejected(t *testing.T) {
	s, ownerURL := storetest.New(t)
	if err := ownerExec(t.Context(), ownerURL, "insert into goose_db_version (version_id, is_applied) values (99999, true)"); err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), ownerURL); err == nil || !strings.Contains(err.Error(), "99999") {
		t.Errorf("migrate: got %v, want an error", err)
	}
	if err := s.SchemaCurrent(t.Context()); err == nil {
		t.Error("a newer schema passes for the current one")
	}
}

// TestRowsFitTheSchema holds every row struct against the migrated table: same columns, types and nullability.
func TestRowsFitTheSchema(t *testing.T) {
	ownerURL, _ := storetest.URLs(t)
	tables := map[string]bool{}
	for _, row := range store.Rows() {
		parsed, err := schema.Parse(row, &sync.Map{}, schema.NamingStrategy{})
		if err != nil {
			t.Fatal(err)
		}
		tables[parsed.Table] = true
		have := map[string]string{}
		for _, column := range ownerTexts(t, ownerURL, `select column_name || ' ' || data_type || ' ' || is_nullable
			from information_schema.columns where table_schema = 'public' and table_name = $1`, parsed.Table) {
			name, kind, _ := strings.Cut(column, " ")
			have[name] = kind
		}
		for _, f := range parsed.Fields {
			kind, exists := have[f.DBName]
			if want := columnType(t, f.FieldType); !exists || kind != want {
				t.Errorf("%s.%s: the column is %q, the field %s needs %q", parsed.Table, f.DBName, kind, f.FieldType, want)
			}
			delete(have, f.DBName)
		}
		for name := range have {
			t.Errorf("%s.%s has no field", parsed.Table, name)
		}
	}
	for _, table := range ownerTexts(t, ownerURL, `select table_name::text from information_schema.tables
		where table_schema = 'public' and table_name <> 'goose_db_version'`) {
		if !tables[table] {
			t.Errorf("table %s has no row struct", table)
		}
	}
}

// columnType is the column a field's type needs.
func columnType(t *testing.T, f reflect.Type) string {
	nullable := "NO"
	if f.Kind() == reflect.Pointer {
		f, nullable = f.Elem(), "YES"
	}
	switch {
	case f == reflect.TypeFor[uuid.NullUUID]():
		return "uuid YES"
	case f == reflect.TypeFor[uuid.UUID]():
		return "uuid " + nullable
	case f == reflect.TypeFor[time.Time]():
		return "timestamp with time zone " + nullable
	case strings.HasPrefix(f.Name(), "document["):
		return "jsonb " + nullable
	case f.Name() == "verbatim":
		return "json " + nullable
	case f.Kind() == reflect.String:
		return "text " + nullable
	case f.Kind() == reflect.Int:
		return "integer " + nullable
	case f.Kind() == reflect.Bool:
		return "boolean " + nullable
	case f == reflect.TypeFor[[]byte]():
		return "bytea " + nullable
	}
	t.Fatalf("no column type is known for %s", f)
	return ""
}

func TestOpenRejectsLoginsThatAreNotBound(t *testing.T) {
	ownerURL, appURL := storetest.URLs(t)
	if s, err := store.Open(t.Context(), ownerURL, store.Options{}); err == nil {
		closeStore(t, s)
		t.Error("a superuser was let in")
	}
	for name, grant := range map[string]string{
		"bypasses row level security": "alter role %s bypassrls",
		"owns the tables":             "alter table incidents owner to %s",
	} {
		t.Run(name, func(t *testing.T) {
			role := newLogin(t, ownerURL)
			if err := ownerExec(t.Context(), ownerURL, fmt.Sprintf(grant, role)); err != nil {
				t.Fatal(err)
			}
			if s, err := store.Open(t.Context(), withUser(t, appURL, role, "password"), store.Options{}); err == nil {
				closeStore(t, s)
				t.Error("the login was let in")
			}
		})
	}
	if _, err := store.Open(t.Context(), "postgres://user:hunter2@127.0.0.1:1/x", store.Options{}); models.KindOf(err) != models.Unavailable ||
		strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := store.Open(t.Context(), "postgres://user:hunter2@[", store.Options{}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("not an address: %v", err)
	}
}

func TestEnsureLogin(t *testing.T) {
	ownerURL, appURL := storetest.URLs(t)
	role := newLogin(t, ownerURL)
	login := func(password string) error {
		s, err := store.Open(t.Context(), withUser(t, appURL, role, password), store.Options{})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	for _, password := range []string{"first", "it's \"second\"; --"} {
		if err := store.EnsureLogin(t.Context(), ownerURL, store.LoginOperator, role, password); err != nil {
			t.Fatal(err)
		}
		if err := login(password); err != nil {
			t.Errorf("log in: %v", err)
		}
	}
	if login("first") == nil {
		t.Error("the old password still works")
	}
	if err := ownerExec(t.Context(), ownerURL, "alter role "+role+" bypassrls inherit"); err != nil {
		t.Fatal(err)
	}
	if err := store.EnsureLogin(t.Context(), ownerURL, store.LoginOperator, role, "third"); err != nil {
		t.Fatal(err)
	}
	if err := login("third"); err != nil {
		t.Errorf("log in after repair: %v", err)
	}
	for name, err := range map[string]error{
		"the owner":               store.EnsureLogin(t.Context(), ownerURL, store.LoginOperator, ownerTexts(t, ownerURL, "select current_user::text")[0], "x"),
		"an empty password":       store.EnsureLogin(t.Context(), ownerURL, store.LoginOperator, role, ""),
		"a password beyond ASCII": store.EnsureLogin(t.Context(), ownerURL, store.LoginOperator, role, "heslo č"),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestTheLoginItselfMayNothing(t *testing.T) {
	ownerURL, appURL := storetest.URLs(t)
	for _, table := range ownerTexts(t, ownerURL, "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'") {
		if err := ownerExec(t.Context(), appURL, "select from "+table); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s without a role: %v", table, err)
		}
	}
}

// newLogin makes a login with the password "password" that ends with the test.
func newLogin(t *testing.T, ownerURL string) string {
	t.Helper()
	role := "watchfire_test_" + strings.ToLower(rand.Text())
	if err := store.EnsureLogin(t.Context(), ownerURL, store.LoginOperator, role, "password"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, statement := range []string{"drop owned by " + role + " cascade", "drop role " + role} {
			if err := ownerExec(context.WithoutCancel(t.Context()), ownerURL, statement); err != nil {
				t.Error(err)
			}
		}
	})
	return role
}

// withUser is an address with another login.
func withUser(t *testing.T, address, user, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}
