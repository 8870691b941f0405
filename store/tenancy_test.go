package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

const clientTables = `select distinct c.table_name::text from information_schema.columns c
	join information_schema.tables t using (table_schema, table_name)
	where c.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.column_name = 'client_id' order by 1`

// nothing fails the test for every row of a catalogue query: each is something that must not be.
func nothing(t *testing.T, ownerURL, what, sql string) {
	t.Helper()
	for _, found := range ownerTexts(t, ownerURL, sql) {
		t.Errorf("%s: %s", what, found)
	}
}

func TestCatalogue(t *testing.T) {
	ownerURL, _ := storetest.URLs(t)
	if n := len(ownerTexts(t, ownerURL, clientTables)); n < 12 {
		t.Fatalf("found %d tables with client_id, want at least 12", n)
	}
	nothing(t, ownerURL, "row level security is not forced", `select relname::text from pg_class
		where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname <> 'goose_db_version'
		and not (relrowsecurity and relforcerowsecurity)`)
	nothing(t, ownerURL, "no policy for own rows", `select table_name::text from information_schema.columns c
		where table_schema = 'public' and (column_name = 'client_id' or (table_name, column_name) = ('clients', 'id'))
		and not exists (select from pg_policies p where p.tablename = c.table_name and p.policyname = 'own_client'
			and p.permissive = 'PERMISSIVE' and p.cmd = 'ALL' and p.qual = p.with_check
			and p.qual = format('(%s = (NULLIF(current_setting(''app.client_id''::text, true), ''''::text))::uuid)', c.column_name))`)
	nothing(t, ownerURL, "a policy opens rows", `select tablename || '.' || policyname from pg_policies
		where permissive = 'PERMISSIVE' and policyname <> 'own_client'
		and not (policyname = 'every_client' and cmd = 'SELECT' and roles = '{watchfire_soc}' and qual like '%app.every_client%')
		and not (policyname = 'every_lookup' and cmd = 'SELECT' and roles = '{watchfire_worker}' and qual like '%app.every_client%'
			and tablename in ('effects', 'contacts', 'edr_credentials', 'incidents', 'checkpoints'))
		and not (policyname = 'every_login' and roles = '{watchfire_auth}' and tablename in ('users', 'tokens', 'service_tokens', 'user_reach'))
		and not (policyname = 'colleagues' and cmd = 'SELECT' and roles <@ '{watchfire_soc,watchfire_worker}' and tablename in ('users', 'service_tokens'))
		and not (policyname = 'operation' and roles = '{watchfire_auth}' and tablename in ('soc_audit_log', 'refusals', 'limits'))
		and not (policyname = 'operation' and roles <@ '{watchfire_soc,watchfire_worker}' and tablename in ('operator_alarms', 'processes', 'leases', 'kept_facts'))`)
	nothing(t, ownerURL, "a role is too strong", `select rolname::text from pg_roles where rolname like 'watchfire\_%'
		and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolinherit)`)
	nothing(t, ownerURL, "an audience may log in", `select rolname::text from pg_roles
		where rolname in ('watchfire_soc', 'watchfire_portal', 'watchfire_worker', 'watchfire_auth', 'watchfire_hooks') and rolcanlogin`)
	nothing(t, ownerURL, "a unique key does not begin with the client", `select i.relname::text from pg_index x
		join pg_class i on i.oid = x.indexrelid join pg_class r on r.oid = x.indrelid
		join pg_attribute a on a.attrelid = r.oid and a.attnum = x.indkey[0]
		where r.relnamespace = 'public'::regnamespace and x.indisunique and a.attname <> 'client_id'
		and r.relname not in ('clients', 'tokens', 'goose_db_version', 'operator_alarms', 'processes', 'leases', 'kept_facts', 'service_tokens', 'soc_audit_log', 'refusals', 'limits') and i.relname <> 'users_pkey'`)
	nothing(t, ownerURL, "the SOC's role is not held to a user's reach", `select c.table_name::text from information_schema.columns c
		join information_schema.tables b using (table_schema, table_name)
		where table_schema = 'public' and b.table_type = 'BASE TABLE' and (column_name = 'client_id' or (table_name, column_name) = ('clients', 'id')) and table_name <> 'user_reach'
		and not exists (select from pg_policies p where p.tablename = c.table_name and p.policyname = 'reach' and p.permissive = 'RESTRICTIVE'
			and p.cmd = 'ALL' and p.roles = '{watchfire_soc}')`)
	nothing(t, ownerURL, "a foreign key leaves the client out", `select c.conname::text from pg_constraint c
		where c.contype = 'f' and c.confrelid not in ('clients'::regclass) and c.conrelid not in ('tokens'::regclass, 'user_reach'::regclass)
		and not exists (select from pg_attribute a where a.attrelid = c.conrelid and a.attnum = c.conkey[1] and a.attname = 'client_id')`)
	nothing(t, ownerURL, "a function runs with its owner's rights", `select proname::text from pg_proc
		where pronamespace = 'public'::regnamespace and prosecdef`)
	nothing(t, ownerURL, "a trigger function trusts the search path", `select proname::text from pg_proc
		where pronamespace = 'public'::regnamespace and prorettype = 'trigger'::regtype
		and not coalesce(array_to_string(proconfig, ' ') like '%search_path=pg_catalog, pg_temp%', false)`)
}

