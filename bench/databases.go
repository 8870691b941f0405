package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
)

// The names of the databases on the server.
const (
	dbOurs       = "watchfire"
	dbTemporal   = "temporal"
	dbVisibility = "temporal_visibility"
)

// databases reads how many statements each database has executed and how much data it holds.
type databases struct {
	conns            map[string]*pgx.Conn // by name
	countsStatements bool                 // pg_stat_statements is there; without it, transactions are counted
}

// statisticsSettings returns the server settings that turn the statement statistics on, where they are installed.
func statisticsSettings() map[string]string {
	if !hasStatistics() {
		return nil
	}
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "10000"}
}

// hasStatistics reports whether the installed server comes with pg_stat_statements.
func hasStatistics() bool {
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

// databaseNames lists the databases in the order of the report.
func databaseNames() []string { return []string{dbOurs, dbTemporal, dbVisibility} }

// openDatabases connects to each database as the server's owner.
func openDatabases(ctx context.Context, s *stack.Stack) (*databases, error) {
	d := &databases{conns: map[string]*pgx.Conn{}}
	for _, name := range databaseNames() {
		c, err := pgx.Connect(ctx, s.Postgres.URL(name))
		if err != nil {
			d.close()
			return nil, fmt.Errorf("connect to database %s: %w", name, err)
		}
		d.conns[name] = c
	}
	if hasStatistics() {
		_, err := d.conns[dbTemporal].Exec(ctx, "create extension if not exists pg_stat_statements")
		d.countsStatements = err == nil
	}
	return d, nil
}

func (d *databases) close() {
	for _, c := range d.conns {
		_ = c.Close(context.Background()) // the server stops right after
	}
}

// method tells a person what the numbers of statements count.
func (d *databases) method() string {
	if d.countsStatements {
		return "pg_stat_statements: statements as clients sent them, begin and commit among them"
	}
	return "pg_stat_database: transactions, because pg_stat_statements is not installed"
}

// statements returns how many statements each database has been sent so far, by name.
func (d *databases) statements(ctx context.Context) (map[string]int64, error) {
	query := `select d.datname, coalesce(sum(s.calls), 0)::bigint from pg_database d
		left join pg_stat_statements s on s.dbid = d.oid where d.datname = any($1) group by 1`
	if !d.countsStatements {
		query = `select datname, xact_commit + xact_rollback from pg_stat_database where datname = any($1)`
	}
	rows, err := d.conns[dbTemporal].Query(ctx, query, databaseNames())
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

// bytes returns the size of each database's tables on disk, with their indexes and long values, by name.
func (d *databases) bytes(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	for _, name := range databaseNames() {
		var size int64
		err := d.conns[name].QueryRow(ctx, `select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c
			join pg_namespace n on n.oid = c.relnamespace
			where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`).Scan(&size)
		if err != nil {
			return nil, fmt.Errorf("size of database %s: %w", name, err)
		}
		out[name] = size
	}
	return out, nil
}

// reading holds the values that are read before and after a load.
type reading struct {
	usage
	statements, bytes map[string]int64
}

// readBefore reads the values before a load, sizes first: the statements of the reading do not count as the load's.
func (a *arena) readBefore(ctx context.Context) (r reading, err error) {
	if r.bytes, err = a.databases.bytes(ctx); err != nil {
		return r, err
	}
	r.statements, err = a.databases.statements(ctx)
	r.usage = a.processes.read()
	return r, err
}

// readAfter reads the values after a load, sizes last.
func (a *arena) readAfter(ctx context.Context) (r reading, err error) {
	r.usage = a.processes.read()
	if r.statements, err = a.databases.statements(ctx); err != nil {
		return r, err
	}
	r.bytes, err = a.databases.bytes(ctx)
	return r, err
}
