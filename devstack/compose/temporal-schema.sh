#!/bin/sh
# Brings the schemas of Temporal's two databases, which temporal-login.sh has made,
# to the version of this image. Runs in temporalio/admin-tools; may run repeatedly.
# Environment: POSTGRES_SEEDS, DB_PORT, POSTGRES_USER, SQL_PASSWORD.
set -eu

sql_tool() {
  temporal-sql-tool --plugin postgres12_pgx --endpoint "$POSTGRES_SEEDS" --port "$DB_PORT" \
    --user "$POSTGRES_USER" "$@"
}

# prepare DATABASE SCHEMA: sets the schema up unless there is one, and updates it
prepare() {
  if sql_tool --database "$1" update-schema --schema-name "$2"; then
    return
  fi
  echo "database $1 has no schema yet, creating it"
  sql_tool --database "$1" setup-schema --version 0.0
  sql_tool --database "$1" update-schema --schema-name "$2"
}

prepare temporal postgresql/v12/temporal
prepare temporal_visibility postgresql/v12/visibility
