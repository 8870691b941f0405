package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	postgresUser = "postgres" // the database superuser, whoever runs the server
	// oldestPostgres is the oldest major version the product supports.
	oldestPostgres = 15
	// postgresStart bounds a start, crash recovery included.
	postgresStart = 60 * time.Second
	// postgresRetry is how long launch repeats a start that fails at once.
	postgresRetry = 10 * time.Second
	// postgresConnections leaves room for Temporal, which opens as many as it may
	// for each service and store, besides the product and the tests.
	postgresConnections = 400
)

// PostgresOptions say where a PostgreSQL keeps its data and where it listens.
type PostgresOptions struct {
	// Dir holds the data, the password file and nothing else; StartPostgres creates
	// it, and says where the data goes when the server's user cannot reach it.
	Dir string
	// Port is the TCP port on 127.0.0.1; 0 takes a free one.
	Port int
	// Log receives the server's log and must be safe for concurrent use; nil drops it.
	Log io.Writer
	// Settings are server settings by name ("shared_preload_libraries":
	// "pg_stat_statements"). They add to the defaults here, or replace them.
	Settings map[string]string
}

// Postgres is a private PostgreSQL server. Its methods may be used from several
// goroutines.
type Postgres struct {
	binDir   string
	cluster  cluster
	port     int
	options  PostgresOptions
	mu       sync.Mutex
	process  *Process
	password string
}

// FindPostgres returns the folder with initdb and postgres: the newest among
// /usr/lib/postgresql/*/bin and the folder in which PATH finds initdb. Versions
// older than 15 do not count. The error says what to install.
func FindPostgres() (binDir string, err error) {
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(initdb))
	}
	newest := oldestPostgres - 1
	for _, folder := range folders {
		if version := serverVersion(folder); version > newest {
			binDir, newest = folder, version
		}
	}
	if binDir == "" {
		return "", fmt.Errorf("the PostgreSQL server (initdb and postgres, version %d or newer) is not installed: "+
			"`apt-get install postgresql` on Debian and Ubuntu, `dnf install postgresql-server` on Fedora and RHEL, "+
			"`apk add postgresql` on Alpine, `brew install postgresql@16` on macOS; "+
			"as root on Debian and Ubuntu `make setup` does it", oldestPostgres)
	}
	return binDir, nil
}

// serverVersion returns the major version of the server in the folder, or 0 when
// there is no complete one.
func serverVersion(binDir string) int {
	if !isExecutable(filepath.Join(binDir, "initdb")) {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	text, err := exec.CommandContext(ctx, filepath.Join(binDir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	var major int
	if _, err := fmt.Sscanf(string(text), "postgres (PostgreSQL) %d", &major); err != nil {
		return 0
	}
	return major
}

// isExecutable reports whether path is a file that may be run.
func isExecutable(path string) bool {
	found, err := os.Stat(path)
	return err == nil && !found.IsDir() && found.Mode()&0o111 != 0
}

// StartPostgres starts a PostgreSQL on the data of options.Dir, after creating
// the cluster when there is none, and returns when the server answers queries.
// The server listens on 127.0.0.1 only, with a generated SCRAM password that a
// file of mode 600 keeps, and with fsync on.
//
// initdb and the server do not run as root: under root they run as the system
// user postgres, else as nobody. When that user cannot reach Dir, a folder under
// the system's temporary directory keeps the data, and a file in Dir names it;
// RemovePostgres removes both.
func StartPostgres(ctx context.Context, options PostgresOptions) (*Postgres, error) {
	binDir, err := FindPostgres()
	if err != nil {
		return nil, err
	}
	port, err := portOrFree(options.Port, "PostgresOptions.Port")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	prepared, err := openCluster(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: data: %w", err)
	}
	password, err := prepared.initialise(ctx, binDir)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: data: %w", err)
	}
	p := &Postgres{binDir: binDir, cluster: prepared, port: port, options: options, password: password}
	if err := p.launch(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Port returns the server's TCP port on 127.0.0.1; it stays the same over restarts.
func (p *Postgres) Port() int { return p.port }

// URL returns the connection string of a database for the superuser. It contains
// the password: never log it.
func (p *Postgres) URL(database string) string {
	address := url.URL{
		Scheme: "postgres", Host: loopback(p.port), Path: "/" + database,
		User: url.UserPassword(postgresUser, p.password), RawQuery: "sslmode=disable",
	}
	return address.String()
}

// CreateDatabase creates the database unless it exists.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, p.URL(postgresUser))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		return err
	}
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Process returns the running server's process; after a restart it is another one.
func (p *Postgres) Process() *Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// Stop ends all connections, stops the server and returns when it has ended.
func (p *Postgres) Stop() { p.Process().Stop() }

// Kill ends the server with SIGKILL, like a crash of the machine.
func (p *Postgres) Kill() { p.Process().Kill() }

// Restart starts the server again on the same port and data, after stopping it
// when it still runs, and returns when it answers queries.
func (p *Postgres) Restart(ctx context.Context) error {
	p.Stop()
	return p.launch(ctx)
}

// launch starts the server and waits until it answers. A start may fail while
// processes of a killed predecessor still end, so launch repeats a failed start.
func (p *Postgres) launch(ctx context.Context) error {
	if pid, running := p.cluster.runningServer(); running {
		return fmt.Errorf("start PostgreSQL: a server (pid %d) already runs on %s: stop the other stack or use another folder", pid, p.cluster.data)
	}
	ctx, cancel := context.WithTimeout(ctx, postgresStart)
	defer cancel()
	for begin := time.Now(); ; {
		log := newOutput(p.options.Log, "")
		process, err := start(ctx, p.serverCommand(log))
		if err != nil {
			return err
		}
		err = p.waitReady(ctx, process)
		if err == nil {
			p.mu.Lock()
			p.process = process
			p.mu.Unlock()
			return nil
		}
		process.Stop()
		if time.Since(begin) > postgresRetry || sleep(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("start PostgreSQL: not ready: %w%s", err, log.Tail())
		}
	}
}

// serverCommand returns the command line of the server, its settings in the order of their names.
func (p *Postgres) serverCommand(log io.Writer) command {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "",
		"max_connections":         strconv.Itoa(postgresConnections),
		"fsync":                   "on",
		"shared_buffers":          "256MB",
	}
	maps.Copy(settings, p.options.Settings)
	args := []string{"-D", p.cluster.data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return command{
		name: "PostgreSQL", binary: filepath.Join(p.binDir, "postgres"), args: args, dir: "/",
		env: []string{"LC_ALL=C"}, user: p.cluster.user, stdout: log, stderr: log,
		// SIGINT is PostgreSQL's fast stop, SIGQUIT its immediate one: with both the
		// server ends its own processes too, which SIGKILL would leave behind.
		stopSignal: syscall.SIGINT, deathSignal: syscall.SIGQUIT,
	}
}

// waitReady returns when the server answers a query, when its process ends, or
// when ctx does.
func (p *Postgres) waitReady(ctx context.Context, process *Process) error {
	for {
		err := p.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-process.Done():
			return errors.Join(process.Err(), err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// ping connects once, within five seconds.
func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL(postgresUser))
	if err != nil {
		return errors.New(strings.TrimSpace(err.Error()))
	}
	return conn.Close(ctx)
}

// sleep waits for d, or returns the error of ctx when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
