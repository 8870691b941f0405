package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// archive is a database with an incident of five events, of which three were signed, and the keys of the signature.
type archive struct {
	*testing.T
	store    *store.Store
	owner    *pgx.Conn
	client   models.Client
	ref      models.Reference
	public   string
	exported string // a file
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	ownerURL, appURL := storetest.URLs(t)
	keyset, err := secrets.GenerateSigner("")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATABASE_URL", appURL)
	t.Setenv("CHECKPOINT_KEYSET", keyset)
	a := &archive{T: t, exported: filepath.Join(t.TempDir(), "checkpoints")}
	a.ok(err)
	if a.public, err = secrets.VerifierKeyset(keyset, ""); err != nil {
		t.Fatal(err)
	}
	a.store, err = store.Open(t.Context(), appURL, store.Options{})
	a.ok(err)
	t.Cleanup(func() { _ = a.store.Close() })
	a.owner, err = pgx.Connect(t.Context(), ownerURL)
	a.ok(err)
	t.Cleanup(func() { _ = a.owner.Close(context.WithoutCancel(t.Context())) })
	a.client, err = a.store.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "c", "")
	a.ok(err)
	soc := models.Actor{Side: models.SideSOC, ID: "4b8e9d6e-2b83-4c8a-9a43-0d5f0a3f3c11", Role: models.RoleAnalyst}
	var i incident.Incident
	a.ok(a.store.ForClient(t.Context(), store.SOC, a.client.ID, func(tx *store.Tx) (err error) {
		i, err = tx.OpenIncident(incident.Opened{Title: "T", Severity: models.SeverityLow}, soc, tx.Now(), "r", "f")
		return err
	}))
	a.ref = i.Reference
	record := func(texts ...string) {
		var events []incident.Event
		for _, text := range texts {
			e := incident.NewEvent(i, time.Now().UTC().Truncate(time.Microsecond), soc, &incident.Recommended{ID: "r" + text, Text: text})
			a.ok(i.Apply(e))
			events = append(events, e)
		}
		a.ok(a.store.ForClient(t.Context(), store.Worker, a.client.ID, func(tx *store.Tx) error { return tx.Record(a.ref, events) }))
	}
	record("one", "two")
	a.says("1 event logs were signed", nil, runCheckpoint)
	a.says("0 event logs were signed", nil, runCheckpoint)
	record("three", "four")
	return a
}

func (a *archive) ok(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// says runs a command, which must succeed, and returns its output, which must hold a text.
func (a *archive) says(want string, args []string, run func(context.Context, []string, io.Writer) error) string {
	a.Helper()
	var out strings.Builder
	a.ok(run(a.Context(), args, &out))
	if !strings.Contains(out.String(), want) {
		a.Errorf("got %q, want %q", out.String(), want)
	}
	return out.String()
}

// change does what nobody but the tables' owner can, past every trigger.
func (a *archive) change(statements ...string) {
	a.Helper()
	for _, s := range append([]string{"set session_replication_role = replica"}, statements...) {
		_, err := a.owner.Exec(a.Context(), s)
		a.ok(err)
	}
}

// rewrite changes an event and makes the chain of hashes and the state anew, as somebody would who knows the product.
func (a *archive) rewrite(from, to string) {
	a.Helper()
	a.change("update events set body = replace(body::text, '"+from+"', '"+to+"')::json", "update incidents set state = replace(state::text, '"+from+"', '"+to+"')::jsonb")
	rows, err := a.owner.Query(a.Context(), "select seq, body::text from events order by seq")
	a.ok(err)
	bodies, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Seq  int
		Body string
	}])
	a.ok(err)
	var last []byte
	for _, e := range bodies {
		sum := sha256.Sum256(append(last, e.Body...))
		last = sum[:]
		_, err := a.owner.Exec(a.Context(), "update events set hash = $1 where seq = $2", last, e.Seq)
		a.ok(err)
		_, err = a.owner.Exec(a.Context(), "update incidents set last_hash = $1", last)
		a.ok(err)
	}
}

