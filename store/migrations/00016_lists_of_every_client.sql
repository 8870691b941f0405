-- The policy of the SOC's lists over all clients, for speed. When the policy reads the setting for every row,
-- PostgreSQL assumes that it differs from row to row and is seldom true, expects next to no rows, and reads whole
-- tables for one page. In a subquery it reads the setting once.

-- +goose Up
-- +goose StatementBegin
create or replace procedure guard_client_rows(guarded regclass, client_column name default 'client_id')
language plpgsql as $$
declare
    own constant text := format('%I = nullif(current_setting(''app.client_id'', true), '''')::uuid', client_column);
begin
    execute format('alter table %s enable row level security', guarded);
    execute format('alter table %s force row level security', guarded);
    execute format('create policy own_client on %s using (%s) with check (%s)', guarded, own, own);
    execute format('create policy every_client on %s for select to watchfire_soc'
        || ' using ((select current_setting(''app.every_client'', true) = ''on''))', guarded);
end
$$;

do $$
declare
    guarded regclass;
begin
    for guarded in select polrelid from pg_policy where polname = 'every_client' loop
        execute format('alter policy every_client on %s using ((select current_setting(''app.every_client'', true) = ''on''))', guarded);
    end loop;
end
$$;
-- +goose StatementEnd