func TestGrants(t *testing.T) {
	ownerURL, _ := storetest.URLs(t)
	granted := `select table_name || ' ' || lower(privilege_type) || ' ' || grantee from information_schema.table_privileges
		where table_schema = 'public' and grantee <> 'postgres' and grantee <> current_user `
	nothing(t, ownerURL, "everybody may", granted+`and grantee = 'PUBLIC'`)
	nothing(t, ownerURL, "rows may be removed", granted+`and privilege_type in ('DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES')
		and not (table_name in ('tokens', 'user_reach', 'limits') and privilege_type = 'DELETE' and grantee = 'watchfire_auth')
		and not (table_name in ('channel_codes', 'edr_credentials') and privilege_type = 'DELETE' and grantee = 'watchfire_soc')`) // to revoke them
	nothing(t, ownerURL, "whole rows may be changed", granted+`and privilege_type = 'UPDATE'`)
	nothing(t, ownerURL, "an insert-only table may be changed", `select table_name || '.' || column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'UPDATE' and grantee like 'watchfire\_%'
		and table_name in ('events', 'report_revisions', 'client_decisions', 'decision_marks', 'contact_statements', 'approvers', 'wrong_pins', 'alert_payloads', 'alert_receipts', 'effect_states', 'user_reach', 'soc_audit_log', 'isolation_switches', 'isolation_passes', 'audit_log',
		'incident_commands', 'checkpoints')`)
	nothing(t, ownerURL, "more than the state of users and tokens may be changed, or by others than their managers", `select table_name || '.' || column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'UPDATE' and grantee like 'watchfire\_%' and table_name in ('users', 'tokens', 'service_tokens')
		and not (grantee = 'watchfire_auth' and (table_name, column_name) in (('users', 'role'), ('users', 'disabled_at'), ('users', 'limited'), ('users', 'accepted_at'), ('users', 'invited_by'),
			('tokens', 'last_used_at'), ('service_tokens', 'last_used_at'), ('service_tokens', 'revoked_at')))
		and not (grantee = 'watchfire_portal' and (table_name, column_name) in (('users', 'role'), ('users', 'disabled_at'), ('service_tokens', 'revoked_at')))`)
	nothing(t, ownerURL, "a response authority may be changed, or signed by others than the client", `select column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'UPDATE' and grantee like 'watchfire\_%'
		and table_name = 'response_authorities' and not (column_name in ('signed_by', 'signed_at') and grantee = 'watchfire_portal')`)
	nothing(t, ownerURL, "an identity column may be changed", `select table_name || '.' || column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'UPDATE' and grantee like 'watchfire\_%'
		and column_name in ('client_id', 'id', 'reference', 'key', 'token', 'request_id', 'fingerprint', 'contact_id', 'caller_secret')
		and not (table_name = 'channel_codes' and column_name = 'key')`) // there it identifies nothing
	nothing(t, ownerURL, "others than the SOC may reach codes", granted+`and table_name = 'channel_codes' and grantee <> 'watchfire_soc'`)
	nothing(t, ownerURL, "tokens and addresses of users may be read", `select table_name || '.' || column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'SELECT' and grantee like 'watchfire\_%' and grantee <> 'watchfire_auth'
		and (table_name = 'tokens' or column_name = 'hash' and table_name = 'service_tokens'
			or table_name = 'users' and column_name = 'email' and grantee not in ('watchfire_portal', 'watchfire_worker'))`) // whose rows are the client's own
	nothing(t, ownerURL, "sealed secrets may be read by others than workers", `select column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'SELECT' and grantee like 'watchfire\_%' and grantee <> 'watchfire_worker'
		and table_name = 'edr_credentials' and (column_name in ('sealed', 'data_key') or grantee <> 'watchfire_soc')
		and not (column_name in ('client_id', 'vendor', 'updated_at') and grantee = 'watchfire_portal')`)
	nothing(t, ownerURL, "hashes of PINs may be read by others than the callbacks", `select column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type = 'SELECT' and grantee like 'watchfire\_%' and grantee <> 'watchfire_hooks'
		and table_name = 'approvers' and column_name = 'pin'`)
	nothing(t, ownerURL, "others than the client may confirm approvers", granted+`and table_name = 'approvers' and grantee <> 'watchfire_portal'`)
	nothing(t, ownerURL, "others than the SOC may change EDR credentials", `select column_name || ' ' || grantee
		from information_schema.column_privileges where privilege_type in ('INSERT', 'UPDATE') and grantee like 'watchfire\_%'
		and table_name = 'edr_credentials' and grantee <> 'watchfire_soc'`)
	inserts := ownerTexts(t, ownerURL, granted+`and privilege_type = 'INSERT' and grantee in ('watchfire_portal', 'watchfire_auth', 'watchfire_hooks') order by 1`)
	want := []string{"approvers insert watchfire_portal", "audit_log insert watchfire_auth", "audit_log insert watchfire_portal", "channel_checks insert watchfire_portal", "client_decisions insert watchfire_portal",
		"contact_changes insert watchfire_portal", "contact_statements insert watchfire_hooks", "contacts insert watchfire_portal", "decision_marks insert watchfire_portal", "effect_states insert watchfire_hooks", "isolation_switches insert watchfire_portal",
		"limits insert watchfire_auth", "refusals insert watchfire_auth", "service_tokens insert watchfire_auth", "service_tokens insert watchfire_portal", "soc_audit_log insert watchfire_auth", "tokens insert watchfire_auth", "user_reach insert watchfire_auth",
		"users insert watchfire_auth", "wrong_pins insert watchfire_hooks"}
	if !slices.Equal(inserts, want) {
		t.Errorf("inserts of portal, auth and hooks: got %v, want %v", inserts, want)
	}
}

