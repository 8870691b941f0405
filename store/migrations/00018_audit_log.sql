-- The audit log: who changed how a client is reached and protected. A key press of a contact approves isolations, so
-- the log names the user who added the contact.

-- +goose Up
create table audit_log (
    client_id uuid        not null references clients (id),
    at        timestamptz not null,
    id        uuid        not null,
    by_user   uuid        not null,
    side      text        not null check (side in ('soc', 'client')),
    operation text        not null, -- as the API names it
    subject   text        not null, -- id of a contact, version of a response authority, or vendor of an EDR; '': the client itself
    fields    jsonb       not null check (jsonb_typeof(fields) = 'array'), -- names of the changed fields, never their values
    primary key (client_id, at, id)
);
call guard_client_rows('audit_log');
call keep_rows('audit_log');
grant select, insert on audit_log to watchfire_soc, watchfire_portal;
create policy side_of_soc on audit_log as restrictive for insert to watchfire_soc with check (side = 'soc');
create policy side_of_client on audit_log as restrictive for insert to watchfire_portal with check (side = 'client');
