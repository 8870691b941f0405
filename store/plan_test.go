package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/store"
)

// The queue of the SOC costs the same however many alerts and incidents all clients have.
func TestListsOfEveryClientFollowAnIndex(t *testing.T) {
	h := newHouse(t)
	h.published(h.acme, "open")
	h.owner(`insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill, expedited, revision,
			open_tasks, seq, last_hash, state, request_id, fingerprint, opened_at, updated_at)
		select client_id, reference || n, title, severity, phase, turn, containment, drill, expedited, revision,
			open_tasks, seq, last_hash, state, 'request ' || n, fingerprint, opened_at + n * interval '1 second', updated_at
		from incidents, generate_series(1, 5000) n`)
	h.owner(`insert into alerts (client_id, id, source, finding_id, title, detail, severity, techniques, indicators, hostnames, received_at, updated_at, version, problem)
		select c.id, gen_random_uuid(), 'realtime', 'f' || n, 't', '', 'high', '[]', '[]', '[]', $1::timestamptz + n * interval '1 second', $1, 1, ''
		from clients c, generate_series(1, 5000) n`, noon)
	h.owner("analyze incidents, alerts, clients")
	middle := store.Cursor{At: noon.Add(2500 * time.Second), ID: uuid.NewString()}
	lists := map[string]func(*store.Tx) error{
		"alerts_latest": func(tx *store.Tx) error {
			_, err := tx.Alerts(store.AlertFilter{}, middle, 51)
			return err
		},
		"incidents_latest": func(tx *store.Tx) error {
			_, err := tx.Incidents(store.IncidentFilter{}, store.Cursor{At: middle.At, ID: "SI-1001-0001"}, 51)
			return err
		},
	}
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		for index, read := range lists {
			queries, err := tx.Watched(read)
			h.ok(err)
			lines, err := tx.Texts("explain " + queries[0].SQL)
			h.ok(err)
			if plan := strings.Join(lines, "\n"); !strings.Contains(plan, "using "+index+" on") || strings.Contains(plan, "Sort") {
				t.Errorf("a page is not read by %s:\n%s", index, plan)
			}
		}
		return nil
	}))
}