func TestNoTableShowsAnotherClientsRows(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.everything(h.other)
	var shown, rejected int
	for _, table := range append(ownerTexts(t, h.ownerURL, clientTables), "clients") {
		column := map[bool]string{true: "id", false: "client_id"}[table == "clients"]
		all := ownerTexts(t, h.ownerURL, "select distinct "+column+"::text from "+table+" where "+column+" is not null")
		equal(t, "clients with rows in "+table, len(all), 2)
		read := func(role string, client uuid.UUID) (ids []string, err error) {
			return ids, h.As(t.Context(), role, client, func(tx *store.Tx) error {
				ids, err = tx.Texts("select distinct " + column + "::text from " + table + " where " + column + " is not null")
				return err
			})
		}
		for _, role := range []string{"watchfire_soc", "watchfire_portal", "watchfire_worker"} {
			ids, err := read(role, h.acme.ID)
			if models.KindOf(err) == models.Forbidden {
				rejected++
				continue
			}
			h.ok(err)
			if shown++; !slices.Equal(ids, []string{h.acme.ID.String()}) {
				t.Errorf("%s reads %v from %s for %s", role, ids, table, h.acme.ID)
			}
			ids, err = read(role, uuid.Nil)
			h.ok(err)
			equal(t, "rows of "+table+" without a client", len(ids), 0)
		}
	}
	if shown < 20 || rejected == 0 {
		t.Errorf("%d reads allowed and %d rejected: the test does not reach the tables", shown, rejected)
	}
}

func TestNoTableTakesAnotherClientsRows(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.everything(h.other)
	for _, table := range ownerTexts(t, h.ownerURL, clientTables) {
		before := ownerTexts(t, h.ownerURL, "select to_jsonb(x)::text from "+table+" x order by 1")
		for _, role := range []string{"watchfire_soc", "watchfire_portal", "watchfire_worker"} {
			for _, client := range []uuid.UUID{h.acme.ID, uuid.Nil} {
				err := h.As(t.Context(), role, client, func(tx *store.Tx) error {
					return tx.Exec("insert into " + table + " select (jsonb_populate_record(null::" + table + `, to_jsonb(x) ||
						'{"client_id": "` + h.other.ID.String() + `"}')).* from (values (1)) v left join ` + table + " x on true")
				})
				h.fails(err, models.Forbidden)
			}
		}
		after := ownerTexts(t, h.ownerURL, "select to_jsonb(x)::text from "+table+" x order by 1")
		if !slices.Equal(before, after) {
			t.Errorf("%s changed", table)
		}
	}
}

