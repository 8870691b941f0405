package desk_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

const canary = "CANARY-7f3a9c51d2"

// checks stands for the workflow engine: it answers EDR checks and keeps their inputs.
type checks struct {
	desk.Temporal
	answers []models.EDRCheck // one after the other
	fails   error
	options client.StartWorkflowOptions
	args    []any
	started int
}

func (c *checks) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	if workflow != models.EDRCheckWorkflow || c.fails != nil {
		return nil, errors.Join(c.fails, errors.New("no such workflow"))
	}
	c.options, c.args = o, args
	c.started++
	return answered{check: c.answers[min(c.started, len(c.answers))-1]}, nil
}

type answered struct {
	client.WorkflowRun
	check models.EDRCheck
}

func (a answered) Get(_ context.Context, into any) error {
	raw, err := json.Marshal(a.check)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// edrDesk is a desk with one client, its engine and its log.
type edrDesk struct {
	*testing.T
	*desk.Desk
	store    *store.Store
	ownerURL string
	engine   *checks
	log      *bytes.Buffer
	box      *secrets.Box
	client   models.Client
}

var (
	lead    = models.User{ID: uuid.New(), Name: "Lead", Email: "lead@soc.example", Role: models.RoleLead}
	analyst = models.User{ID: uuid.New(), Name: "Analyst", Email: "analyst@soc.example", Role: models.RoleAnalyst}
)

// newStore is a database in which the lead and the analyst are known.
func newStore(t *testing.T) (s *store.Store, ownerURL string) {
	t.Helper()
	s, ownerURL = storetest.New(t)
	for _, u := range []models.User{lead, analyst} {
		if _, err := s.CreateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	return s, ownerURL
}

func newEDRDesk(t *testing.T) *edrDesk {
	t.Helper()
	s, ownerURL := newStore(t)
	c, err := s.CreateClient(t.Context(), models.Client{
		LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), EDR: models.EDR{Vendor: "crowdstrike", Tenant: "cid"},
	}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	keyset, err := secrets.GenerateBox("")
	if err != nil {
		t.Fatal(err)
	}
	box, err := secrets.OpenBox(keyset, "", "")
	if err != nil {
		t.Fatal(err)
	}
	d := &edrDesk{T: t, store: s, ownerURL: ownerURL, engine: &checks{}, log: &bytes.Buffer{}, box: box, client: c}
	fields := []models.EDRField{{Name: "client_id"}, {Name: "client_secret", Secret: true}}
	d.Desk = d.with(desk.EDROptions{Sealer: &box.Sealer, Products: []models.EDRProduct{{Vendor: "mde", Fields: fields}, {Vendor: "crowdstrike", Fields: fields}}, Check: func(c models.EDRCredentials) error {
		if c.Vendor != "mde" && c.Vendor != "crowdstrike" {
			return models.InvalidField("/vendor", "is no EDR product")
		}
		return nil
	}})
	return d
}

func (d *edrDesk) with(o desk.EDROptions) *desk.Desk {
	return desk.New(d.store, d.engine, desk.Options{Log: slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})), EDR: o})
}

func withCanary(vendor string) models.EDRCredentials {
	return models.EDRCredentials{Vendor: vendor, BaseURL: "https://api.example.com", Values: map[string]string{"client_id": "id", "client_secret": canary}}
}

// dump is every row of every table as text, as somebody with a copy of the database sees it.
func (d *edrDesk) dump() string {
	d.Helper()
	conn, err := pgx.Connect(d.Context(), d.ownerURL)
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(d.Context()))
	var all strings.Builder
	collect := func(sql string) (out []string) {
		rows, err := conn.Query(d.Context(), sql)
		if err != nil {
			d.Fatal(err)
		}
		if out, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			d.Fatal(err)
		}
		return out
	}
	for _, table := range collect(`select table_name::text from information_schema.tables where table_schema = 'public'`) {
		for _, row := range collect("select to_jsonb(x)::text from " + pgx.Identifier{table}.Sanitize() + " x") {
			fmt.Fprintln(&all, table, row)
		}
	}
	return all.String()
}

// wantNoCanary looks for the secret in every form it could be written in.
func wantNoCanary(t *testing.T, where, text string) {
	t.Helper()
	forms := []string{canary, hex.EncodeToString([]byte(canary))}
	for shift := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + canary))
		forms = append(forms, whole[4:len(whole)-4]) // what does not depend on the neighbours
	}
	for _, f := range forms {
		if strings.Contains(text, f) {
			t.Errorf("the secret is in %s", where)
		}
	}
}

