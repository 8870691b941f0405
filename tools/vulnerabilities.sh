#!/usr/bin/env bash
# Looks for known vulnerabilities in the code that the product reaches, with the
# copy of the Go vulnerability database in ../shared/vulndb when there is one, else
# with the public one. When it can read neither it checks nothing and says so; with
# GOVULNCHECK_REQUIRED=1 it fails then.
set -euo pipefail
cd "$(dirname "$0")/.."

archive=../shared/vulndb/vulndb.tar.xz
database=https://vuln.go.dev
if [ -f "$archive" ]; then
  unpacked=$(mktemp -d)
  trap 'rm -rf "$unpacked"' EXIT
  if tar -xJf "$archive" -C "$unpacked"; then
    index=$(find "$unpacked" -path '*/index/db.json' -print -quit)
    database="file://${index%/index/db.json}"
  else
    echo "vulnerabilities: cannot unpack $archive (is xz installed?), trying $database" >&2
  fi
fi

code=0
go tool -modfile=tools/govulncheck.mod govulncheck -db "$database" ./... || code=$?
# 0: none found, 3: some found and listed. Any other code may come from the network,
# but not with a database on this machine.
if [ "$code" = 0 ] || [ "$code" = 3 ] || [[ $database == file://* ]]; then
  exit "$code"
fi
echo "vulnerabilities: NOT CHECKED, $database could not be used (code $code)" >&2
[ "${GOVULNCHECK_REQUIRED:-0}" != 1 ] || exit 1
