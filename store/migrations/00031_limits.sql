-- How often something may be asked for, counted here because several processes of the API ask. A row says up to which
-- moment its key has used its share, so that one that lies in the past says nothing. A row holds ids and no secret. The
-- table is not logged: a crash of the database forgets who asked how much, and nobody waits for the disk.

-- +goose Up
create unlogged table limits (
    scope   text        not null, -- what is limited, such as user or alerts
    key     text        not null, -- whose it is: ids
    used_to timestamptz not null,
    primary key (scope, key)
) with (fillfactor = 50);

alter table limits enable row level security;
alter table limits force row level security;
create policy operation on limits to watchfire_auth using (true) with check (true);
grant select, insert, update (used_to), delete on limits to watchfire_auth;