func TestUpdatesReachOwnRowsOnly(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.everything(h.other)
	for _, c := range []struct{ role, sql, left string }{
		{"watchfire_soc", "update alerts set title = 'changed'", "select client_id::text from alerts where title <> 'changed'"},
		{"watchfire_soc", "update clients set last_incident = 77", "select id::text from clients where last_incident <> 77"},
		{"watchfire_worker", "update incidents set title = 'changed'", "select client_id::text from incidents where title <> 'changed'"},
		{"watchfire_soc", "update contacts set name = 'changed'", "select client_id::text from contacts where name <> 'changed'"},
		{"watchfire_soc", "update channel_codes set wrong = 9", "select client_id::text from channel_codes where wrong <> 9"},
		{"watchfire_soc", "update channel_checks set begun_at = now()", "select client_id::text from channel_checks where begun_at is null"},
		{"watchfire_portal", "update contacts set phone = 'changed', verified = '{}'", "select client_id::text from contacts where phone <> 'changed'"},
		{"watchfire_portal", "update channel_checks set begun_at = '2026-01-01'", "select client_id::text from channel_checks where begun_at is distinct from '2026-01-01'"},
		{"watchfire_worker", "update contact_changes set told_at = now()", "select client_id::text from contact_changes where told_at is null"},
		{"watchfire_soc", "delete from channel_codes", "select client_id::text from channel_codes"},
		{"watchfire_portal", "update response_authorities set signed_by = (select user_id from client_decisions limit 1), signed_at = now()",
			"select client_id::text from response_authorities where signed_at is null"},
		{"watchfire_soc", "update edr_credentials set data_key = ''", "select client_id::text from edr_credentials where data_key <> ''"},
		{"watchfire_soc", "delete from edr_credentials", "select client_id::text from edr_credentials"},
		{"watchfire_soc", "update clients set edr_check = '{}'", "select id::text from clients where edr_check is null"},
		{"watchfire_worker", "update effects set outcome = 'changed'", "select client_id::text from effects where outcome <> 'changed'"},
	} {
		h.ok(h.As(t.Context(), c.role, h.acme.ID, func(tx *store.Tx) error { return tx.Exec(c.sql) }))
		h.ok(h.As(t.Context(), c.role, uuid.Nil, func(tx *store.Tx) error { return tx.Exec(c.sql) }))
		if left := ownerTexts(t, h.ownerURL, c.left); !slices.Equal(left, []string{h.other.ID.String()}) {
			t.Errorf("%s: rows left as they were are of %v", c.sql, left)
		}
	}
}

func TestTheSOCReadsEveryClientAndWritesNone(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.everything(h.other)
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		alerts, err := tx.Alerts(store.AlertFilter{}, store.Cursor{}, 10)
		h.ok(err)
		equal(t, "alerts", len(alerts), 2)
		clients, err := tx.Clients(h.acme.Number, 10)
		h.ok(err)
		equal(t, "clients after the first", len(clients), 1)
		_, err = tx.CreateContact(models.Contact{Name: "x"}, "x", "")
		h.fails(err, models.Forbidden)
		_, _, err = tx.ReceiveAlert(newAlert("f", "t"), nil, "x")
		h.fails(err, models.Forbidden)
		return nil
	}))
	h.fails(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		return tx.Exec("insert into channel_codes values (?, ?, 'voice', 'key', now())", h.acme.ID, h.acme.contact.ID)
	}), models.Forbidden)
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error { return tx.Exec("update alerts set title = 'changed'") }))
	equal(t, "changed alerts", len(ownerTexts(t, h.ownerURL, "select title from alerts where title = 'changed'")), 0)
}

