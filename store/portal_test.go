package store_test

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

const canary = "CANARY"

// plant writes a canary with its path into every text inside a value, whatever fields it has; words of a fixed set, which
// have types of their own, stay.
func plant(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		plant(v.Elem(), path)
	case reflect.Struct:
		for n := range v.NumField() {
			if f := v.Type().Field(n); f.IsExported() {
				plant(v.Field(n), path+"."+f.Name)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for n := range v.Len() {
			plant(v.Index(n), path)
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			v.SetString(canary + path)
		}
	default: // holds no text
	}
}

// asThePortal reads every column that the catalogue lets the portal's role read, for a client, and returns all of it by
// column.
func asThePortal(h *house, te tenant) map[string]string {
	h.Helper()
	read := map[string]string{}
	for _, column := range ownerTexts(h.T, h.ownerURL, `select table_name || '.' || column_name from information_schema.column_privileges
		where table_schema = 'public' and grantee = 'watchfire_portal' and privilege_type = 'SELECT'`) {
		table, name, _ := strings.Cut(column, ".")
		h.ok(h.As(h.Context(), "watchfire_portal", te.ID, func(tx *store.Tx) error {
			rows, err := tx.Texts("select coalesce(" + name + "::text, '') from " + table)
			read[column] = strings.Join(rows, "\n")
			return err
		}))
	}
	return read
}

// TestThePortalReadsNothingInternal is "select *" on every table as the portal's role, over a client with a canary in
// every text that is the SOC's own business.
func TestThePortalReadsNothingInternal(t *testing.T) {
	h := newHouse(t)
	soc := h.newUser(models.User{Name: canary, Email: canary + "@soc.example", Role: models.RoleAnalyst})
	alert := newAlert("f", "t")
	plant(reflect.ValueOf(&alert).Elem(), "alert")
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		taken, _, err := tx.ReceiveAlert(alert, []byte(canary), canary)
		alert.ID = taken.ID
		return err
	})
	open := func(request string) (i incident.Incident) {
		h.as(store.SOC, h.acme, func(tx *store.Tx) (err error) {
			i, err = tx.OpenIncident(incident.Opened{Title: canary, Severity: models.SeverityLow, Alerts: []uuid.UUID{}}, soc.Actor(), noon, request, canary)
			return err
		})
		return i
	}

	hidden := open(canary + "1") // and never published
	h.recordCommand(h.acme, &hidden, canary, soc.Actor(), &incident.Recommended{ID: "r1", Text: canary})
	h.record(h.acme, &hidden, soc.Actor(), &incident.Dismissed{Reason: canary})

	i := open(canary + "2")
	h.record(h.acme, &i, soc.Actor(), &incident.Assessed{Severity: models.SeverityHigh, Assessment: incident.Assessment{Title: "Told", Summary: "Told"}})
	h.recordCommand(h.acme, &i, canary, soc.Actor(), &incident.Published{})
	h.record(h.acme, &i, soc.Actor(), &incident.Commented{Text: "Told"})
	kinds := 0
	for _, d := range incident.EventTypes() {
		plant(reflect.ValueOf(d).Elem(), string(d.Type()))
		by := soc.Actor()
		switch d := d.(type) {
		case *incident.Opened: // above
			kinds++
			continue
		case *incident.TaskOpened:
			d.Kind, by = incident.TaskRejected, models.System()
		case *incident.TaskDone:
			d.ID = i.Tasks[0].ID
		case *incident.Assessed:
			d.Severity = models.SeverityLow
		case *incident.CommandRejected:
			d.By, by = soc.Actor(), models.System()
		}
		if incident.NewEvent(i, noon, by, d).IsInternal() {
			h.record(h.acme, &i, by, d)
			kinds++
		}
	}
	if kinds < 5 {
		t.Fatalf("%d kinds of internal events", kinds)
	}
	rejected := incident.CommandRejected{Command: "comment", Reason: "Told", By: h.acme.user.Actor()}
	h.record(h.acme, &i, models.System(), &rejected)

	read := asThePortal(h, h.acme)
	for column, text := range read {
		if strings.Contains(text, canary) {
			t.Errorf("%s: %s", column, text)
		}
	}
	if !strings.Contains(read["events.body"], "Told") || strings.Count(read["events.body"], "\n") != 2 || !strings.Contains(read["incidents.shown"], "Told") {
		t.Errorf("the client does not read what is theirs: %s %s", read["events.body"], read["incidents.shown"])
	}
	h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.VerifyEvents(i.Reference) })
}

