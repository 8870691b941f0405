-- What is known of a client's EDR without asking it: what its credentials lead to, and whether it could be reached.

-- +goose Up
alter table edr_credentials add column open_values jsonb; -- those that are no secrets; null: set before they were kept
grant select (open_values), update (open_values), delete on edr_credentials to watchfire_soc;
grant select (client_id, vendor, updated_at) on edr_credentials to watchfire_portal;
alter table clients add column edr_check jsonb; -- the last one; null: there was none
grant update (edr_check) on clients to watchfire_soc;
