#!/usr/bin/env bash
# Generates all code again and fails when that changes a generated file, so that
# committed files always follow their sources. It leaves the changed files in
# place, ready to be committed.
set -euo pipefail
cd "$(dirname "$0")/.."

# Checksums of all generated Go files, by the standard header.
checksums() {
  grep -rlE --include='*.go' '^// Code generated .* DO NOT EDIT\.$' . | sort | xargs -r sha256sum
}

before=$(checksums)
go generate ./...
after=$(checksums)
if [ "$before" != "$after" ]; then
  echo "generated: these files differ from the ones that \`make generate\` writes: commit the new ones" >&2
  diff <(echo "$before") <(echo "$after") | sed -nE 's/^[<>] [0-9a-f]+ +/  /p' | sort -u >&2
  exit 1
fi