// The database keeps the SOC's role within a user's reach in every table, whether it names a client or sees all, and takes
// nothing for a client beyond it.
func TestNoTableShowsMoreThanAUsersReach(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.everything(h.other)
	limited := models.User{Role: models.RoleAnalyst, Limited: true}
	h.ok(h.ForLogins(t.Context(), uuid.Nil, func(tx *store.Tx) error {
		known, err := tx.AccountByEmail("lim@soc.example")
		h.ok(err)
		limited.ID = known.ID
		_, _, err = tx.ChangeUser(known.ID, store.UserChange{Role: models.RoleAnalyst, Limited: true, Clients: []int{h.acme.Number}})
		return err
	}))
	tables := append(ownerTexts(t, h.ownerURL, clientTables), "clients")
	shown := 0
	for _, table := range tables {
		column := map[bool]string{true: "id", false: "client_id"}[table == "clients"]
		if table == "user_reach" { // says who reaches whom, and nothing of a client
			continue
		}
		for _, scope := range []store.Scope{h.By(limited).InEveryClient(t.Context()), h.By(limited).InClient(t.Context(), store.SOC, h.other.ID), h.By(limited).InClient(t.Context(), store.SOC, h.acme.ID)} {
			ids, err := store.Run(scope, func(tx *store.Tx) ([]string, error) {
				return tx.Texts("select distinct " + column + "::text from " + table + " where " + column + " is not null")
			})
			if models.KindOf(err) == models.Forbidden {
				continue
			}
			h.ok(err)
			shown += len(ids)
			if slices.Contains(ids, h.other.ID.String()) {
				t.Errorf("%s shows the rows of a client out of reach", table)
			}
		}
	}
	if shown < 30 {
		t.Errorf("%d reads show something: the test does not reach the tables", shown)
	}
	h.ok(h.By(limited).ForClient(t.Context(), store.SOC, h.other.ID, func(tx *store.Tx) error { return tx.Exec("update alerts set title = 'changed'") }))
	equal(t, "changed alerts", len(ownerTexts(t, h.ownerURL, "select title from alerts where title = 'changed'")), 0)
	h.fails(h.By(limited).ForClient(t.Context(), store.SOC, h.other.ID, func(tx *store.Tx) error {
		_, _, err := tx.ReceiveAlert(newAlert("f", "t"), nil, "x")
		return err
	}), models.Forbidden)
	h.ok(h.ForLogins(t.Context(), uuid.Nil, func(tx *store.Tx) error {
		_, _, err := tx.ChangeUser(limited.ID, store.UserChange{Role: models.RoleAnalyst, Disabled: true})
		return err
	}))
	for _, scope := range []store.Scope{h.By(limited).InEveryClient(t.Context()), h.By(h.acme.user).InClient(t.Context(), store.Portal, h.other.ID)} {
		h.fails(scope(func(*store.Tx) error { return nil }), models.Unauthorized)
	}
	_, err := h.By(limited).RecordedCommand(t.Context(), store.SOC, uuid.Nil, "SI-1001-0001", "x")
	h.fails(err, models.Unauthorized)
}

