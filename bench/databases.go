package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
)

// The databases on the one server.
const (
	dbOurs       = "watchfire"
	dbTemporal   = "temporal"
	dbVisibility = "temporal_visibility"
)

// databases read what the server has been asked and how much it keeps, by database.
type databases struct {
	conns    map[string]*pgx.Conn
	counting bool // pg_stat_statements is there; else transactions are counted
}

// settingsFor adds the statement statistics to a server that has them installed.
func settingsFor() map[string]string {
	if !statistics() {
		return nil
	}
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "10000"}
}

// statistics reports whether the installed server comes with pg_stat_statements.
func statistics() bool {
	bin, err := devstack.FindPostgres()
	if err != nil {
		return false
	}
	for _, lib := range []string{"../lib", "../lib/postgresql", "../lib64/pgsql", "../lib/pgsql"} {
		if _, err := os.Stat(filepath.Join(bin, lib, "pg_stat_statements.so")); err == nil {
			return true
		}
	}
	return false
}

// openDatabases connects to each database as the server's owner.
func openDatabases(ctx context.Context, s *stack.Stack) (*databases, error) {
	d := &databases{conns: map[string]*pgx.Conn{}}
	for _, name := range []string{dbOurs, dbTemporal, dbVisibility} {
		c, err := pgx.Connect(ctx, s.Postgres.URL(name))
		if err != nil {
			d.close()
			return nil, fmt.Errorf("connect to database %s: %w", name, err)
		}
		d.conns[name] = c
	}
	if statistics() {
		_, err := d.conns[dbTemporal].Exec(ctx, "create extension if not exists pg_stat_statements")
		d.counting = err == nil
	}
	return d, nil
}

func (d *databases) close() {
	for _, c := range d.conns {
		_ = c.Close(context.Background()) // the server is stopped anyway
	}
}

// method says what is counted.
func (d *databases) method() string {
	if d.counting {
		return "pg_stat_statements: statements as clients sent them, begin and commit among them"
	}
	return "pg_stat_database: transactions, because pg_stat_statements is not installed"
}

// statements is how many statements each database has been sent so far.
func (d *databases) statements(ctx context.Context) (map[string]int64, error) {
	query := `select d.datname, coalesce(sum(s.calls), 0)::bigint from pg_database d
		left join pg_stat_statements s on s.dbid = d.oid where d.datname = any($1) group by 1`
	if !d.counting {
		query = `select datname, xact_commit + xact_rollback from pg_stat_database where datname = any($1)`
	}
	names := slices.Collect(maps.Keys(d.conns))
	rows, err := d.conns[dbTemporal].Query(ctx, query, names)
	if err != nil {
		return nil, fmt.Errorf("count statements: %w", err)
	}
	out := map[string]int64{}
	var name string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&name, &count}, func() error {
		out[name] = count
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count statements: %w", err)
	}
	return out, nil
}

// bytes is how much each database keeps on disk: tables with their indexes and long values.
func (d *databases) bytes(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	for name, c := range d.conns {
		var size int64
		err := c.QueryRow(ctx, `select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c
			join pg_namespace n on n.oid = c.relnamespace
			where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`).Scan(&size)
		if err != nil {
			return nil, fmt.Errorf("size of database %s: %w", name, err)
		}
		out[name] = size
	}
	return out, nil
}

// reading is everything that is read before and after a load.
type reading struct {
	usage
	statements, bytes map[string]int64
}

// before reads everything before a load, sizes first: what reading asks of the databases is none of the load's.
func (a *arena) before(ctx context.Context) (r reading, err error) {
	if r.bytes, err = a.databases.bytes(ctx); err != nil {
		return r, err
	}
	r.statements, err = a.databases.statements(ctx)
	r.usage = a.processes.read()
	return r, err
}

// after reads everything after a load, sizes last.
func (a *arena) after(ctx context.Context) (r reading, err error) {
	r.usage = a.processes.read()
	if r.statements, err = a.databases.statements(ctx); err != nil {
		return r, err
	}
	r.bytes, err = a.databases.bytes(ctx)
	return r, err
}
