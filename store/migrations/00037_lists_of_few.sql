-- Lists stay as quick as they are when there are a million incidents: few of those are open, and the client's own list reads
-- two words of an incident and not all that the client may see of it.

-- +goose Up
create index incidents_by_phase on incidents (phase, opened_at, reference) where phase <> 'closed';
create index incidents_of_client_by_phase on incidents (client_id, phase, opened_at, reference) where phase <> 'closed';

-- What the client's list shows of an incident. It follows from the state, as all that the client sees does.
alter table incidents add column shown_title text, add column shown_severity text;
-- +goose StatementBegin
create or replace function show_incident() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.shown := new.state || (
        select jsonb_build_object('severity', r.body -> 'severity', 'assessment', r.body -> 'assessment', 'tasks', '[]'::jsonb)
        from public.report_revisions r
        where r.client_id = new.client_id and r.incident = new.reference and r.number = new.revision);
    new.shown_title := new.shown -> 'assessment' ->> 'title';
    new.shown_severity := new.shown ->> 'severity';
    return new;
end
$$;
-- +goose StatementEnd
-- The owner sees the rows of every client meanwhile, and a closure of before is not judged again.
alter table incidents no force row level security, disable trigger require_decision, disable trigger show_incident;
update incidents set shown_title = shown -> 'assessment' ->> 'title', shown_severity = shown ->> 'severity' where shown is not null;
alter table incidents force row level security, enable trigger require_decision, enable trigger show_incident;
grant select (shown_title, shown_severity) on incidents to watchfire_portal;
create index alerts_by_source on alerts (source, received_at, id);
create index alerts_with_a_problem on alerts (received_at, id) where problem <> '';
