-- The audiences of the database. Nobody logs in as one of them: the application's login takes the role of one for the
-- length of a transaction (set_config('role', …, true)) and has no rights of its own.

-- +goose Up
-- +goose StatementBegin
do $$
declare
    audience text;
begin
    foreach audience in array array['watchfire_soc', 'watchfire_portal', 'watchfire_worker', 'watchfire_auth'] loop
        begin
            execute format('create role %I nologin noinherit', audience);
        exception when duplicate_object or unique_violation then
            null; -- roles belong to the whole server: the migration of another database has created this one
        end;
    end loop;
end
$$;
-- +goose StatementEnd

revoke create on schema public from public;
grant usage on schema public to watchfire_soc, watchfire_portal, watchfire_worker, watchfire_auth;
grant select on goose_db_version to watchfire_worker;

-- guard_client_rows puts a table under row level security: a transaction reads and writes the rows of the client in
-- app.client_id and no others; while that is unset, none. The SOC may read the rows of every client in a transaction
-- that sets app.every_client, and cannot write in it.
-- +goose StatementBegin
create procedure guard_client_rows(guarded regclass, client_column name default 'client_id')
language plpgsql as $$
declare
    own constant text := format('%I = nullif(current_setting(''app.client_id'', true), '''')::uuid', client_column);
begin
    execute format('alter table %s enable row level security', guarded);
    execute format('alter table %s force row level security', guarded);
    execute format('create policy own_client on %s using (%s) with check (%s)', guarded, own, own);
    execute format('create policy every_client on %s for select to watchfire_soc'
        || ' using (current_setting(''app.every_client'', true) = ''on'')', guarded);
end
$$;

-- reject_change is the trigger of tables whose rows nobody may change, the owner included.
create function reject_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'rows of % are never changed or removed', tg_table_name using errcode = 'WF002';
end
$$;

-- keep_rows makes a table insert-only.
create procedure keep_rows(kept regclass)
language plpgsql as $$
begin
    execute format('create trigger keep_rows before update or delete or truncate on %s'
        || ' for each statement execute function reject_change()', kept);
end
$$;

revoke execute on procedure guard_client_rows(regclass, name), keep_rows(regclass) from public;
-- +goose StatementEnd
