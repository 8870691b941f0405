-- How and when contacts are reached: their hours and verified channels, texts, and every report of a vendor.

-- +goose Up
alter table clients
    add business      jsonb not null default
        '[{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}]', -- hours in time_zone
    add caller_secret uuid  not null default gen_random_uuid(); -- makes the code that proves that a call is ours

alter table contacts
    add hours              jsonb   not null default '[]', -- in the client's time zone
    add hours_for_critical boolean not null default false,
    add verified           jsonb   not null default '{}', -- channel -> time of its verification
    add removed_at         timestamptz; -- null: the contact is not removed
create index contacts_phone on contacts (phone);
grant update (name, role, email, phone, language, call_order, severities, channels, hours, hours_for_critical, verified,
    removed_at) on contacts to watchfire_soc;

-- The effect of a channel check belongs to no incident; the portal's policy hides such a row.
alter table effects
    alter incident drop not null,
    drop constraint effects_kind_check,
    add constraint effects_kind_check check (kind in ('mail', 'text', 'call', 'isolate', 'release')),
    drop constraint effects_state_check,
    add constraint effects_state_check check (state in ('intended', 'accepted', 'rejected', 'canceled')),
    add occurrence      integer not null default 1,
    add acknowledged_by uuid, -- a contact
    add acknowledged_at timestamptz,
    add how             text    not null default '', -- the contact acknowledged it
    add foreign key (client_id, acknowledged_by) references contacts (client_id, id);
create index effects_texts on effects (client_id, contact_id, planned_at) where kind = 'text';
grant select (occurrence, acknowledged_by, acknowledged_at, how) on effects to watchfire_portal;
grant update (acknowledged_by, acknowledged_at, how) on effects to watchfire_worker;

-- Every report of a vendor on an effect. The event id tells repeats apart from new reports. The ids in vendor_events
-- name no effects and are dropped: a repeat of such an event is recorded again, but moves no state back.
drop table vendor_events;
create table effect_states (
    client_id   uuid        not null,
    vendor      text        not null,
    event_id    text        not null,
    key         text        not null,
    state       text        not null,
    rank        integer     not null, -- the order of reports of the same time
    detail      text        not null,
    at          timestamptz not null, -- the vendor's time of the event
    received_at timestamptz not null,
    primary key (client_id, vendor, event_id),
    foreign key (client_id, key) references effects (client_id, key)
);
create index effect_states_of_effect on effect_states (client_id, key);
call guard_client_rows('effect_states');
call keep_rows('effect_states');
create policy published_only on effect_states as restrictive for select to watchfire_portal using (exists (
    select from effects e join incidents i on i.client_id = e.client_id and i.reference = e.incident
    where e.client_id = effect_states.client_id and e.key = effect_states.key and i.revision >= 1));
grant select on effect_states to watchfire_soc, watchfire_portal;
grant select, insert on effect_states to watchfire_worker;

-- The last code that was sent to verify a channel of a contact. The code is computed from the key of the effect that
-- carries it, whose row a worker writes later.
create table channel_codes (
    client_id  uuid        not null,
    contact_id uuid        not null,
    channel    text        not null,
    key        text        not null, -- of the effect
    expires_at timestamptz not null,
    wrong      integer     not null default 0, -- wrong codes entered so far
    primary key (client_id, contact_id, channel),
    foreign key (client_id, contact_id) references contacts (client_id, id)
);
call guard_client_rows('channel_codes');
grant select, insert, update (key, expires_at, wrong), delete on channel_codes to watchfire_soc;
