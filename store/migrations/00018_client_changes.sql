-- Who changed how a client is reached and protected: a key press of a contact approves isolations, so whoever makes
-- contacts can be asked about it.

-- +goose Up
create table client_changes (
    client_id uuid        not null references clients (id),
    at        timestamptz not null,
    id        uuid        not null,
    by_user   uuid        not null,
    side      text        not null check (side in ('soc', 'client')),
    operation text        not null, -- as the API names it
    subject   text        not null, -- id of a contact, version of a response authority, vendor of an EDR; '': the client itself
    fields    jsonb       not null check (jsonb_typeof(fields) = 'array'), -- their names, never what is in them
    primary key (client_id, at, id)
);
call guard_client_rows('client_changes');
call keep_rows('client_changes');
grant select, insert on client_changes to watchfire_soc, watchfire_portal;
create policy side_of_soc on client_changes as restrictive for insert to watchfire_soc with check (side = 'soc');
create policy side_of_client on client_changes as restrictive for insert to watchfire_portal with check (side = 'client');
