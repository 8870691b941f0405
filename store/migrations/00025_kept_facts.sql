-- Facts that the engine did not take when a machine reported them: a key was pressed, a call ended, a mail bounced. The
-- reconciler tells them to the workflow when the engine answers again. They name effects and contacts by their ids.

-- +goose Up
create table kept_facts (
    id        uuid        primary key,
    name      text        not null,
    workflows jsonb       not null, -- ids: the first one that has not ended takes it
    arg       jsonb       not null,
    kept_at   timestamptz not null,
    missed_at timestamptz,          -- when the engine first said that it knows none of the workflows
    told_at   timestamptz           -- null: not yet
);
create index kept_facts_untold on kept_facts (kept_at) where told_at is null;

alter table kept_facts enable row level security;
alter table kept_facts force row level security;
create policy operation on kept_facts to watchfire_soc using (true) with check (true);
grant select, insert, update (missed_at, told_at) on kept_facts to watchfire_soc;
