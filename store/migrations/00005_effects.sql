-- The ledger of effects on the outside world, one row for each, written before its first attempt.

-- +goose Up
create table effects (
    client_id       uuid        not null,
    key             text        not null,
    id              uuid        not null,
    token           text        not null, -- unguessable: names the effect in callback addresses
    kind            text        not null check (kind in ('mail', 'call', 'isolate', 'release')),
    incident        text        not null,
    purpose         text        not null,
    revision        integer     not null,
    contact_id      uuid, -- of mails and calls
    endpoint        text        not null, -- of isolations and releases
    workflow        text        not null, -- the id of the workflow that learns of the vendor's reports
    state           text        not null check (state in ('intended', 'accepted', 'rejected')),
    vendor          text        not null,
    vendor_id       text        not null, -- the first id that the vendor named
    vendor_state    text        not null,
    vendor_rank     integer     not null, -- of vendor_state, -1 before the first report
    vendor_sequence integer     not null, -- of vendor_state, -1 when the vendor does not number its reports
    outcome         text        not null,
    reason          text        not null,
    attempts        integer     not null,
    planned_at      timestamptz not null,
    attempt_at      timestamptz, -- of the last attempt: the fence
    accepted_at     timestamptz,
    updated_at      timestamptz not null,
    primary key (client_id, key),
    foreign key (client_id, incident) references incidents (client_id, reference),
    foreign key (client_id, contact_id) references contacts (client_id, id)
);
create index effects_of_incident on effects (client_id, incident);
create index effects_token on effects (token);
create index effects_id on effects (id);
create index effects_vendor_id on effects (client_id, vendor, vendor_id) where vendor_id <> '';
call guard_client_rows('effects');
create policy published_only on effects as restrictive for select to watchfire_portal using (exists (
    select from incidents i where i.client_id = effects.client_id and i.reference = effects.incident and i.revision >= 1));
grant select on effects to watchfire_soc;
grant select (client_id, key, id, kind, incident, purpose, revision, contact_id, endpoint, state, vendor, vendor_id,
    vendor_state, outcome, reason, attempts, planned_at, accepted_at, updated_at) on effects to watchfire_portal;
grant select, insert, update (state, vendor, vendor_id, vendor_state, vendor_rank, vendor_sequence, outcome, reason,
    attempts, attempt_at, accepted_at, updated_at) on effects to watchfire_worker;

-- Ids of the vendors' events, which vendors send more than once.
create table vendor_events (
    client_id uuid not null references clients (id),
    vendor    text not null,
    event_id  text not null,
    primary key (client_id, vendor, event_id)
);
call guard_client_rows('vendor_events');
grant select, insert on vendor_events to watchfire_worker;