func TestASecretIsNowhereInClear(t *testing.T) {
	d := newEDRDesk(t)
	now, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("mde"))
	if err != nil {
		t.Fatal(err)
	}
	if now != (models.EDR{Vendor: "mde"}) {
		t.Errorf("answered %+v", now)
	}
	rows := d.dump()
	if !strings.Contains(rows, "edr_credentials {") || !strings.Contains(rows, "https://api.example.com") {
		t.Fatal("the dump does not show the credentials' row")
	}
	wantNoCanary(t, "the tables", rows)
	d.engine.answers = []models.EDRCheck{{OK: true, SetAt: time.Now().Add(time.Hour)}}
	check, err := d.CheckEDRConnection(t.Context(), analyst, d.client.Number)
	if err != nil {
		t.Fatal(err)
	}
	wantNoCanary(t, "answers and payloads", fmt.Sprintf("%+v %+v %+v %+v", now, check, d.engine.options, d.engine.args))
	var errs []string
	for _, c := range []struct {
		user   models.User
		number int
		vendor string
		want   models.Kind
	}{
		{analyst, d.client.Number, "mde", models.Forbidden},
		{models.User{ID: uuid.New(), Role: models.RoleAdmin, ClientID: d.client.ID}, d.client.Number, "mde", models.Forbidden},
		{lead, d.client.Number + 1, "mde", models.NotFound},
		{lead, d.client.Number, "unknown", models.Invalid},
	} {
		_, err := d.SetEDRCredentials(t.Context(), c.user, c.number, withCanary(c.vendor))
		if models.KindOf(err) != c.want {
			t.Errorf("%s of %d for %s: %v", c.vendor, c.number, c.user.Role, err)
		}
		errs = append(errs, fmt.Sprintf("%+v", err))
	}
	if _, err = d.with(desk.EDROptions{}).SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("mde")); models.KindOf(err) != models.Unavailable {
		t.Errorf("without a keyset: %v", err)
	}
	wantNoCanary(t, "errors", fmt.Sprint(errs, err))
	wantNoCanary(t, "the log", d.log.String())
	wantNoCanary(t, "what is printed", fmt.Sprintf("%v %+v %#v %s", withCanary("mde"), withCanary("mde"), withCanary("mde"), withCanary("mde")))
}

func TestAWorkerReadsWhatWasSet(t *testing.T) {
	d := newEDRDesk(t)
	if _, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("mde")); err != nil {
		t.Fatal(err)
	}
	err := d.store.ForClient(t.Context(), store.Worker, d.client.ID, func(tx *store.Tx) error {
		kept, err := tx.EDRCredentials("mde")
		if err != nil {
			return err
		}
		plain, err := d.box.Unseal(secrets.EDRRow(d.client.ID, "mde"), secrets.Sealed{Data: kept.Sealed, Key: kept.DataKey})
		if err != nil || !bytes.Contains(plain, []byte(canary)) || kept.UpdatedBy != lead.ID {
			t.Errorf("unsealed %d bytes set by %s, %v", len(plain), kept.UpdatedBy, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	now, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("crowdstrike"))
	if err != nil || now != (models.EDR{Vendor: "crowdstrike"}) {
		t.Errorf("another vendor: %+v, %v", now, err)
	}
}

func TestTheTenantStaysWithTheVendor(t *testing.T) {
	d := newEDRDesk(t)
	now, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("crowdstrike"))
	if err != nil || now != d.client.EDR {
		t.Errorf("got %+v, %v, want %+v", now, err, d.client.EDR)
	}
}

// openIncident opens an incident, whose one device the test then sets by device.
func (d *edrDesk) openIncident() {
	d.Helper()
	err := d.store.ForClient(d.Context(), store.SOC, d.client.ID, func(tx *store.Tx) error {
		_, err := tx.OpenIncident(incident.Opened{Title: "T", Severity: models.SeverityHigh}, analyst.Actor(), time.Now(), "open", "f")
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
}

// device sets the incident's one device as it was permitted last and as the EDR sees it.
func (d *edrDesk) device(permitted models.Desired, observed models.HostState) {
	d.Helper()
	i := incident.Incident{Endpoints: []incident.Endpoint{{ID: "e1", Desired: permitted, Permitted: permitted, Observed: observed}}}
	endpoints, err := json.Marshal(i.Endpoints)
	if err != nil {
		d.Fatal(err)
	}
	d.owner(fmt.Sprintf("update incidents set containment = '%s', state = jsonb_set(state, '{endpoints}', '%s')", i.Containment(), endpoints))
}

func (d *edrDesk) owner(sql string) {
	d.Helper()
	conn, err := pgx.Connect(d.Context(), d.ownerURL)
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(d.Context()))
	if _, err := conn.Exec(d.Context(), sql); err != nil {
		d.Fatal(err)
	}
}

// wantConflict wants a refusal that points at a field.
func (d *edrDesk) wantConflict(err error, field, what string) {
	d.Helper()
	var e *models.Error
	if !errors.As(err, &e) || e.Kind != models.Conflict || e.Field != field {
		d.Errorf("%s: %v, want a conflict about %q", what, err, field)
	}
}

func TestWhileDevicesAreIsolatedTheEDRStaysTheSame(t *testing.T) {
	d := newEDRDesk(t)
	set := func(change func(*models.EDRCredentials)) error {
		c := withCanary("mde")
		change(&c)
		_, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, c)
		return err
	}
	same := func(*models.EDRCredentials) {}
	own := func(c *models.EDRCredentials) { c.Vendor = "crowdstrike" }
	d.openIncident()
	d.device(models.DesiredIsolated, models.HostIsolated) // through the provider's own Falcon
	d.wantConflict(set(own), "/values", "the first credentials of the same product")
	d.wantConflict(set(same), "/vendor", "another product")
	d.device(models.DesiredReleased, models.HostNormal)
	if err := set(same); err != nil {
		t.Fatal(err)
	}
	d.device(models.DesiredReleased, models.HostReleasing)
	for field, change := range map[string]func(*models.EDRCredentials){
		"/vendor":           own,
		"/base_url":         func(c *models.EDRCredentials) { c.BaseURL = "" },
		"/values/client_id": func(c *models.EDRCredentials) { c.Values["client_id"] = "another" },
	} {
		d.wantConflict(set(change), field, "changed")
	}
	d.wantConflict(d.RemoveEDRCredentials(t.Context(), lead, d.client.Number), "", "removed")
	if err := set(func(c *models.EDRCredentials) { c.Values["client_secret"] = "rotated" }); err != nil {
		t.Errorf("a new secret alone: %v", err)
	}
	d.owner("update edr_credentials set open_values = null")
	d.wantConflict(set(same), "/values", "after credentials whose values are not known")
}

func TestAnEDRIsSeenAndTakenBack(t *testing.T) {
	d := newEDRDesk(t)
	if _, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("mde")); err != nil {
		t.Fatal(err)
	}
	read := func() models.EDRStatus {
		t.Helper()
		s, err := d.EDR(t.Context(), analyst, d.client.Number)
		if err != nil {
			t.Fatal(err)
		}
		wantNoCanary(t, "the answer", fmt.Sprintf("%+v", s))
		return s
	}
	before := read()
	if before.Vendor != "mde" || before.BaseURL != "https://api.example.com" || before.SetBy != lead.ID || before.SetAt.IsZero() ||
		len(before.Values) != 1 || before.Values["client_id"] != "id" || before.Check != nil {
		t.Errorf("%+v", before)
	}
	d.engine.answers = []models.EDRCheck{{Problem: "config", SetAt: before.SetAt}}
	if _, err := d.CheckEDRConnection(t.Context(), analyst, d.client.Number); err != nil {
		t.Fatal(err)
	}
	if s := read(); s.Check == nil || s.Check.OK || s.Check.Problem != "config" || s.Check.At.IsZero() || s.Changed {
		t.Errorf("checked: %+v", s)
	}
	if _, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("mde")); err != nil {
		t.Fatal(err)
	}
	if s := read(); s.Check == nil || !s.Changed {
		t.Errorf("changed since: %+v", s)
	}
	for range 2 {
		if err := d.RemoveEDRCredentials(t.Context(), lead, d.client.Number); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.EDR(t.Context(), analyst, d.client.Number); models.KindOf(err) != models.NotFound {
		t.Errorf("removed: %v", err)
	}
	if strings.Contains(d.dump(), "edr_credentials {") {
		t.Error("the credentials are still kept")
	}
}