func TestAudiencesHaveNoMoreThanTheyNeed(t *testing.T) {
	h := newHouse(t)
	i := h.everything(h.acme)
	e := incident.NewEvent(i, noon, h.analyst.Actor(), &incident.Recommended{ID: "r1", Text: "t"})
	effect := message(h.acme, i, models.ChannelEmail, 2)
	row := h.intend(h.acme, i, 1)
	for name, c := range map[string]struct {
		who store.Audience
		do  func(*store.Tx) error
	}{
		"the portal records events": {store.Portal, func(tx *store.Tx) error { return tx.Record(i.Reference, []incident.Event{e}) }},
		"the portal inserts an event": {store.Portal, func(tx *store.Tx) error {
			return tx.Exec("insert into events select client_id, incident, seq + 1, type, at, body, hash from events")
		}},
		"the portal reads codes": {store.Portal, func(tx *store.Tx) error { return tx.Exec("select key from channel_codes") }},
		"the portal gives a contact another client": {store.Portal, func(tx *store.Tx) error {
			return tx.Exec("update contacts set client_id = ?", h.other.ID)
		}},
		"the portal says that a change was told":  {store.Portal, func(tx *store.Tx) error { return tx.Exec("update contact_changes set told_at = now()") }},
		"the portal changes a contact as the SOC": {store.Portal, func(tx *store.Tx) error { return tx.AppendContactChange(contactChange(h.acme, models.RoleLead)) }},
		"the SOC changes a contact as the client": {store.SOC, func(tx *store.Tx) error { return tx.AppendContactChange(contactChange(h.acme, models.RoleAdmin)) }},
		"the portal drops a contact":              {store.Portal, func(tx *store.Tx) error { return tx.Exec("delete from contacts") }},
		"the portal takes an alert": {store.Portal, func(tx *store.Tx) error {
			_, _, err := tx.ReceiveAlert(newAlert("f", "t"), nil, "x")
			return err
		}},
		"the portal reads tokens of effects": {store.Portal, func(tx *store.Tx) error { return tx.Exec("select token from effects") }},
		"the SOC decides":                    {store.SOC, func(tx *store.Tx) error { return tx.SaveDecision(decision(h.acme, i.Reference, "x")) }},
		"a worker decides":                   {store.Worker, func(tx *store.Tx) error { return tx.SaveDecision(decision(h.acme, i.Reference, "x")) }},
		"the SOC speaks for a contact":       {store.SOC, func(tx *store.Tx) error { return tx.SaveStatement(statement(h.acme, i.Reference)) }},
		"a worker speaks for a contact":      {store.Worker, func(tx *store.Tx) error { return tx.SaveStatement(statement(h.acme, i.Reference)) }},
		"the portal speaks for a contact":    {store.Portal, func(tx *store.Tx) error { return tx.SaveStatement(statement(h.acme, i.Reference)) }},
		"the hooks decide":                   {store.Hooks, func(tx *store.Tx) error { return tx.SaveDecision(decision(h.acme, i.Reference, "x")) }},
		"the hooks record events":            {store.Hooks, func(tx *store.Tx) error { return tx.Record(i.Reference, []incident.Event{e}) }},
		"the hooks read events":              {store.Hooks, func(tx *store.Tx) error { return tx.Exec("select body from events") }},
		"the hooks read alerts":              {store.Hooks, func(tx *store.Tx) error { return tx.Exec("select title from alerts") }},
		"the hooks read credentials":         {store.Hooks, func(tx *store.Tx) error { return tx.Exec("select vendor from edr_credentials") }},
		"the hooks intend an effect": {store.Hooks, func(tx *store.Tx) error {
			_, err := tx.Intend(effect, noon)
			return err
		}},
		"the hooks change an incident": {store.Hooks, func(tx *store.Tx) error { return tx.Exec("update incidents set phase = 'closed'") }},
		"the SOC records events":       {store.SOC, func(tx *store.Tx) error { return tx.Record(i.Reference, []incident.Event{e}) }},
		"the SOC intends an effect": {store.SOC, func(tx *store.Tx) error {
			_, err := tx.Intend(effect, noon)
			return err
		}},
		"the SOC records a vendor's word": {store.SOC, func(tx *store.Tx) error {
			_, err := tx.Advance("v", []store.VendorReport{{EventID: "e", Effect: row.ID}}, noon)
			return err
		}},
		"a worker changes a contact": {store.Worker, func(tx *store.Tx) error {
			_, err := tx.UpdateContact(h.acme.contact)
			return err
		}},
		"the portal drafts a response authority": {store.Portal, func(tx *store.Tx) error {
			_, err := tx.DraftAuthority(someAuthority("x", h.acme.user), "x")
			return err
		}},
		"a worker drafts a response authority": {store.Worker, func(tx *store.Tx) error {
			return tx.Exec("insert into response_authorities select client_id, 9, body, drafted_by, drafted_at, null, null, 'x' from response_authorities")
		}},
		"the SOC signs": {store.SOC, func(tx *store.Tx) error {
			_, err := tx.SignAuthority(1, h.acme.user.ID, noon)
			return err
		}},
		"the SOC drafts what is signed already": {store.SOC, func(tx *store.Tx) error {
			return tx.Exec("insert into response_authorities values (?, 9, '{}', ?, now(), ?, now(), 'x')", h.acme.ID, h.analyst.ID, h.acme.user.ID)
		}},
		"a worker signs": {store.Worker, func(tx *store.Tx) error {
			_, err := tx.SignAuthority(1, h.acme.user.ID, noon)
			return err
		}},
		"the SOC changes rules":    {store.SOC, func(tx *store.Tx) error { return tx.Exec("update response_authorities set body = '{}'") }},
		"the portal changes rules": {store.Portal, func(tx *store.Tx) error { return tx.Exec("update response_authorities set body = '{}'") }},
		"the SOC reads sealed secrets": {store.SOC, func(tx *store.Tx) error {
			_, err := tx.EDRCredentials("mde")
			return err
		}},
		"the portal reads EDR credentials":           {store.Portal, func(tx *store.Tx) error { return tx.Exec("select base_url from edr_credentials") }},
		"the portal reads values of EDR credentials": {store.Portal, func(tx *store.Tx) error { return tx.Exec("select open_values from edr_credentials") }},
		"a worker drops EDR credentials":             {store.Worker, func(tx *store.Tx) error { return tx.Exec("delete from edr_credentials") }},
		"the portal says an EDR was checked": {store.Portal, func(tx *store.Tx) error {
			return tx.SaveEDRCheck(models.EDRCheck{Vendor: "mde", OK: true})
		}},
		"the portal sets EDR credentials": {store.Portal, func(tx *store.Tx) error {
			return tx.SetEDRCredentials(edrCredentials("mde", noon), models.EDR{Vendor: "mde"})
		}},
		"a worker sets EDR credentials": {store.Worker, func(tx *store.Tx) error {
			return tx.SetEDRCredentials(edrCredentials("mde", noon), models.EDR{Vendor: "mde"})
		}},
		"the SOC notes a change as the client": {store.SOC, func(tx *store.Tx) error { return tx.AppendAudit(h.change(h.acme.user, noon)) }},
		"the portal notes a change as the SOC": {store.Portal, func(tx *store.Tx) error { return tx.AppendAudit(h.change(h.analyst, noon)) }},
		"a worker notes a change":              {store.Worker, func(tx *store.Tx) error { return tx.AppendAudit(h.change(h.analyst, noon)) }},
		"the SOC turns a change on another":    {store.SOC, func(tx *store.Tx) error { return tx.Exec("update audit_log set by_user = id") }},
		"the SOC removes a change":             {store.SOC, func(tx *store.Tx) error { return tx.Exec("delete from audit_log") }},
		"a worker reads codes":                 {store.Worker, func(tx *store.Tx) error { return tx.Exec("select key from channel_codes") }},
		"a worker changes a vendor's word": {store.Worker, func(tx *store.Tx) error {
			return tx.Exec("update effect_states set state = 'x'")
		}},
		"a worker changes the caller's secret": {store.Worker, func(tx *store.Tx) error {
			return tx.Exec("update clients set caller_secret = id")
		}},
		"a worker reads tokens":       {store.Worker, func(tx *store.Tx) error { return tx.Exec("select hash from tokens") }},
		"the SOC reads addresses":     {store.SOC, func(tx *store.Tx) error { return tx.Exec("select email from users") }},
		"a worker removes an event":   {store.Worker, func(tx *store.Tx) error { return tx.Exec("delete from events") }},
		"a worker changes an event":   {store.Worker, func(tx *store.Tx) error { return tx.Exec("update events set type = 'x'") }},
		"a worker switches a trigger": {store.Worker, func(tx *store.Tx) error { return tx.Exec("alter table events disable trigger all") }},
		"a worker lifts row security": {store.Worker, func(tx *store.Tx) error { return tx.Exec("alter table events disable row level security") }},
		"a worker makes a table":      {store.Worker, func(tx *store.Tx) error { return tx.Exec("create table public.x (y int)") }},
		"the portal lets a disabled user decide": {store.Portal, func(tx *store.Tx) error {
			h.ok(tx.Exec("update users set disabled_at = now() where id = ?", h.acme.user.ID))
			return tx.SaveDecision(decision(h.acme, i.Reference, "late"))
		}},
		"the portal reads hashes of service tokens": {store.Portal, func(tx *store.Tx) error { return tx.Exec("select hash from service_tokens") }},
		"the portal reads tokens":                   {store.Portal, func(tx *store.Tx) error { return tx.Exec("select prefix from tokens") }},
		"the portal renames a user":                 {store.Portal, func(tx *store.Tx) error { return tx.Exec("update users set email = 'x'") }},
		"the portal makes a user of the SOC": {store.Portal, func(tx *store.Tx) error {
			return tx.Exec("insert into users (id, client_id, name, email, role) values (?, null, 'x', 'x', 'operator')", uuid.New())
		}},
		"the SOC widens its reach":      {store.SOC, func(tx *store.Tx) error { return tx.Exec("update users set limited = false") }},
		"the SOC disables a user":       {store.SOC, func(tx *store.Tx) error { return tx.Exec("update users set disabled_at = now()") }},
		"the SOC changes an identifier": {store.SOC, func(tx *store.Tx) error { return tx.Exec("update alerts set client_id = id") }},
	} {
		t.Run(name, func(t *testing.T) {
			h.fails(h.ForClient(t.Context(), c.who, h.acme.ID, c.do), models.Forbidden)
		})
	}
}

