-- The client's response authority: the rules about isolations and releases.

-- +goose Up
create table response_authorities (
    client_id  uuid        not null references clients (id),
    version    integer     not null check (version >= 1),
    body       jsonb       not null, -- rules and lists; never changed
    drafted_by uuid        not null,
    drafted_at timestamptz not null,
    signed_by  uuid, -- a user of the client
    signed_at  timestamptz,
    request_id text        not null,
    primary key (client_id, version),
    unique (client_id, request_id),
    check ((signed_by is null) = (signed_at is null)),
    foreign key (client_id, signed_by) references users (client_id, id)
);
call guard_client_rows('response_authorities');
grant select, insert on response_authorities to watchfire_soc;
grant select on response_authorities to watchfire_portal, watchfire_worker;
-- Only the client signs, and nobody changes a signature.
create policy draft_only on response_authorities as restrictive for insert to watchfire_soc
    with check (signed_by is null and signed_at is null);
grant update (signed_by, signed_at) on response_authorities to watchfire_portal;
create policy sign_once on response_authorities as restrictive for update to watchfire_portal
    using (signed_at is null) with check (signed_at is not null);
