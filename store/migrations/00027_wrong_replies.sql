-- How often a text was answered with anything but its code. After ten the code is worth nothing.

-- +goose Up
alter table effects add column wrong_replies integer not null default 0;
grant select (wrong_replies), update (wrong_replies) on effects to watchfire_worker;
