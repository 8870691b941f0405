-- Fingerprints of requests, to tell a repeat from another request under the same key.

-- +goose Up
alter table clients add fingerprint text not null default ''; -- '': added before this column existed
alter table contacts add fingerprint text not null default '';

-- The requests to check a channel of a contact.
create table channel_checks (
    client_id   uuid        not null references clients (id),
    request_id  text        not null,
    fingerprint text        not null,
    begun_at    timestamptz, -- null: its workflow has not started yet
    primary key (client_id, request_id)
);
call guard_client_rows('channel_checks');
grant select, insert, update (begun_at) on channel_checks to watchfire_soc;
