// Package storetest gives tests a migrated, empty database of their own, and the application's login to it.
//
// One PostgreSQL serves a test process: the one WATCHFIRE_TEST_DATABASE_URL names (a superuser's address), or a
// private one that is started for the process and ends with it. Every test gets its own database, copied from a
// template that is migrated once. The rows that tests put into it do not live here.
package storetest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	settingURL   = "WATCHFIRE_TEST_DATABASE_URL"
	appLogin     = "watchfire_test"
	appPassword  = "loopback-only" // #nosec G101 -- of a throw-away database
	templateLock = 5120934477
	folderPrefix = "watchfire-storetest-"
	patience     = time.Minute

	databasePrefix = "watchfire_storetest_"
	leftOver       = 2 * time.Hour // longer than any test process runs
)

// server is the PostgreSQL of a test process.
type server struct {
	ownerURL string // of the maintenance database
	template string
}

// shared starts the process's server at its first use.
var shared = sync.OnceValues(start)

// New returns a store over a new database under the application's login, and the owner's address of that database
// for tests that look behind the store or tamper. Both end with the test.
func New(t testing.TB) (*store.Store, string) {
	t.Helper()
	ownerURL, appURL := URLs(t)
	s, err := store.Open(t.Context(), appURL, store.Options{Codes: Codes{}})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s, ownerURL
}

// Codes derives codes from one key that everybody knows.
type Codes struct{}

// Newest names the key.
func (Codes) Newest() string { return "test" }

// Derive returns the HMAC of the names.
func (Codes) Derive(key string, names ...string) ([]byte, error) {
	if key != "test" {
		return nil, errors.New("no such key")
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(strings.Join(names, "\n"))) // never fails
	return mac.Sum(nil), nil
}

// URLs returns the addresses of a new, migrated database for its owner and for the application's login. The
// database is dropped at the end of the test.
func URLs(t testing.TB) (ownerURL, appURL string) {
	t.Helper()
	pg, err := shared()
	if err != nil {
		t.Fatalf("database for tests: %v", err)
	}
	return pg.create(t, pg.template)
}

// EmptyURL returns the owner's address of a new database without a schema, for tests of migrations.
func EmptyURL(t testing.TB) (ownerURL, appURL string) {
	t.Helper()
	pg, err := shared()
	if err != nil {
		t.Fatalf("database for tests: %v", err)
	}
	return pg.create(t, "template0")
}

func (s server) create(t testing.TB, template string) (ownerURL, appURL string) {
	t.Helper()
	name := databaseName("test")
	if err := s.exec(t.Context(), "create database "+name+" template "+template); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.exec(ctx, "drop database "+name+" with (force)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	ownerURL = address(s.ownerURL, name, nil)
	return ownerURL, address(s.ownerURL, name, url.UserPassword(appLogin, appPassword))
}

func (s server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.ownerURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}

// address is base with another database and, unless it is nil, another user.
func address(base, database string, user *url.Userinfo) string {
	u, err := url.Parse(base)
	if err != nil {
		return base // start has parsed it before
	}
	u.Path = "/" + database
	if user != nil {
		u.User = user
	}
	return u.String()
}

func start() (server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ownerURL := os.Getenv(settingURL)
	if ownerURL == "" {
		var err error
		if ownerURL, err = startPrivate(ctx); err != nil {
			return server{}, err
		}
	}
	if u, err := url.Parse(ownerURL); err != nil || u.Host == "" {
		return server{}, errors.New(settingURL + " must be of the form postgres://user:password@host:port/database")
	}
	s := server{ownerURL: ownerURL}
	return s, s.prepare(ctx)
}

// startPrivate starts a server that the kernel ends with this process; its folder is removed by the next process
// that starts one.
func startPrivate(ctx context.Context) (string, error) {
	removeLeftOvers()
	dir, err := os.MkdirTemp("", folderPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("folder for PostgreSQL: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // #nosec G302 -- the server's user must pass
		return "", fmt.Errorf("folder for PostgreSQL: %w", err)
	}
	pg, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir, Settings: map[string]string{
		"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "64MB",
	}})
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	return pg.URL("postgres"), nil
}

// removeLeftOvers removes the folders of processes that are gone. A folder that cannot be removed is left to the next
// one.
func removeLeftOvers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*-*")) // the pattern is well-formed
	for _, dir := range dirs {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		pid, err := strconv.Atoi(id)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = devstack.RemovePostgres(dir) // a server that is still ending keeps it a little longer
		}
	}
}

// databaseName returns a new name that holds the time it was made, for dropLeftOvers.
func databaseName(use string) string {
	return fmt.Sprintf("%s%s_%d_%s", databasePrefix, use, time.Now().Unix(), strings.ToLower(rand.Text()))
}

// dropLeftOvers drops the databases of test processes that have long ended: templates, and those of killed tests.
func dropLeftOvers(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "select datname from pg_database where starts_with(datname, $1)", databasePrefix)
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, name := range names {
		parts := strings.Split(strings.TrimPrefix(name, databasePrefix), "_")
		made, err := strconv.ParseInt(parts[min(1, len(parts)-1)], 10, 64)
		if err != nil || time.Since(time.Unix(made, 0)) < leftOver {
			continue
		}
		if _, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)"); err != nil {
			return fmt.Errorf("drop database: %w", err)
		}
	}
	return nil
}

// prepare makes the application's login and a migrated template. Processes that share a server wait for each other.
func (s *server) prepare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.ownerURL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // which releases the lock
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(templateLock)); err != nil {
		return fmt.Errorf("wait for other processes: %w", err)
	}
	if err := dropLeftOvers(ctx, conn); err != nil {
		return err
	}
	fresh := databaseName("template")
	if _, err := conn.Exec(ctx, "create database "+fresh+" template template0"); err != nil {
		return fmt.Errorf("create template: %w", err)
	}
	freshURL := address(s.ownerURL, fresh, nil)
	if err := store.Migrate(ctx, freshURL); err != nil {
		return err
	}
	if err := store.EnsureLogin(ctx, freshURL, store.LoginOperator, appLogin, appPassword); err != nil {
		return err
	}
	s.template = fresh
	return nil
}
