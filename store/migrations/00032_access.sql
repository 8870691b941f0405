-- Who may use the system, and for which clients: users that can be disabled, tokens with a name and an end, tokens of
-- machines, the reach of the SOC's users, and who was refused.

-- +goose Up
alter table users
    add column created_at  timestamptz not null default now(),
    add column disabled_at timestamptz, -- null: the user is enabled
    add column limited     boolean     not null default false, -- true: sees the clients of user_reach and no others
    add column accepted_at timestamptz default now(), -- when they first had a token of their own; whoever is there now has
    add column invited_by  uuid, -- who saw their invitation last; null: nobody, or the command line
    add constraint reach check (not limited or role in ('analyst', 'lead'));
alter table users alter column accepted_at drop default;
grant select (role, disabled_at, limited) on users to watchfire_soc, watchfire_portal;
grant update (role, disabled_at, limited, accepted_at, invited_by) on users to watchfire_auth;
-- Where two persons must agree, nobody is two whose invitations one user saw.
grant select (invited_by) on users to watchfire_portal, watchfire_worker;
-- An admin manages the users of their own client, and nobody else's.
grant select (email, created_at), insert (id, client_id, name, email, role), update (role, disabled_at) on users to watchfire_portal;

alter table tokens
    add column name         text        not null default '',
    add column prefix       text        not null default '', -- the first characters of the secret, to tell it from others
    add column invitation   boolean     not null default false, -- buys one token of one's own, and nothing else
    add column created_at   timestamptz not null default now(),
    add column last_used_at timestamptz; -- to the minute
grant update (last_used_at) on tokens to watchfire_auth;

create table service_tokens (
    client_id    uuid        references clients (id), -- null: the SOC's
    id           uuid        not null primary key,
    name         text        not null,
    prefix       text        not null,
    hash         bytea       not null unique check (length(hash) = 32),
    operations   jsonb       not null check (jsonb_typeof(operations) = 'array'),
    created_by   uuid        not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    last_used_at timestamptz, -- to the minute
    revoked_at   timestamptz
);
create unique index service_tokens_name on service_tokens (client_id, name) nulls not distinct where revoked_at is null;
call guard_client_rows('service_tokens');
create policy every_login on service_tokens to watchfire_auth using (true) with check (true);
create policy colleagues on service_tokens for select to watchfire_soc using (client_id is null);
grant select, insert, update (last_used_at, revoked_at) on service_tokens to watchfire_auth;
grant select (client_id, id, name, expires_at, revoked_at) on service_tokens to watchfire_soc;
grant select (client_id, id, name, prefix, operations, created_by, created_at, expires_at, last_used_at, revoked_at), insert,
    update (revoked_at) on service_tokens to watchfire_portal;

create table user_reach (
    client_id uuid not null references clients (id),
    user_id   uuid not null references users (id),
    primary key (client_id, user_id)
);
create index user_reach_of_user on user_reach (user_id);
call guard_client_rows('user_reach');
create policy every_login on user_reach to watchfire_auth using (true) with check (true);
grant select, insert, delete on user_reach to watchfire_auth;
grant select on user_reach to watchfire_soc;

-- within_reach keeps the SOC's role within the reach of the user that a transaction is for, on top of every other policy.
-- app.reach is 'some' when that user's own row says, as the transaction begins, that they are limited.
-- +goose StatementBegin
create procedure within_reach(guarded regclass, client_column name default 'client_id', shared text default '')
language plpgsql as $$
begin
    execute format('create policy reach on %s as restrictive to watchfire_soc using (%s'
        || ' (select coalesce(current_setting(''app.reach'', true), '''') <> ''some'') or %I in (select r.client_id from user_reach r'
        || ' where r.user_id = nullif(current_setting(''app.user_id'', true), '''')::uuid))', guarded, shared, client_column);
end
$$;
revoke execute on procedure within_reach(regclass, name, text) from public;

create or replace procedure guard_client_rows(guarded regclass, client_column name default 'client_id')
language plpgsql as $$
declare
    own constant text := format('%I = nullif(current_setting(''app.client_id'', true), '''')::uuid', client_column);
begin
    execute format('alter table %s enable row level security', guarded);
    execute format('alter table %s force row level security', guarded);
    execute format('create policy own_client on %s using (%s) with check (%s)', guarded, own, own);
    execute format('create policy every_client on %s for select to watchfire_soc'
        || ' using ((select current_setting(''app.every_client'', true) = ''on''))', guarded);
    call within_reach(guarded, client_column);
end
$$;

do $$
declare
    guarded regclass;
begin
    for guarded in select polrelid from pg_policy where polname = 'every_client' loop
        case guarded::text
            when 'user_reach' then null; -- the policies read it
            when 'users', 'service_tokens' then call within_reach(guarded, 'client_id', 'client_id is null or');
            when 'clients' then call within_reach(guarded, 'id');
            else call within_reach(guarded);
        end case;
    end loop;
end
$$;
-- +goose StatementEnd

-- Nobody decides for the client once they are disabled, whatever the program believes. A row without a role is one that a
-- restore recovers: it was decided long ago.
create policy enabled_only on client_decisions as restrictive for insert to watchfire_portal with check (role is null or not exists (
    select from users u where u.client_id = client_decisions.client_id and u.id = client_decisions.user_id and u.disabled_at is not null));

-- The role of logins changes the users of clients for operators, and everybody's own tokens.
grant insert on audit_log to watchfire_auth;

-- What changed that belongs to no client: the SOC's users and tokens.
create table soc_audit_log (
    at        timestamptz not null,
    id        uuid        not null,
    by_user   uuid        not null, -- zero: the command line
    operation text        not null,
    subject   text        not null,
    fields    jsonb       not null check (jsonb_typeof(fields) = 'array'),
    primary key (at, id)
);
alter table soc_audit_log enable row level security;
alter table soc_audit_log force row level security;
create policy operation on soc_audit_log to watchfire_auth using (true) with check (true);
grant select, insert on soc_audit_log to watchfire_auth;
call keep_rows('soc_audit_log');

-- Requests that were refused: one row for each minute, caller and operation.
create table refusals (
    id        uuid        not null primary key default gen_random_uuid(),
    minute    timestamptz not null,
    status    integer     not null check (status in (401, 403)),
    by_user   uuid        not null, -- of a user or service token; zero: nobody known
    source    text        not null, -- for 401: the address it came from
    prefix    text        not null, -- for 401: the first characters of what may be a token
    operation text        not null, -- for 403
    count     integer     not null check (count > 0),
    unique (minute, status, by_user, source, prefix, operation)
);
alter table refusals enable row level security;
alter table refusals force row level security;
create policy operation on refusals to watchfire_auth using (true) with check (true);
grant select, insert, update (count) on refusals to watchfire_auth;

-- Who handed an alert in.
alter table alerts
    add column reported_by   uuid, -- a user or a service token; null: taken before this column existed
    add column service_token text not null default ''; -- its name then; '': a user handed it in
create index alerts_reported on alerts (client_id, received_at, id) where source = 'client_report';
