-- What was agreed with a client changes over the years of its contract.

-- +goose Up
grant update (legal_name, time_zone, language, business, contract, policy) on clients to watchfire_soc;
