-- What the bounds of an alert left out, by field. The payload of the alert is kept whole.

-- +goose Up
alter table alerts add truncated jsonb not null default 'null'; -- null: nothing
grant update (truncated) on alerts to watchfire_soc;
