#!/bin/sh
# Gives Temporal a login and two databases of its own, and takes over databases that the superuser owned before. Runs in
# the image of PostgreSQL; may run repeatedly. The login may not read Watchfire's database, and Watchfire's logins may
# not connect to Temporal's.
# Environment: PGHOST, PGUSER, PGPASSWORD of the superuser, TEMPORAL_DATABASE_PASSWORD.
set -eu

run() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"; }

run --dbname postgres --set password="$TEMPORAL_DATABASE_PASSWORD" <<'SQL'
select 'create role temporal login' where not exists (select from pg_roles where rolname = 'temporal') \gexec
alter role temporal login nosuperuser nocreatedb nocreaterole nobypassrls password :'password';
select format('create database %I owner temporal', name) from unnest(array['temporal', 'temporal_visibility']) name
  where not exists (select from pg_database where datname = name) \gexec
alter database temporal owner to temporal;
alter database temporal_visibility owner to temporal;
revoke all on database temporal, temporal_visibility from public;
SQL

for database in temporal temporal_visibility; do
  run --dbname "$database" <<'SQL'
alter schema public owner to temporal;
select format('alter table %s owner to temporal', c.oid::regclass) from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and pg_get_userbyid(c.relowner) <> 'temporal' \gexec
select format('alter function %s owner to temporal', p.oid::regprocedure) from pg_proc p
  where p.pronamespace = 'public'::regnamespace and pg_get_userbyid(p.proowner) <> 'temporal'
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') \gexec
SQL
done