// portalColumns are the columns that the portal's role reads: of rows of the client, what a user of the client may see, and
// what the product needs to answer them.
var portalColumns = map[string]string{
	"approvers":            "address_version at by_user client_id confirmed contact_id has_pin number",
	"audit_log":            "at by_user client_id fields id operation side subject",
	"channel_checks":       "begun_at client_id fingerprint request_id",
	"client_decisions":     "at body client_id command fingerprint incident person request_id role seq user_id via",
	"clients":              "business contract created_at edr edr_check id language legal_name live_at number policy time_zone",
	"contacts":             "address_version call_order channels client_id email fingerprint hours hours_for_critical id language name phone removed_at request_id role severities verified",
	"decision_marks":       "at client_id request_id said seq",
	"edr_credentials":      "client_id updated_at vendor",
	"effect_states":        "at client_id detail event_id key rank received_at state",
	"effects":              "accepted_at acknowledged_at acknowledged_by attempts client_id contact_id endpoint how id incident key kind occurrence outcome planned_at purpose reason revision state updated_at vendor vendor_id vendor_state",
	"events":               "body client_id incident seq",
	"incident_commands":    "client_id command fingerprint first_seq incident last_seq request_id",
	"incidents":            "client_id containment drill expedited opened_at outside_contract phase reference revision seq shown shown_severity shown_title turn updated_at",
	"isolation_switches":   "at by_user client_id number paused reason side",
	"report_revisions":     "body client_id incident number",
	"response_authorities": "body client_id drafted_at drafted_by signed_at signed_by version",
	"service_tokens":       "client_id created_at created_by expires_at id last_used_at name operations prefix revoked_at",
	"users":                "client_id created_at disabled_at email id invited_by limited name role",
}

// TestThePortalReadsColumns: a grant on a whole table would cover its later columns, too.
func TestThePortalReadsColumns(t *testing.T) {
	ownerURL, _ := storetest.URLs(t)
	nothing(t, ownerURL, "the portal reads a whole table", `select table_name::text from information_schema.table_privileges
		where table_schema = 'public' and grantee = 'watchfire_portal' and privilege_type = 'SELECT'`)
	owner, err := pgx.Connect(t.Context(), ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.WithoutCancel(t.Context()))
	rows, err := owner.Query(t.Context(), `select table_name::text, string_agg(column_name, ' ' order by column_name) from information_schema.column_privileges
		where table_schema = 'public' and grantee = 'watchfire_portal' and privilege_type = 'SELECT' group by table_name`)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]string{}
	var table, columns string
	if _, err := pgx.ForEachRow(rows, []any{&table, &columns}, func() error { read[table] = columns; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, table := range slices.Sorted(maps.Keys(read)) {
		if read[table] != portalColumns[table] {
			t.Errorf("the portal reads of %s\n%s, want\n%s", table, read[table], portalColumns[table])
		}
	}
	if len(read) != len(portalColumns) {
		t.Errorf("the portal reads %d tables, want %d", len(read), len(portalColumns))
	}
}

// shownFields are the fields of an incident that the client sees as they are. A new field of an incident is named here,
// or the trigger show_incident leaves it out.
var shownFields = []string{
	"acknowledged", "alarm_revision", "alarm_seq", "alerts", "approvals", "call_round", "call_round_ended", "client_id", "closed_at", "closure",
	"endpoints", "exercise", "expedited", "feedback", "last_reminder", "opened_at", "outside_contract", "phase",
	"published_at", "published_severity", "questions", "read_receipts", "recommendations", "reference", "reminders", "report_seq",
	"response_team", "revision", "seq", "settled_seq", "turn", "turn_since", "updated_at", "verification",
}

func TestTheClientIsShownKnownFieldsOnly(t *testing.T) {
	own := []string{"severity", "assessment", "tasks"}
	for n := range reflect.TypeFor[incident.Incident]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[incident.Incident]().Field(n).Tag.Get("json"), ",")
		if !slices.Contains(own, name) && !slices.Contains(shownFields, name) {
			t.Errorf("a client is shown the new field %s: add it to shownFields if that is meant, else leave it out in show_incident", name)
		}
	}
	h := newHouse(t)
	full := h.published(h.acme, "open")
	plant(reflect.ValueOf(&full).Elem(), "")
	state, err := json.Marshal(full)
	h.ok(err)
	h.owner("update incidents set state = $1", string(state))
	var shown map[string]json.RawMessage
	h.ok(json.Unmarshal([]byte(asThePortal(h, h.acme)["incidents.shown"]), &shown))
	for _, name := range own {
		if text := string(shown[name]); text == "" || strings.Contains(text, canary) {
			t.Errorf("the client is shown the SOC's own %s: %s", name, text)
		}
	}
	if !strings.Contains(string(shown["questions"]), canary) {
		t.Error("the canaries do not reach what the client sees")
	}
}

