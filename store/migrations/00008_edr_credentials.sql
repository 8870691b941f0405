-- The credentials of clients' EDRs. They are sealed before they are stored; only a worker reads them back.

-- +goose Up
create table edr_credentials (
    client_id  uuid        not null references clients (id),
    vendor     text        not null,
    base_url   text        not null, -- for people to read; workers use the one in sealed
    sealed     bytea       not null,
    data_key   bytea       not null, -- the key of sealed, itself sealed with the provider's keyset
    updated_at timestamptz not null,
    updated_by uuid        not null,
    primary key (client_id, vendor)
);
call guard_client_rows('edr_credentials');
grant select (client_id, vendor, base_url, updated_at, updated_by), insert,
    update (base_url, sealed, data_key, updated_at, updated_by) on edr_credentials to watchfire_soc;
grant select on edr_credentials to watchfire_worker;
grant update (edr) on clients to watchfire_soc;
