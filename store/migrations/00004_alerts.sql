-- Alerts as the sources sent them and as Watchfire normalised them.

-- +goose Up
create table alerts (
    client_id   uuid        not null references clients (id),
    id          uuid        not null,
    source      text        not null check (source in
        ('realtime', 'hunting', 'integration', 'global_incident', 'client_report')),
    finding_id  text        not null,
    title       text        not null,
    detail      text        not null,
    severity    text        not null check (severity in ('critical', 'high', 'medium', 'low', '')), -- '': the alert does not tell it
    techniques  jsonb       not null,
    indicators  jsonb       not null,
    hostnames   jsonb       not null,
    occurred_at timestamptz, -- null: the alert does not tell it
    received_at timestamptz not null,
    updated_at  timestamptz not null,
    version     integer     not null check (version >= 1),
    problem     text        not null, -- why the alert cannot be normalised, '' when it can
    incident    text, -- null: the alert waits for an analyst
    primary key (client_id, id),
    unique (client_id, source, finding_id),
    foreign key (client_id, incident) references incidents (client_id, reference)
);
create index alerts_id on alerts (id);
create index alerts_latest on alerts (received_at, id);
create index alerts_of_client on alerts (client_id, received_at, id);
create index alerts_waiting on alerts (received_at, id) where incident is null;
call guard_client_rows('alerts');
grant select, insert, update (title, detail, severity, techniques, indicators, hostnames, occurred_at, updated_at, version,
    problem, incident) on alerts to watchfire_soc;
grant select on alerts to watchfire_worker;

-- Every version of an alert as the source sent it.
create table alert_payloads (
    client_id   uuid        not null,
    alert_id    uuid        not null,
    version     integer     not null check (version >= 1),
    raw         bytea       not null,
    sha256      bytea       not null check (length(sha256) = 32),
    received_at timestamptz not null,
    primary key (client_id, alert_id, version),
    foreign key (client_id, alert_id) references alerts (client_id, id)
);
call guard_client_rows('alert_payloads');
call keep_rows('alert_payloads');
grant select, insert on alert_payloads to watchfire_soc;

-- The outcome of every request with an alert, to answer its repeats.
create table alert_receipts (
    client_id  uuid    not null,
    request_id text    not null,
    alert_id   uuid    not null,
    outcome    text    not null check (outcome in ('created', 'updated', 'unchanged')),
    sha256     bytea   not null check (length(sha256) = 32),
    primary key (client_id, request_id),
    foreign key (client_id, alert_id) references alerts (client_id, id)
);
call guard_client_rows('alert_receipts');
call keep_rows('alert_receipts');
grant select, insert on alert_receipts to watchfire_soc;
