package devstack_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack"
)

func TestPostgresKeepsItsDataOverKillAndRestart(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "postgres")
	postgres := startPostgres(t, dir)
	if err := postgres.CreateDatabase(ctx, "watchfire"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.CreateDatabase(ctx, "watchfire"); err != nil {
		t.Fatalf("creating an existing database: %v", err)
	}
	execute(t, postgres, "create table kept (value int)")
	execute(t, postgres, "insert into kept values (42)")

	postgres.Kill()
	if err := postgres.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	expectValue(t, postgres, "select value::text from kept", "42")

	postgres.Stop()
	again := startPostgres(t, dir)
	expectValue(t, again, "select value::text from kept", "42")
	expectValue(t, again, "show fsync", "on")
	expectValue(t, again, "show listen_addresses", "127.0.0.1")
}

func TestPostgresNeedsThePasswordOfItsPrivateFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "postgres")
	postgres := startPostgres(t, dir)
	file, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil {
		t.Fatal(err)
	}
	if file.Mode().Perm() != 0o600 {
		t.Errorf("password file has mode %v, want 0600", file.Mode().Perm())
	}
	config, err := pgx.ParseConfig(postgres.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "guessed"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password was let in")
	}
}

func TestStartPostgresRejectsATakenPort(t *testing.T) {
	postgres := startPostgres(t, filepath.Join(t.TempDir(), "first"))
	_, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{
		Dir: filepath.Join(t.TempDir(), "second"), Port: postgres.Port(),
	})
	if err == nil || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("error is %v, want one that says the port is in use", err)
	}
}

func TestStartPostgresRejectsAFolderInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "postgres")
	postgres := startPostgres(t, dir)
	_, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "already runs") {
		t.Errorf("error is %v, want one that says a server already runs there", err)
	}
	if err := devstack.RemovePostgres(dir); err == nil {
		t.Error("the folder of a running server was removed")
	}
	expectValue(t, postgres, "select 1::text", "1")
}

func TestRemovePostgresStartsOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "postgres")
	postgres := startPostgres(t, dir)
	if err := postgres.CreateDatabase(t.Context(), "watchfire"); err != nil {
		t.Fatal(err)
	}
	postgres.Stop()
	if err := devstack.RemovePostgres(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there", dir)
	}
	fresh := startPostgres(t, dir)
	expectValue(t, fresh, "select count(*)::text from pg_database where datname = 'watchfire'", "0")
}

// startPostgres starts a server that the test's end stops and removes.
func startPostgres(t *testing.T, dir string) *devstack.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	postgres, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		postgres.Stop()
		if err := devstack.RemovePostgres(dir); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return postgres
}

func execute(t *testing.T, postgres *devstack.Postgres, sql string) {
	t.Helper()
	conn := connect(t, postgres)
	defer closeConn(t, conn)
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func expectValue(t *testing.T, postgres *devstack.Postgres, sql, want string) {
	t.Helper()
	conn := connect(t, postgres)
	defer closeConn(t, conn)
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

func connect(t *testing.T, postgres *devstack.Postgres) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), postgres.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func closeConn(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
