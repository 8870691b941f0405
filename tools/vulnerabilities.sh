#!/usr/bin/env bash
# Looks for known vulnerabilities in the code that the product reaches, or that the
# module in the folder given as argument does. The Go vulnerability database comes
# from VULNDB (a file:// or https:// address), else from ../shared/vulndb beside the
# checkout, else from the public one. Without a database nothing was checked, and the
# script fails.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.}
modfile=$PWD/tools/govulncheck.mod

fail() { echo "vulnerabilities: NOT CHECKED: $1" >&2; exit 1; }

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
archive=../shared/vulndb/vulndb.tar.xz
database=${VULNDB:-https://vuln.go.dev}
if [ -z "${VULNDB:-}" ] && [ -f "$archive" ]; then
  tar -xJf "$archive" -C "$unpacked" || fail "$archive cannot be unpacked (is xz installed?)"
  index=$(find "$unpacked" -path '*/index/db.json' -print -quit)
  [ -n "$index" ] || fail "$archive holds no database"
  database="file://${index%/index/db.json}"
fi
if [[ $database == file://* ]]; then
  index=${database#file://}/index
  [ -s "$index/db.json" ] && [ -s "$index/modules.json" ] || fail "$database holds no database"
else
  index=$unpacked/index
  mkdir -p "$index"
  for file in db modules; do
    curl -fsS --max-time 30 "$database/index/$file.json" -o "$index/$file.json" || fail "$database does not answer: set VULNDB to a copy"
  done
fi

modified=$(grep -oE '"modified": *"[^"]+"' "$index/db.json" | grep -oE '[0-9]{4}-[^"]+') || fail "the database does not say when it was made"
known=$(grep -o '"path"' "$index/modules.json" | wc -l)
[ "$known" -gt 0 ] || fail "the database knows no module"
days=$((($(date +%s) - $(date -d "$modified" +%s)) / 86400))
echo "vulnerabilities: a database of $modified, $days days old, with $known modules"

cd "$folder"
go tool -modfile="$modfile" govulncheck -db "$database" ./...
