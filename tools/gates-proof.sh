#!/usr/bin/env bash
# Proves that the gates of `make check` and `make test` close: in a copy of this tree
# it seeds one fault at a time and expects the gate that watches for it to fail, and
# to pass without the fault.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
copy=$root/tree log=$root/log
mkdir "$copy"
[ ! -d ../shared ] || ln -s "$(realpath ../shared)" "$root/shared" # the vulnerability database
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$copy"
cd "$copy"
git init -q

failed=0
# expect GATE pass|fail WHAT PATTERN COMMAND…: runs a gate. One that is to fail must also say why, in words that match PATTERN.
expect() {
  local gate=$1 want=$2 what=$3 pattern=$4 got=pass
  shift 4
  "$@" >"$log" 2>&1 || got=fail
  if [ "$got" != "$want" ] || { [ "$want" = fail ] && ! grep -qE "$pattern" "$log"; }; then
    echo "gates: $gate, $what: WRONG, expected it to $want"
    tail -n 20 "$log" | sed 's/^/  /'
    failed=1
  else
    echo "gates: $gate, $what: $got, as it should"
  fi
}

leaks() { tools/leaks.sh; }
workflows() { make -s workflows; }
catalogue() { go test ./store -count=1 -run 'TestCatalogue$'; }
reads() { go test ./api -count=1 -run 'TestAReadChangesNothing$|TestEveryOperationAnswersEveryRoleAsTheMatrixSays$'; }
boms() { make -s bom; }
vulnerable() { tools/vulnerabilities.sh "$1"; }
without_database() { VULNDB=file://$copy/nowhere tools/vulnerabilities.sh; }

expect leaks pass "the tree as it is" "" leaks
hex=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "package seeded; const twilioAuthToken = \"$hex\"" >seeded.go
expect leaks fail "an auth token of Twilio" twilio-auth-token leaks
words=$(od -An -N64 -tx1 /dev/urandom | tr -d ' \n')
echo "package seeded; var key = \"SG.${words:0:22}.${words:22:43}\"" >seeded.go
expect leaks fail "a key of SendGrid" sendgrid leaks
rm seeded.go

expect workflows pass "the tree as it is" "" workflows
cat >workflows/seeded.go <<'GO'
package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// Seeded asks the machine for the time.
func Seeded(workflow.Context) time.Time { return time.Now() }
GO
expect workflows fail "time.Now in a workflow" Seeded workflows
rm workflows/seeded.go

expect catalogue pass "the tree as it is" "" catalogue
cat >store/migrations/99999_seeded.sql <<'SQL'
-- +goose Up
create table seeded (client_id uuid not null references clients (id));
alter table seeded enable row level security;
-- +goose Down
drop table seeded;
SQL
expect catalogue fail "a table without forced row level security" seeded catalogue
rm store/migrations/99999_seeded.sql

expect reads pass "the tree as it is" "" reads
# Client answers a GET.
sed -i -E 's|^(func \(d \*Desk\) Client\(ctx .*\{)$|\1\n\tif n, err := d.clientID(ctx, u, number); err == nil {\n\t\t_ = d.store.ForClient(context.WithoutCancel(context.TODO()), store.SOC, n, func(tx *store.Tx) error {\n\t\t\tc, _ := tx.Client()\n\t\t\tc.LegalName += " seeded"\n\t\t\t_, err := tx.UpdateClient(c)\n\t\t\treturn err\n\t\t})\n\t}|' desk/client.go
grep -q seeded desk/client.go || { echo "gates: the fault of a GET could not be seeded" >&2; exit 1; }
expect reads fail "a GET that changes something" 'changed rows of public.clients' reads

expect bom pass "the tree as it is" "" boms
sed -i 's|^without_licence=.*|without_licence=|' tools/bom.sh
expect bom fail "a module without a licence" 'nexus-proto-annotations .* has no licence file' boms

mkdir vulnerable
cat >vulnerable/go.mod <<'MOD'
module example.com/vulnerable

go 1.26

require golang.org/x/text v0.3.5
MOD
cat >vulnerable/main.go <<'GO'
package main

import "golang.org/x/text/language"

func main() { _, _ = language.Parse("en") }
GO
(cd vulnerable && go mod tidy >/dev/null 2>&1)
expect vulnerabilities fail "a vulnerable module" GO-2021-0113 vulnerable "$copy/vulnerable"
expect vulnerabilities fail "no database" 'NOT CHECKED' without_database

exit "$failed"
