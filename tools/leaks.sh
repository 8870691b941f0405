#!/usr/bin/env bash
# Looks for secrets in every file that git tracks or would track: keys, tokens and
# passwords of people and vendors. .gitleaks.toml says what is not one.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C "$copy"
[ -n "$(find "$copy" -name go.mod -print -quit)" ] || { echo "leaks: there is nothing to look at: is this a checkout by git?" >&2; exit 1; }
tool=$(go tool -n -modfile=tools/gitleaks.mod gitleaks)
cd "$copy"
"$tool" dir . --config .gitleaks.toml --no-banner --redact --verbose --log-level warn
