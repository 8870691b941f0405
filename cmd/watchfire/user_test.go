package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// An operator makes the first users on the command line, and ends what they may do.
func TestUsersOnTheCommandLine(t *testing.T) {
	_, appURL := storetest.URLs(t)
	t.Setenv("DATABASE_URL", appURL)
	db, err := store.Open(t.Context(), appURL, store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	client, err := db.CreateClient(t.Context(), models.Client{Number: 1042, LegalName: "Acme", TimeZone: "UTC", Language: "en"}, "acme", "")
	if err != nil {
		t.Fatal(err)
	}
	run := func(line string) (string, error) {
		t.Helper()
		var out bytes.Buffer
		err := runUser(t.Context(), strings.Fields(line), &out)
		return strings.TrimSpace(out.String()), err
	}
	done := func(line string) string {
		t.Helper()
		out, err := run(line)
		if err != nil {
			t.Fatalf("watchfire user %s: %v", line, err)
		}
		return out
	}
	holds := func(secret string) bool {
		t.Helper()
		hash, ok := auth.Hash(secret)
		if !ok {
			t.Fatal("no token was printed")
		}
		_, err := db.Authenticate(context.WithoutCancel(t.Context()), hash)
		return err == nil
	}

	for line, want := range map[string]string{
		"-email lea@soc.example -role lead":                               "-name is missing",
		"add -name Lea -role lead":                                        "-email is missing",
		"add -name Lea -email lea -role lead":                             "-email is not one bare mail address such as ada@client.example: no name, brackets, quotes or comments",
		"add -name Lea -email lea@soc.example -role boss":                 "-role boss does not exist: use analyst, lead, operator; or viewer, responder, admin of a client",
		"add -name Lea -email lea@soc.example -role lead -client 1042":    "-role lead is one of the SOC: leave out -client, or use viewer, responder, admin",
		"add -name Ines -email ines@client.example -role admin":           "-role admin is one of a client: name the client with -client",
		"add -name Ines -email ines@client.example -role admin -client 7": "-client 7: client not found",
		"add -name Lea -email lea@soc.example -role lead -days 366":       "-days 366 is not 1 to 365",
		"disable -email nobody@soc.example":                               "-email nobody@soc.example: the SOC has no user with this address",
		"disable nobody@soc.example":                                      `"nobody@soc.example" is no flag: give values as in -email lea@soc.example`,
		"remove":                                                          `user has no command "remove": use one of the list`,
		"revoke-token -email lea@soc.example -id 7":                       "-id 7 is not an id of a token",
	} {
		if _, err := run(line); err == nil || err.Error() != want {
			t.Errorf("watchfire user %s: got %v, want %s", line, err, want)
		}
	}

	first := done("-name Lea -email lea@soc.example -role lead")
	second := done("-name Lea -email lea@soc.example -role lead")
	if !holds(first) || !holds(second) {
		t.Error("a token that was just printed is not good")
	}
	third := done("add -name Lea -email LEA@soc.example -role lead -revoke")
	if holds(first) || holds(second) || !holds(third) {
		t.Error("-revoke leaves the others, or not the new one")
	}
	if _, err := run("-name Lea -email lea@soc.example -role analyst"); err == nil || !strings.Contains(err.Error(), "has the role lead") {
		t.Errorf("another role: %v", err)
	}
	if list := done("tokens -email lea@soc.example"); strings.Contains(list, third) || !strings.Contains(list, third[:9]+"…") {
		t.Errorf("the tokens are %s", list)
	}
	id := strings.Fields(done("tokens -email lea@soc.example"))[0]
	done("revoke-token -email lea@soc.example -id " + id)
	if holds(third) {
		t.Error("a revoked token is still good")
	}

	admin := done("add -name Ines -email ines@client.example -role admin -client 1042")
	if _, err := run("disable -email ines@client.example -client 1042"); err == nil || !strings.Contains(err.Error(), "last enabled admin") {
		t.Errorf("the last admin: %v", err)
	}
	done("add -name Ida -email ida@client.example -role admin -client 1042")
	done("disable -email ines@client.example -client 1042")
	if holds(admin) {
		t.Error("a disabled user has a token")
	}
	if _, err := run("new-token -email ines@client.example -client 1042 -name n"); err == nil || !strings.Contains(err.Error(), "is disabled") {
		t.Errorf("a token for a disabled user: %v", err)
	}
	done("enable -email ines@client.example -client 1042")
	done("role -email ines@client.example -client 1042 -role viewer")
	done("reach -email lea@soc.example -clients 1042")
	if list := done("list"); !regexp.MustCompile(`lea@soc\.example +Lea +lead +enabled, sees clients 1042`).MatchString(list) {
		t.Errorf("the users are %s", list)
	}
	if list := done("list -client 1042"); !regexp.MustCompile(`ines@client\.example +Ines +viewer +enabled`).MatchString(list) {
		t.Errorf("the users are %s", list)
	}
	if !holds(done("invite -name Nora -email nora@soc.example -role analyst")) {
		t.Error("the invitation is not good")
	}

	machine := done("new-service-token -client 1042 -name SIEM")
	if !holds(machine) {
		t.Error("the service token is not good")
	}
	done("revoke-service-token -client 1042 -id " + strings.Fields(done("service-tokens -client 1042"))[0])
	if holds(machine) {
		t.Error("a revoked service token is still good")
	}
	log, err := store.Run(db.InClient(t.Context(), store.SOC, client.ID), func(tx *store.Tx) ([]models.AuditEntry, error) { return tx.AuditLog(store.Cursor{}, 100) })
	if err != nil {
		t.Fatal(err)
	}
	if len(log) < 8 || time.Since(log[0].At) > time.Minute {
		t.Errorf("the audit log has %d entries", len(log))
	}
}
