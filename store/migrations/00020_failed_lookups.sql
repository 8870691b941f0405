-- How often, and since when, the vendor could not be asked about the last attempt at an effect. A count that began
-- before attempt_at belongs to an earlier attempt.

-- +goose Up
alter table effects
    add column failed_lookups   integer not null default 0,
    add column lookup_failed_at timestamptz; -- the first of them
grant update (failed_lookups, lookup_failed_at) on effects to watchfire_worker;
