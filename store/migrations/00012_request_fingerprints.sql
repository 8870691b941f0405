-- What a request asked for, to tell the same request sent again from another one under the same key.

-- +goose Up
alter table clients add fingerprint text not null default ''; -- '': made before it was kept
alter table contacts add fingerprint text not null default '';

-- The requests to try a channel of a contact.
create table channel_checks (
    client_id   uuid        not null references clients (id),
    request_id  text        not null,
    fingerprint text        not null,
    begun_at    timestamptz, -- null: the engine has not taken it yet
    primary key (client_id, request_id)
);
call guard_client_rows('channel_checks');
grant select, insert, update (begun_at) on channel_checks to watchfire_soc;
