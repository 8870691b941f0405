-- What the portal's role can read is what the client may see, column by column: no table as a whole, and nothing that is
-- the SOC's own business. Before this, the application alone kept the SOC's state and events from the client.

-- +goose Up

-- The incident as the client sees it: with the assessment and the severity of the latest revision, and without the SOC's
-- tasks; null before the first revision. It follows from the state, whoever writes that, and no role can write it.
alter table incidents add column shown jsonb;

-- +goose StatementBegin
create function show_incident() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.shown := new.state || (
        select jsonb_build_object('severity', r.body -> 'severity', 'assessment', r.body -> 'assessment', 'tasks', '[]'::jsonb)
        from public.report_revisions r
        where r.client_id = new.client_id and r.incident = new.reference and r.number = new.revision);
    return new;
end
$$;
-- +goose StatementEnd
create trigger show_incident before insert or update of state, revision on incidents
    for each row execute function show_incident();
-- The owner sees the rows of every client meanwhile, and a closure of before is not judged again.
alter table incidents no force row level security, disable trigger require_decision;
alter table report_revisions no force row level security;
update incidents set revision = revision where revision >= 1;
alter table report_revisions force row level security;
alter table incidents force row level security, enable trigger require_decision;

-- Whether an event is the SOC's own business. Rows of before, and those that an earlier worker writes, do not say it:
-- their type does.
alter table events add column internal boolean;
create policy not_internal on events as restrictive for select to watchfire_portal using (not coalesce(internal,
    type in ('opened', 'assessed', 'task_opened', 'task_done')
    or type = 'command_rejected' and body -> 'data' -> 'by' ->> 'side' is distinct from 'client'));

-- Of the commands that were carried out, the client's own.
create policy own_decisions on incident_commands as restrictive for select to watchfire_portal using (exists (
    select from client_decisions d where d.client_id = incident_commands.client_id and d.request_id = incident_commands.request_id));

revoke select on clients, contacts, incidents, events, report_revisions, client_decisions, effect_states, response_authorities,
    isolation_switches, audit_log, incident_commands, decision_marks from watchfire_portal;
grant select (id, number, legal_name, time_zone, language, business, caller_secret, contract, edr, edr_check, policy, created_at, live_at)
    on clients to watchfire_portal;
grant select (client_id, id, name, role, email, phone, language, call_order, severities, channels, hours, hours_for_critical,
    verified, removed_at, request_id, fingerprint, address_version) on contacts to watchfire_portal;
grant select (client_id, reference, phase, turn, containment, drill, expedited, outside_contract, revision, seq, shown, opened_at, updated_at)
    on incidents to watchfire_portal;
grant select (client_id, incident, seq, body) on events to watchfire_portal;
grant select (client_id, incident, number, body) on report_revisions to watchfire_portal;
grant select (client_id, request_id, incident, command, user_id, fingerprint, role, person, via, body, seq, at)
    on client_decisions to watchfire_portal;
grant select (client_id, request_id, said, seq, at) on decision_marks to watchfire_portal;
grant select (client_id, event_id, key, state, rank, detail, at, received_at) on effect_states to watchfire_portal;
grant select (client_id, version, body, drafted_by, drafted_at, signed_by, signed_at) on response_authorities to watchfire_portal;
grant select (client_id, number, paused, side, by_user, at, reason) on isolation_switches to watchfire_portal;
grant select (client_id, at, id, by_user, side, operation, subject, fields) on audit_log to watchfire_portal;
grant select (client_id, incident, request_id, command, fingerprint, first_seq, last_seq) on incident_commands to watchfire_portal;