func TestVerifyFindsWhatWasChangedBehindOurBack(t *testing.T) {
	const cut = "update incidents set seq = 2, state = (select jsonb_build_object()), last_hash = (select hash from events where seq = 2)"
	for name, c := range map[string]struct {
		tamper  func(a *archive)
		outside bool // with the checkpoints that are kept elsewhere
		want    string
	}{
		"nothing": {func(*archive) {}, false, "^1 incidents, 1 checkpoints, 0 do not fit\n$"},
		"one event": {func(a *archive) {
			a.change("update events set body = replace(body::text, 'two', '222')::json where seq = 3")
		}, false,
			"^event 3 of SI-1001-0001 does not match its hash\n"},
		"an event and the chain after it": {func(a *archive) { a.rewrite("two", "222") }, false,
			"^the events 1 to 3 of SI-1001-0001 are not those of "},
		"an event after the checkpoint": {func(a *archive) { a.rewrite("four", "444") }, false, "^1 incidents, 1 checkpoints, 0 do not fit\n$"},
		"the tail":                      {func(a *archive) { a.change("delete from events where seq > 2", cut) }, false, "^the events 3 to 3 of SI-1001-0001 are gone"},
		"the tail and its checkpoint":   {func(a *archive) { a.change("delete from events where seq > 2", cut, "delete from checkpoints") }, true, "^the events 3 to 3 of SI-1001-0001 are gone"},
		"the chain, and the checkpoint": {func(a *archive) {
			a.rewrite("two", "222")
			a.change("update checkpoints set hash = (select hash from events where seq = 3)")
		}, false, "^the checkpoint of event 3 of SI-1001-0001 is not signed by us\n"},
		"the incident": {func(a *archive) { a.change("delete from checkpoints", "delete from events", "delete from incidents") }, true, "^SI-1001-0001 is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			a.ok(os.WriteFile(a.exported, []byte(a.says("SI-1001-0001", []string{"-export"}, runCheckpoint)), 0o600))
			c.tamper(a)
			args := []string{"-keyset", a.public}
			if c.outside {
				args = append(args, "-checkpoints", a.exported)
			}
			var out strings.Builder
			err := runVerify(t.Context(), args, &out)
			if !regexp.MustCompile(c.want).MatchString(out.String()) || (err == nil) != strings.Contains(out.String(), " 0 do not fit") {
				t.Errorf("got %q, %v, want %q", out.String(), err, c.want)
			}
		})
	}
}

// TestAnAlteredLogIsAnAlarm: whoever changes a log or cuts it off, also back to where it was signed once, is found within
// the hour, and an operator is told until the log is whole.
func TestAnAlteredLogIsAnAlarm(t *testing.T) {
	const (
		keep    = "create table kept as select * from events where seq > 3; create table whole as select * from incidents"
		cut     = "delete from events where seq > 3; update incidents set seq = 3, last_hash = (select hash from events where seq = 3)"
		restore = "insert into events select * from kept; update incidents i set seq = w.seq, last_hash = w.last_hash from whole w"
	)
	for name, c := range map[string]struct{ alter, undo func(*archive) }{
		"changed": {func(a *archive) { a.rewrite("two", "222") }, func(a *archive) { a.rewrite("222", "two") }},
		"cut off": {func(a *archive) {
			a.says("1 event logs were signed", nil, runCheckpoint)
			a.change(keep, cut)
		}, func(a *archive) { a.change(restore) }},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			a.wantAlarms(0)
			c.alter(a)
			for range 2 {
				if err := runCheckpoint(t.Context(), nil, io.Discard); err == nil {
					t.Error("it was signed")
				}
				a.wantAlarms(1)
			}
			c.undo(a)
			a.says("", nil, runCheckpoint)
			a.wantAlarms(0)
		})
	}
}

// wantAlarms checks how many alarms about the archive's log are open.
func (a *archive) wantAlarms(want int) {
	a.Helper()
	open := -1
	a.ok(a.owner.QueryRow(a.Context(), "select count(*) from operator_alarms where ended_at is null and kind = 'log_altered' and subject = 'SI-1001-0001'").Scan(&open))
	if open != want {
		a.Errorf("%d alarms are open, want %d", open, want)
	}
}

// TestAChangedLogIsNotSigned: a signature must not make good what somebody changed before.
func TestAChangedLogIsNotSigned(t *testing.T) {
	a := newArchive(t)
	a.rewrite("two", "222")
	var out strings.Builder
	if err := runCheckpoint(t.Context(), nil, &out); err == nil || !strings.Contains(err.Error(), "the events 1 to 3 of SI-1001-0001") {
		t.Errorf("got %q, %v", out.String(), err)
	}
	a.rewrite("222", "two")
	a.says("1 event logs were signed", nil, runCheckpoint)
	stranger, err := secrets.GenerateSigner("")
	a.ok(err)
	public, err := secrets.VerifierKeyset(stranger, "")
	a.ok(err)
	if err := runVerify(t.Context(), []string{"-keyset", public}, &out); err == nil {
		t.Error("another keyset verifies our checkpoints")
	}
	if _, err := openSigner(config.Config{CheckpointKeyset: public}); err == nil {
		t.Error("a public keyset signs")
	}
}
