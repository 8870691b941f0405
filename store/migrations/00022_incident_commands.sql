-- The commands that were carried out: which events each made. One request makes its events once, whatever Temporal hands
-- over twice, and a repeat gets the first answer however old that is. Commands of before have no row.

-- +goose Up
create table incident_commands (
    client_id   uuid    not null,
    incident    text    not null,
    request_id  text    not null,
    command     text    not null,
    fingerprint text    not null,
    first_seq   integer not null check (first_seq >= 1),
    last_seq    integer not null check (last_seq >= first_seq),
    primary key (client_id, incident, request_id),
    foreign key (client_id, incident) references incidents (client_id, reference)
);
call guard_client_rows('incident_commands');
call keep_rows('incident_commands');
create policy published_only on incident_commands as restrictive for select to watchfire_portal using (exists (
    select from incidents i where i.client_id = incident_commands.client_id and i.reference = incident_commands.incident
    and i.revision >= 1));
grant select on incident_commands to watchfire_soc, watchfire_portal;
grant select, insert on incident_commands to watchfire_worker;
