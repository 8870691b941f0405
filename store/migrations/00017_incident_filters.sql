-- Indexes for the filters of incidents that people use at night, the last changed incident first.

-- +goose Up
create index incidents_with_open_tasks on incidents (updated_at, reference) where open_tasks > 0;
create index incidents_drills on incidents (updated_at, reference) where drill;
create index incidents_by_containment on incidents (containment, updated_at, reference);
create index incidents_by_turn on incidents (turn, updated_at, reference);
