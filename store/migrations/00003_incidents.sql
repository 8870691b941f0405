-- Incidents: the event log, and the read tables that are computed from it.

-- +goose Up
create table incidents (
    client_id   uuid        not null references clients (id),
    reference   text        not null,
    title       text        not null,
    severity    text        not null check (severity in ('critical', 'high', 'medium', 'low')),
    phase       text        not null check (phase in ('investigating', 'published', 'closure_requested', 'closed', 'dismissed')),
    turn        text        not null check (turn in ('soc', 'client', 'none')),
    containment text        not null check (containment in
        ('none', 'requested', 'partial', 'contained', 'releasing', 'released', 'failed')),
    drill       boolean     not null,
    expedited   boolean     not null,
    revision    integer     not null check (revision >= 0), -- the latest published one, 0 before the first
    open_tasks  integer     not null check (open_tasks >= 0),
    seq         integer     not null check (seq >= 1), -- of the last event
    last_hash   bytea       not null check (length(last_hash) = 32), -- of the last event
    state       jsonb       not null, -- the whole incident
    request_id  text        not null,
    fingerprint text        not null,
    running     boolean     not null default false, -- its workflow has reported that it runs
    opened_at   timestamptz not null,
    updated_at  timestamptz not null,
    primary key (client_id, reference),
    unique (client_id, request_id)
);
create index incidents_latest on incidents (updated_at, reference);
create index incidents_of_client on incidents (client_id, updated_at, reference);
create index incidents_not_running on incidents (opened_at) where not running;
call guard_client_rows('incidents');
create policy published_only on incidents as restrictive for select to watchfire_portal using (revision >= 1);
grant select, insert, update (running) on incidents to watchfire_soc;
grant select on incidents to watchfire_portal;
grant select, update (title, severity, phase, turn, containment, expedited, revision, open_tasks, seq, last_hash,
    state, running, updated_at) on incidents to watchfire_worker;

create table events (
    client_id uuid        not null,
    incident  text        not null,
    seq       integer     not null check (seq >= 1),
    type      text        not null,
    at        timestamptz not null,
    body      json        not null, -- the event, byte for byte as it was hashed
    hash      bytea       not null check (length(hash) = 32), -- of the previous hash and body
    primary key (client_id, incident, seq),
    foreign key (client_id, incident) references incidents (client_id, reference)
);
call guard_client_rows('events');
call keep_rows('events');
create policy published_only on events as restrictive for select to watchfire_portal using (exists (
    select from incidents i where i.client_id = events.client_id and i.reference = events.incident and i.revision >= 1));
grant select, insert on events to watchfire_soc, watchfire_worker;
grant select on events to watchfire_portal;

create table report_revisions (
    client_id    uuid        not null,
    incident     text        not null,
    number       integer     not null check (number >= 1),
    published_at timestamptz not null,
    body         json        not null,
    primary key (client_id, incident, number),
    foreign key (client_id, incident) references incidents (client_id, reference)
);
call guard_client_rows('report_revisions');
call keep_rows('report_revisions');
create policy published_only on report_revisions as restrictive for select to watchfire_portal using (exists (
    select from incidents i where i.client_id = report_revisions.client_id and i.reference = report_revisions.incident
    and i.revision >= 1));
grant select on report_revisions to watchfire_soc, watchfire_portal;
grant select, insert on report_revisions to watchfire_worker;

-- The decisions of the client's own users, apart from the event log: only the portal's role writes here.
create table client_decisions (
    client_id   uuid        not null,
    request_id  text        not null,
    incident    text        not null,
    command     text        not null,
    user_id     uuid        not null,
    fingerprint text        not null,
    at          timestamptz not null,
    primary key (client_id, request_id),
    foreign key (client_id, incident) references incidents (client_id, reference),
    foreign key (client_id, user_id) references users (client_id, id)
);
call guard_client_rows('client_decisions');
call keep_rows('client_decisions');
create policy published_only on client_decisions as restrictive for insert to watchfire_portal with check (exists (
    select from incidents i where i.client_id = client_decisions.client_id and i.reference = client_decisions.incident
    and i.revision >= 1));
grant select, insert on client_decisions to watchfire_portal;
grant select on client_decisions to watchfire_soc, watchfire_worker;

-- Nothing closes without the client: the phase closed needs the decision that the state names. A user of that client
-- has made it (the foreign key above), about the closure of this incident.
-- +goose StatementBegin
create function require_decision() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from public.client_decisions d
        where d.client_id = new.client_id and d.incident = new.reference
            and d.request_id = new.state -> 'closure' ->> 'decision'
            and d.command in ('request-closure', 'confirm-closure')
    ) then
        raise exception 'closed without a decision of the client' using errcode = 'WF001';
    end if;
    return new;
end
$$;
-- +goose StatementEnd
create trigger require_decision before insert or update on incidents
    for each row when (new.phase = 'closed') execute function require_decision();