func TestThePortalSeesPublishedIncidentsOnly(t *testing.T) {
	h := newHouse(t)
	i := h.open(h.acme, "open")
	row := h.intend(h.acme, i, 1)
	h.advance(h.acme, "sendgrid", store.VendorReport{EventID: "ev-1", Effect: row.ID, State: "delivered", Rank: 4, Sequence: -1})
	look := func() (list, events, revisions, deliveries int, err error) {
		h.as(store.Portal, h.acme, func(tx *store.Tx) error {
			rows, listErr := tx.Incidents(store.IncidentFilter{}, store.Cursor{}, 10)
			es, eventsErr := tx.Events(i.Reference, 0, 10)
			rs, revisionsErr := tx.Revisions(i.Reference)
			ds, deliveriesErr := tx.Deliveries(i.Reference, store.Cursor{}, 10)
			words, wordsErr := tx.Texts("select event_id from effect_states")
			equal(t, "words of vendors", len(words), len(ds))
			list, events, revisions, deliveries = len(rows), len(es), len(rs), len(ds)
			_, err = tx.Incident(i.Reference)
			return errors.Join(listErr, eventsErr, revisionsErr, deliveriesErr, wordsErr)
		})
		return list, events, revisions, deliveries, err
	}
	list, events, revisions, deliveries, err := look()
	h.fails(err, models.NotFound)
	equal(t, "rows before publication", list+events+revisions+deliveries, 0)
	h.fails(h.ForClient(t.Context(), store.Portal, h.acme.ID, func(tx *store.Tx) error {
		return tx.SaveDecision(decision(h.acme, i.Reference, "early"))
	}), models.Forbidden)
	h.record(h.acme, &i, h.analyst.Actor(), &incident.Published{Expedited: true})
	list, events, revisions, deliveries, err = look()
	h.ok(err)
	equal(t, "rows after publication", [4]int{list, events, revisions, deliveries}, [4]int{1, 1, 1, 1})
}

