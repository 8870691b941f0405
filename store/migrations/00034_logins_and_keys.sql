-- Two logins, and what follows from keys that are not in the database. The API's login may become soc,
-- portal, auth and hooks, the workers' watchfire_worker alone. Each role can do what its login needs: the hooks move the
-- ledger, and workers say that they run, and look for calls and ids over all clients.

-- +goose Up
grant select on goose_db_version to watchfire_soc;

-- The vendors' callbacks: they find an effect by its token, take the vendor's word on it, and read what a call says.
grant select, update (state, vendor, vendor_id, vendor_state, vendor_rank, vendor_sequence, outcome, acknowledged_by,
    acknowledged_at, how, accepted_at, wrong_replies, updated_at) on effects to watchfire_hooks;
grant select, insert on effect_states to watchfire_hooks;
grant select (client_id, id, name, role, email, phone, language, call_order, severities, channels, hours, hours_for_critical,
    verified, removed_at, address_version) on contacts to watchfire_hooks;
grant select (client_id, reference, seq, state) on incidents to watchfire_hooks;
grant select (id) on clients to watchfire_hooks;

-- Workers: alarms that an activity raises, and look-ups over every client, in a transaction that writes nothing then.
alter policy operation on operator_alarms to watchfire_soc, watchfire_worker;
grant select, insert, update (detail, last_seen, ended_at) on operator_alarms to watchfire_worker;
create policy every_lookup on effects for select to watchfire_worker using ((select current_setting('app.every_client', true) = 'on'));
create policy every_lookup on contacts for select to watchfire_worker using ((select current_setting('app.every_client', true) = 'on'));
create policy every_lookup on edr_credentials for select to watchfire_worker using ((select current_setting('app.every_client', true) = 'on'));

-- And whether the user of the SOC who sent a command may still act for its client.
grant select (disabled_at, limited) on users to watchfire_worker;
alter policy colleagues on users to watchfire_soc, watchfire_worker;
grant select on user_reach to watchfire_worker;

-- Codes follow from a key that is not in the database, too. Rows of before, and of workers of before, name none: their
-- codes follow from the token, until they are worth nothing after seven days.
alter table effects add column code_key text not null default '';

-- The caller code follows from such a key as well. The secret of before stays for API processes of before.
revoke select (caller_secret) on clients from watchfire_portal;

-- Our signature under an event log as it was, made by workers with a key that is not in the database: whoever changes
-- events and makes the chain of hashes anew cannot sign it.
create table checkpoints (
    client_id uuid        not null,
    incident  text        not null,
    seq       integer     not null check (seq >= 1), -- of the last event then
    hash      bytea       not null check (length(hash) = 32), -- of that event
    at        timestamptz not null,
    signature bytea       not null,
    primary key (client_id, incident, seq),
    foreign key (client_id, incident) references incidents (client_id, reference)
);
call guard_client_rows('checkpoints');
call keep_rows('checkpoints');
grant select on checkpoints to watchfire_soc;
grant select, insert on checkpoints to watchfire_worker;
create policy every_lookup on checkpoints for select to watchfire_worker using ((select current_setting('app.every_client', true) = 'on'));
create policy every_lookup on incidents for select to watchfire_worker using ((select current_setting('app.every_client', true) = 'on'));