func TestACheckIsOfTheCredentialsOfNow(t *testing.T) {
	d := newEDRDesk(t)
	if _, err := d.SetEDRCredentials(t.Context(), lead, d.client.Number, withCanary("mde")); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	d.engine.answers = []models.EDRCheck{{OK: true, SetAt: time.Now().Add(-time.Hour)}, {Problem: "config", SetAt: later}}
	check, err := d.CheckEDRConnection(t.Context(), analyst, d.client.Number)
	if err != nil || check.OK || check.Problem != "config" || d.engine.started != 2 {
		t.Errorf("got %+v, %v after %d checks", check, err, d.engine.started)
	}
	if want := fmt.Sprintf("edr/%d/check", d.client.Number); d.engine.options.ID != want {
		t.Errorf("the workflow is %s, want %s", d.engine.options.ID, want)
	}
	raw, err := json.Marshal(d.engine.args)
	if want := `[{"client_id":"` + d.client.ID.String() + `"}]`; err != nil || string(raw) != want {
		t.Errorf("the payload is %s, want %s", raw, want)
	}
}

func TestAConnectionThatCannotBeTried(t *testing.T) {
	d := newEDRDesk(t)
	for name, c := range map[string]struct {
		user   models.User
		number int
		want   models.Kind
	}{
		"a client's user":  {models.User{ID: uuid.New(), Role: models.RoleAdmin, ClientID: d.client.ID}, d.client.Number, models.Forbidden},
		"no such client":   {analyst, d.client.Number + 1, models.NotFound},
		"engine is down":   {analyst, d.client.Number, models.Unavailable},
		"client of no EDR": {analyst, d.withoutEDR(), models.NotFound},
	} {
		d.engine.fails = errors.New("down")
		if _, err := d.CheckEDRConnection(t.Context(), c.user, c.number); models.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (d *edrDesk) withoutEDR() int {
	d.Helper()
	c, err := d.store.CreateClient(d.Context(), models.Client{LegalName: "Bare", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "bare", "")
	if err != nil {
		d.Fatal(err)
	}
	return c.Number
}
