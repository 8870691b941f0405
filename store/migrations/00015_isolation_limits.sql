-- The switch that pauses a client's isolations, and the limit on isolations without approval.

-- +goose Up
create table isolation_switches (
    client_id uuid        not null references clients (id),
    number    integer     not null check (number >= 1), -- the newest holds
    paused    boolean     not null,
    side      text        not null check (side in ('soc', 'client')),
    by_user   uuid        not null,
    at        timestamptz not null,
    reason    text        not null,
    primary key (client_id, number)
);
call guard_client_rows('isolation_switches');
call keep_rows('isolation_switches');
grant select, insert on isolation_switches to watchfire_soc, watchfire_portal;
grant select on isolation_switches to watchfire_worker;
create policy side_of_soc on isolation_switches as restrictive for insert to watchfire_soc with check (side = 'soc');
create policy side_of_client on isolation_switches as restrictive for insert to watchfire_portal with check (side = 'client');

-- The isolations that the response authority permitted without approval.
create table isolation_passes (
    client_id  uuid        not null,
    incident   text        not null,
    endpoint   text        not null,
    generation integer     not null,
    at         timestamptz not null,
    primary key (client_id, incident, endpoint, generation),
    foreign key (client_id, incident) references incidents (client_id, reference)
);
create index isolation_passes_latest on isolation_passes (client_id, at);
call guard_client_rows('isolation_passes');
call keep_rows('isolation_passes');
grant select, insert on isolation_passes to watchfire_worker;

create index effects_isolations on effects (client_id, planned_at) where kind = 'isolate';
