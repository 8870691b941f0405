-- Lists stay as quick as they are when there are a million incidents: few of those are open, and the client's own list reads
-- two words of an incident and not all that the client may see of it.

-- +goose Up
create index incidents_by_phase on incidents (phase, opened_at, reference) where phase <> 'closed';
create index incidents_of_client_by_phase on incidents (client_id, phase, opened_at, reference) where phase <> 'closed';
alter table incidents
    add column shown_title text generated always as (shown -> 'assessment' ->> 'title') stored,
    add column shown_severity text generated always as (shown ->> 'severity') stored;
grant select (shown_title, shown_severity) on incidents to watchfire_portal;
create index alerts_by_source on alerts (source, received_at, id);
create index alerts_with_a_problem on alerts (received_at, id) where problem <> '';