// TestMigrationShowsWhatWasPublished takes incidents and events of before to the present schema, and lets a worker of
// before write one more event.
func TestMigrationShowsWhatWasPublished(t *testing.T) {
	ownerURL, appURL := storetest.EmptyURL(t)
	h := &house{T: t, ownerURL: ownerURL, appURL: appURL}
	h.ok(store.MigrateTo(t.Context(), ownerURL, 27))
	client := uuid.New()
	h.owner(`insert into clients (id, number, legal_name, time_zone, language, contract, edr, policy, request_id)
		values ($1, 1001, 'Acme', 'Europe/Prague', 'en', '{}', '{}', '{}', 'r')`, client)
	h.owner("alter table incidents disable trigger require_decision") // a restore may have left one without the row
	for n, phase := range []string{"published", "closed", "investigating"} {
		revision := map[string]int{"investigating": 0}[phase]
		if phase != "investigating" {
			revision = 2
		}
		ref := models.NewReference(1001, n+1)
		h.owner(`insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill,
				expedited, revision, open_tasks, seq, last_hash, state, request_id, fingerprint, opened_at, updated_at)
			values ($1, $2, 'CANARY', 'high', $3, 'client', 'none', false, false, $4, 0, 1, sha256(''), $5, $2, 'f', $6, $6)`,
			client, ref, phase, revision, `{"reference": "`+string(ref)+`", "severity": "low", "assessment": {"title": "CANARY"}, "tasks": [{"id": "CANARY"}]}`, noon)
		for number := 1; number <= revision; number++ {
			h.owner("insert into report_revisions values ($1, $2, $3, $4, $5)", client, ref, number, noon,
				`{"severity": "critical", "assessment": {"title": "Told `+strings.Repeat("again", number)+`"}}`)
		}
	}
	h.owner("alter table incidents enable trigger require_decision")
	event := func(seq int, d incident.EventData) {
		body, err := json.Marshal(incident.Event{Seq: seq, At: noon, Type: d.Type(), Data: d})
		h.ok(err)
		h.owner("insert into events (client_id, incident, seq, type, at, body, hash) values ($1, 'SI-1001-0001', $2, $3, $4, $5, sha256(''))",
			client, seq, d.Type(), noon, string(body))
	}
	seen, all := []int{}, append(incident.EventTypes(), &incident.CommandRejected{By: models.Actor{Side: models.SideClient}},
		&incident.CommandRejected{By: models.Actor{Side: models.SideSOC}}, &incident.CommandRejected{By: models.System()})
	for n, d := range all {
		event(n+1, d)
		if !(incident.Event{Data: d}).IsInternal() {
			seen = append(seen, n+1)
		}
	}
	before := ownerTexts(t, ownerURL, "select body::text || encode(hash, 'hex') from events order by seq")
	h.ok(store.Migrate(t.Context(), ownerURL))
	same(t, "events", ownerTexts(t, ownerURL, "select body::text || encode(hash, 'hex') from events order by seq"), before)
	s, err := store.Open(t.Context(), appURL, store.Options{})
	h.ok(err)
	defer closeStore(t, s)
	h.Store = s
	event(len(all)+1, &incident.TaskDone{ID: canary})
	event(len(all)+2, &incident.Commented{Text: "t"})
	seen = append(seen, len(all)+2)

	read := asThePortal(h, tenant{Client: models.Client{ID: client}})
	for column, text := range read {
		if strings.Contains(text, canary) {
			t.Errorf("%s: %s", column, text)
		}
	}
	h.as(store.Portal, tenant{Client: models.Client{ID: client}}, func(tx *store.Tx) error {
		events, err := tx.Events("SI-1001-0001", 0, 1000)
		h.ok(err)
		got := []int{}
		for _, e := range events {
			got = append(got, e.Seq)
		}
		same(t, "events that the client sees", got, seen)
		for _, ref := range []models.Reference{"SI-1001-0001", "SI-1001-0002"} {
			i, err := tx.Incident(ref)
			h.ok(err)
			equal(t, "title", i.Assessment.Title, "Told againagain")
			equal(t, "severity", i.Severity, models.SeverityCritical)
			equal(t, "tasks", len(i.Tasks), 0)
		}
		return nil
	})
}
