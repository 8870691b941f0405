-- The terms of a client's contract change over its years.

-- +goose Up
grant update (legal_name, time_zone, language, business, contract, policy) on clients to watchfire_soc;
