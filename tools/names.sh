#!/usr/bin/env bash
# Keeps retired names out: fails when a tracked Go, SQL, YAML, template or
# Markdown file holds a name of tools/retired-names.txt, and prints where, which
# name, and the one that took its place.
#
# tools/retired-names.txt: one name a line, columns parted by tabs:
#   extended regular expression, the name to use instead, and perhaps git pathspecs
#   parted by spaces, for a name that is retired in some files only
# tools/retired-names-allowed.txt: one exception a line:
#   extended regular expression matched from the start of `path:text of the line`,
#   reason
# Empty lines and lines that begin with # count for nothing in both.
set -euo pipefail

case "${1:-}" in
"") ;;
-h | --help)
  sed -nE '2,/^[^#]/s/^# ?//p' "$0"
  exit 0
  ;;
*)
  echo "names: unexpected argument \"$1\": see tools/names.sh --help" >&2
  exit 2
  ;;
esac
cd "$(dirname "$0")/.."

names=tools/retired-names.txt
allowed=tools/retired-names-allowed.txt
everywhere=('*.go' '*.sql' '*.yaml' '*.yml' '*.tmpl' '*.html' '*.md')
# Generated code follows its source, recorded histories and decisions are of
# their time, and the glossary names the words that are not to be used.
never=(':(exclude)*.gen.go' ':(exclude,glob)**/testdata/histories/**' ':(exclude)docs/decisions' ':(exclude)docs/glossary.md' ':(exclude)tools')

# The lines of a list that count.
entries() { sed -E '/^(#|[[:space:]]*$)/d' "$1"; }

# A checkout may belong to somebody else, and sources without one are searched whole.
git=(git -c safe.directory="$PWD")
index=()
"${git[@]}" rev-parse --git-dir >/dev/null 2>&1 || index=(--no-index)

# search REGEX PATHSPEC...: every hit as path:line:text.
search() {
  local code=0
  "${git[@]}" grep "${index[@]}" --no-color -nIE -e "$1" -- "${@:2}" "${never[@]}" || code=$?
  [ "$code" -le 1 ] || return "$code" # 1: no hit
}

exceptions=()
while IFS=$'\t' read -r regex reason; do
  [ -n "$reason" ] || { echo "names: $allowed: \"$regex\" has no reason: add one after a tab" >&2; exit 2; }
  exceptions+=("$regex")
done < <(entries "$allowed")

# is_allowed PATH:TEXT
is_allowed() {
  local exception
  for exception in "${exceptions[@]}"; do
    [[ $1 =~ ^$exception ]] && return 0
  done
  return 1
}

found=0
while IFS=$'\t' read -r regex instead paths; do
  [ -n "$instead" ] || { echo "names: $names: \"$regex\" has no new name: add one after a tab" >&2; exit 2; }
  where=("${everywhere[@]}")
  if [ -n "$paths" ]; then
    read -ra where <<<"$paths"
  fi
  hits=$(search "$regex" "${where[@]}") || { echo "names: cannot search for \"$regex\" (code $?)" >&2; exit 2; }
  [ -n "$hits" ] || continue
  while IFS= read -r hit; do
    path=${hit%%:*}
    rest=${hit#*:}
    line=${rest%%:*}
    text=${rest#*:}
    is_allowed "$path:$text" && continue
    name=$(grep -oE -m1 -e "$regex" <<<"$text" | head -n1)
    echo "$path:$line: \"$name\" is retired: use $instead" >&2
    found=$((found + 1))
  done <<<"$hits"
done < <(entries "$names")

if [ "$found" -gt 0 ]; then
  echo "names: retired names found: $found: rename them, or add the exception and its reason to $allowed" >&2
  exit 1
fi
