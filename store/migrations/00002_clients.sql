-- Clients, their contacts, and the users with their tokens.

-- +goose Up
create sequence client_numbers as integer start 1001;

create table clients (
    id            uuid        not null primary key,
    number        integer     not null unique check (number between 1000 and 999999999),
    legal_name    text        not null,
    time_zone     text        not null,
    language      text        not null,
    contract      jsonb       not null,
    edr           jsonb       not null,
    policy        jsonb       not null,
    last_incident integer     not null default 0, -- running number of the client's latest incident, 0 before the first
    request_id    text        not null unique,
    created_at    timestamptz not null default now()
);
call guard_client_rows('clients', 'id');
grant select, insert, update (last_incident) on clients to watchfire_soc;
grant select on clients to watchfire_portal, watchfire_worker;
grant usage on sequence client_numbers to watchfire_soc;

create table contacts (
    client_id  uuid    not null references clients (id),
    id         uuid    not null,
    name       text    not null,
    role       text    not null,
    email      text    not null,
    phone      text    not null,
    language   text    not null,
    call_order integer not null,
    severities jsonb   not null,
    channels   jsonb   not null,
    request_id text    not null,
    primary key (client_id, id),
    unique (client_id, request_id)
);
call guard_client_rows('contacts');
grant select, insert on contacts to watchfire_soc;
grant select on contacts to watchfire_portal, watchfire_worker;

create table users (
    id        uuid not null primary key,
    client_id uuid references clients (id), -- null: a user of the SOC
    name      text not null,
    email     text not null,
    role      text not null check (role in ('analyst', 'lead', 'operator', 'viewer', 'responder', 'admin')),
    check ((client_id is null) = (role in ('analyst', 'lead', 'operator'))),
    unique (client_id, id)
);
create unique index users_email on users (client_id, lower(email)) nulls not distinct;
call guard_client_rows('users');
create policy colleagues on users for select to watchfire_soc using (client_id is null);
create policy every_login on users to watchfire_auth using (true) with check (true);
grant select, insert on users to watchfire_auth;
grant select (id, client_id, name) on users to watchfire_soc, watchfire_portal, watchfire_worker;

create table tokens (
    id         uuid  not null primary key,
    user_id    uuid  not null references users (id),
    hash       bytea not null unique check (length(hash) = 32),
    expires_at timestamptz -- null: the token does not expire
);
alter table tokens enable row level security;
alter table tokens force row level security;
create policy every_login on tokens to watchfire_auth using (true) with check (true);
grant select, insert, delete on tokens to watchfire_auth;
