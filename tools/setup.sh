#!/usr/bin/env bash
# Makes a fresh machine with Go ready for `make run`, `make demo` and `make test`:
# installs PostgreSQL's server (from the distribution, as root only) and builds the
# Temporal server once into the user's cache. It takes moments when everything is
# there.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest_postgres=15

# Prints the newest major version of an installed PostgreSQL server, 0 when there is none.
postgres_version() {
  local newest=0 postgres version
  for postgres in /usr/lib/postgresql/*/bin/postgres "$(command -v postgres || true)"; do
    [ -x "$postgres" ] && [ -x "${postgres%/*}/initdb" ] || continue
    version=$("$postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    [ "$version" -le "$newest" ] || newest=$version
  done
  echo "$newest"
}

# Debian's packages create and start a server of their own unless the configuration forbids it.
install_postgres() {
  export DEBIAN_FRONTEND=noninteractive
  echo "installing the PostgreSQL server from the distribution"
  apt-get update -q
  apt-get install -y -q --no-install-recommends postgresql-common
  sed -ri 's/^#?(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf
  apt-get install -y -q --no-install-recommends postgresql
}

if ! command -v go >/dev/null; then
  echo "setup: Go $(sed -nE 's/^go ([0-9.]+)$/\1/p' go.mod) or newer is not installed: install it from https://go.dev/dl/" >&2
  exit 1
fi
if [ "$(postgres_version)" -lt "$oldest_postgres" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  go run ./devstack/prepare temporal & # takes minutes, in which the rest can be installed
  building=$!
  install_postgres || { pkill -P "$building" || true; exit 1; }
  wait "$building"
fi
go run ./devstack/prepare