func TestATransactionThatOnlyReadsIsKeptFromWriting(t *testing.T) {
	h := newHouse(t)
	err := h.ForClient(store.ReadOnly(t.Context()), store.SOC, h.acme.ID, func(tx *store.Tx) error {
		own, err := tx.Client()
		h.ok(err)
		_, err = tx.UpdateClient(own)
		return err
	})
	if err == nil {
		t.Error("a transaction that only reads changed a row")
	}
}

// TestTransactionsDoNotLeak runs transactions of two clients over few connections, ending in every way there is,
// and looks for rows of the other client, without any WHERE.
func TestTransactionsDoNotLeak(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.everything(h.other)
	s, err := store.Open(t.Context(), h.appURL, store.Options{MaxConns: 4})
	h.ok(err)
	defer closeStore(t, s)
	const goroutines, rounds = 64, 32
	var committed, ended atomic.Int64
	var all sync.WaitGroup
	for n := range goroutines {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range rounds {
				if disturb(t, s, []tenant{h.acme, h.other}[random.IntN(2)], random) {
					committed.Add(1)
				}
				ended.Add(1)
			}
		})
	}
	all.Wait()
	equal(t, "transactions", ended.Load(), goroutines*rounds)
	if committed.Load() < goroutines*rounds/8 {
		t.Errorf("only %d of %d transactions committed", committed.Load(), ended.Load())
	}
	role, client, err := s.Pooled(t.Context())
	h.ok(err)
	if role != "watchfire_test" || client != "" {
		t.Errorf("a connection of the pool still is %s for %q", role, client)
	}
	equal(t, "rows of failed transactions", len(ownerTexts(t, h.ownerURL, "select event_id from effect_states where event_id = 'lost'")), 0)
}

func TestBrokenConnectionsAreReplaced(t *testing.T) {
	h := newHouse(t)
	h.ok(h.CreateToken(t.Context(), models.Token{UserID: h.analyst.ID, Hash: hash("token")}))
	for range 3 {
		h.owner("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
		_, err := h.Authenticate(t.Context(), hash("token"))
		h.ok(err)
		h.owner("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
		h.as(store.SOC, h.acme, func(tx *store.Tx) error {
			_, err := tx.Client()
			return err
		})
	}
	h.fails(h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
		h.owner("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
		_, err := tx.Client()
		return err
	}), models.Unavailable)
}

func TestASwallowedErrorIsNotACommit(t *testing.T) {
	h := newHouse(t)
	row := h.intend(h.acme, h.open(h.acme, "open"), 1)
	if err := h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_ = tx.Exec("select no_such_function()")
		return nil
	}); err == nil {
		t.Error("the transaction claims to have committed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := h.ForClient(ctx, store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.Advance("v", []store.VendorReport{{EventID: "lost", Effect: row.ID}}, noon)
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before the commit: %v", err)
	}
	equal(t, "rows", len(ownerTexts(t, h.ownerURL, "select event_id from effect_states")), 0)
}

// lost inserts a row that must not stay.
const lost = `insert into effect_states select client_id, 'v', 'lost', key, 'state', 0, '', now(), now() from effects`

var errWanted = errors.New("rolled back on purpose")

// disturb runs one transaction to a random end and returns whether it committed.
func disturb(t *testing.T, s *store.Store, te tenant, random *rand.Rand) bool {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer func() {
		p := recover()
		if err, ok := p.(error); p != nil && (!ok || !errors.Is(err, errWanted)) {
			panic(p)
		}
	}()
	end := random.IntN(5)
	err := s.ForClient(ctx, store.Worker, te.ID, func(tx *store.Tx) error {
		for _, table := range []string{"contacts", "events", "effects"} {
			if random.IntN(8) == 0 && end == 1 {
				go cancel() // in the middle of a statement, perhaps
			}
			ids, err := tx.Texts("select client_id::text from " + table)
			if err != nil {
				return err
			}
			if len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { return id != te.ID.String() }) {
				t.Errorf("%s shows rows of %v to %s", table, ids, te.ID)
			}
		}
		switch end {
		case 0:
			return errors.Join(tx.Exec(lost), errWanted)
		case 1:
			cancel()
			return tx.Exec(lost)
		case 2:
			panic(errWanted)
		case 3:
			return tx.Exec("select no_such_function()")
		}
		return nil
	})
	if _, unknown := s.Authenticate(t.Context(), hash("nobody")); models.KindOf(unknown) != models.Unauthorized {
		t.Errorf("authenticate between transactions: %v", unknown)
	}
	if end == 4 && err != nil {
		t.Errorf("an undisturbed transaction failed: %v", err)
	}
	return err == nil
}
