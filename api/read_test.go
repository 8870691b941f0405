package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
)

// rows sums up every row of every table, as the owner sees it: a row that is added, changed or removed changes the sum.
func (w *world) rows() map[string]string {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.ownerURL)
	w.ok(err)
	defer conn.Close(w.Context())
	names, err := conn.Query(w.Context(), `select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables
		where schemaname not in ('pg_catalog', 'information_schema')`)
	w.ok(err)
	tables, err := pgx.CollectRows(names, pgx.RowTo[string])
	w.ok(err)
	sums := map[string]string{}
	for _, table := range tables {
		var sum string
		w.ok(conn.QueryRow(w.Context(), `select count(*) || ' ' || coalesce(md5(string_agg(b, ' ' order by b)), '')
			from (select (to_jsonb(t) - 'last_used_at')::text as b from `+table+` t) x`).Scan(&sum))
		sums[table] = sum
	}
	return sums
}

// asked counts what the engine was asked to do.
func (w *world) asked() string {
	return fmt.Sprint(w.engine.Executed(), len(w.engine.Signals()), w.engine.Workflows())
}

func TestAReadChangesNothing(t *testing.T) {
	w := newWorld(t)
	reads := 0
	for path, item := range w.doc.Paths.Map() {
		op := item.Get
		if op == nil {
			continue
		}
		reads++
		for _, who := range []string{"operator", "admin"} {
			r := w.example(who, http.MethodGet, path, op)
			rows, asked := w.rows(), w.asked()
			answer := w.send(r)
			for table, now := range w.rows() {
				if now != rows[table] {
					t.Errorf("%s by the %s, answered with %d, changed rows of %s", op.OperationID, who, answer.StatusCode, table)
				}
			}
			if now := w.asked(); now != asked {
				t.Errorf("%s by the %s, answered with %d, asked the engine for something", op.OperationID, who, answer.StatusCode)
			}
		}
	}
	if reads == 0 {
		t.Fatal("the document has no operation that reads")
	}
}
