-- The status of a client's EDR as far as Watchfire knows it without asking the EDR: the values of its credentials that
-- are no secrets, and the result of the last connection check.

-- +goose Up
alter table edr_credentials add column open_values jsonb; -- values that are no secrets; null: entered before this column existed
grant select (open_values), update (open_values), delete on edr_credentials to watchfire_soc;
grant select (client_id, vendor, updated_at) on edr_credentials to watchfire_portal;
alter table clients add column edr_check jsonb; -- the last check; null: there was none
grant update (edr_check) on clients to watchfire_soc;
