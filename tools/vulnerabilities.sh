#!/usr/bin/env bash
# Looks for known vulnerabilities in the code the product reaches. Uses the copy
# of the Go vulnerability database in ../shared/vulndb when there is one, else
# the public one. When neither can be read nothing was checked: that is said,
# and is a failure with GOVULNCHECK_REQUIRED=1.
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
# 0: none, 3: found and listed. Anything else may be the network, but not with
# a database on this machine.
if [ "$code" = 0 ] || [ "$code" = 3 ] || [[ $database == file://* ]]; then
  exit "$code"
fi
echo "vulnerabilities: NOT CHECKED, $database could not be used (code $code)" >&2
[ "${GOVULNCHECK_REQUIRED:-0}" != 1 ] || exit 1
