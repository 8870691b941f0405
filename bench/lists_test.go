package bench

import (
	"testing"
)

// A first page of fifty entries costs so many pages of the database at most, however many rows there are: those of the
// entries, of their clients and of the index. An incident that is not over yet is one of few, and the filters by turn,
// containment and drill find theirs among few, too.
const maxPagesOfAList = 400

// Rows in the tables.
const listRows = 40_000

func TestAListCostsItsPageAndNotItsTable(t *testing.T) {
	if !hasStatistics() {
		t.Skip("pg_stat_statements is not installed, which counts the pages of the database that a statement reads")
	}
	a := startForCounting(t)
	if err := a.addRows(t.Context(), 0, listRows); err != nil {
		t.Fatal(err)
	}
	conn := a.databases.conns[dbTemporal]
	for _, l := range a.lists() {
		if _, err := conn.Exec(t.Context(), "select pg_stat_statements_reset()"); err != nil {
			t.Fatal(err)
		}
		if err := l.by.Get(t.Context(), l.path, nil); err != nil {
			t.Fatal(err)
		}
		var asked, pages int64
		err := conn.QueryRow(t.Context(), `select count(*), coalesce(max((shared_blks_hit + shared_blks_read) / calls), 0) from pg_stat_statements s
			join pg_database d on d.oid = s.dbid where d.datname = $1 and query ~ 'ORDER BY (opened_at|alerts.received_at) desc'`, dbOurs).Scan(&asked, &pages)
		if err != nil {
			t.Fatal(err)
		}
		if asked != 1 || pages > maxPagesOfAList {
			t.Errorf("%s for the %s reads %d pages of the database in %d statements, want %d at most in one", l.path, l.who, pages, asked, maxPagesOfAList)
		}
	}
}
