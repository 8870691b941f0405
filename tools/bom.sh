#!/usr/bin/env bash
# Writes what a binary of Watchfire is made of into a folder: sbom.json (CycloneDX), and
# THIRD_PARTY_NOTICES.txt with the licence and the notices of every module whose code
# is in it. A module without a licence file is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:?usage: tools/bom.sh BINARY FOLDER}") out=${2:?usage: tools/bom.sh BINARY FOLDER}
mkdir -p "$out"

# Releases that are known to come without one. This one is generated code that the Temporal SDK needs.
without_licence="github.com/nexus-rpc/nexus-proto-annotations@v0.1.0"

modules=$(CGO_ENABLED=0 go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/watchfire | sort -u)
[ -n "$modules" ] || { echo "bom: the binary has no modules: is this the whole tree?" >&2; exit 1; }
{
  echo "Watchfire contains code of the following modules, under the licences that follow each."
  while read -r path version folder; do
    files=$(find "$folder" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'patents*' \) | sort)
    printf '\n%s\n%s %s\n' "$(printf '=%.0s' {1..100})" "$path" "$version"
    if ! grep -qiE '/(licen[cs]e|copying)[^/]*$' <<<"$files"; then
      [[ " $without_licence " == *" $path@$version "* ]] || { echo "bom: $path $version has no licence file" >&2; exit 1; }
      printf '\nThis release of the module comes without a licence file.\n'
      continue
    fi
    while read -r file; do
      printf '\n--- %s ---\n\n' "${file##*/}"
      cat "$file"
    done <<<"$files"
  done <<<"$modules"
  printf '\n%s\nThe Go standard library and runtime\n\n' "$(printf '=%.0s' {1..100})"
  cat "$(go env GOROOT)/LICENSE"
} >"$out/THIRD_PARTY_NOTICES.txt"

go tool -modfile=tools/cyclonedx-gomod.mod cyclonedx-gomod bin -json -std -output "$out/sbom.json" "$binary"
echo "bom: $(wc -l <<<"$modules") modules, in $out"
