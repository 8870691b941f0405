-- The operator's alarms, the processes that run, and the lease of the one process that watches the others. None of
-- these tables is about a client: an alarm names an incident by its reference at most.

-- +goose Up
create table operator_alarms (
    id        uuid        primary key,
    kind      text        not null,
    subject   text        not null, -- a reference, the id of a workflow or of a process, or a part such as temporal
    detail    text        not null,
    since     timestamptz not null,
    last_seen timestamptz not null,
    ended_at  timestamptz,          -- null while it is open
    announced jsonb       not null  -- the bulletins that went out, such as "mail" and "mail ended"
);
create unique index operator_alarms_open on operator_alarms (kind, subject) where ended_at is null;
create index operator_alarms_since on operator_alarms (since, id);

create table processes (
    id         uuid        primary key,
    part       text        not null, -- api or worker
    started_at timestamptz not null,
    seen_at    timestamptz not null, -- by this database's clock
    canary_at  timestamptz,          -- when a worker's canary workflow last came to its end
    stopped_at timestamptz           -- when it stopped, or was given up
);
create index processes_running on processes (seen_at) where stopped_at is null;

create table leases (
    name   text        primary key,
    holder uuid        not null,
    until  timestamptz not null
);

alter table operator_alarms enable row level security;
alter table operator_alarms force row level security;
alter table processes enable row level security;
alter table processes force row level security;
alter table leases enable row level security;
alter table leases force row level security;
create policy operation on operator_alarms to watchfire_soc using (true) with check (true);
create policy operation on processes to watchfire_soc, watchfire_worker using (true) with check (true);
create policy operation on leases to watchfire_soc using (true) with check (true);
grant select, insert, update (detail, last_seen, ended_at, announced) on operator_alarms to watchfire_soc;
grant select, insert, update (seen_at, canary_at, stopped_at) on processes to watchfire_soc, watchfire_worker;
grant select, insert, update (holder, until) on leases to watchfire_soc;

-- The reconciler reads the incidents that are not over, and those with devices that are not at rest, the oldest first.
create index incidents_watched on incidents (opened_at, reference)
    where phase not in ('closed', 'dismissed') or containment not in ('none', 'released') or not running;
