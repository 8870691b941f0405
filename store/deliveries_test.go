package store_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// deliveries lists the effects of an incident as a worker of a client sees them; all that tests make fit on a page.
func (h *house) deliveries(te tenant, r models.Reference) []notify.Delivery {
	h.Helper()
	var all []notify.Delivery
	h.as(store.Worker, te, func(tx *store.Tx) (err error) {
		all, err = tx.Deliveries(r, store.Cursor{}, 1000)
		return err
	})
	return all
}

func TestDeliveriesNameContacts(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 3)
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Intend(notify.EndpointEffect(i.Reference, h.acme.ID, notify.PurposeIsolate, "e1", 1, 1), noon.Add(time.Second))
		return err
	})
	h.advance(h.acme, "sendgrid", store.VendorReport{EventID: "e", Effect: row.ID, State: "deferred", Rank: 2, Sequence: -1, Detail: "421"})
	look := func(who string, tx *store.Tx) error {
		all, err := tx.Deliveries(i.Reference, store.Cursor{}, 10)
		h.ok(err)
		equal(t, who+": deliveries", len(all), 2)
		equal(t, who+": incident", all[0].Incident, i.Reference)
		equal(t, who+": name", all[0].ContactName, h.acme.contact.Name)
		equal(t, who+": contact", all[0].Contact, h.acme.contact.ID)
		equal(t, who+": occurrence", all[0].Occurrence, 3)
		same(t, who+": words", all[0].States, []notify.DeliveryState{{State: "deferred", At: noon, Detail: "421"}})
		equal(t, who+": endpoint", all[1].Endpoint, "e1")
		equal(t, who+": contact of an isolation", all[1].Contact, uuid.Nil)
		same(t, who+": words on an isolation", all[1].States, []notify.DeliveryState{})
		return nil
	}
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			before := h.Statements()
			defer func() { equal(t, "statements", h.Statements()-before, 2) }()
			return look(string(who), tx)
		})
	}
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error { return look("over all clients", tx) }))
	equal(t, "deliveries of another client's incident", len(h.deliveries(h.other, i.Reference)), 0)
}

// reading reads a page of deliveries.
type reading func(tx *store.Tx, c store.Cursor, limit int) ([]notify.Delivery, error)

func ofIncident(r models.Reference) reading {
	return func(tx *store.Tx, c store.Cursor, limit int) ([]notify.Delivery, error) {
		return tx.Deliveries(r, c, limit)
	}
}

func ofContact(id uuid.UUID) reading {
	return func(tx *store.Tx, c store.Cursor, limit int) ([]notify.Delivery, error) {
		return tx.ContactDeliveries(id, c, limit)
	}
}

// keys reads a list of deliveries to its end, page by page, and returns their keys. On each delivery there must be one
// word, and only the words of a page may be read with it.
func (read reading) keys(t *testing.T, tx *store.Tx, limit int) (keys []string) {
	t.Helper()
	for c := (store.Cursor{}); ; {
		var page []notify.Delivery
		queries, err := tx.Watched(func(tx *store.Tx) (err error) {
			page, err = read(tx, c, limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for n, q := range queries {
			equal(t, fmt.Sprintf("rows of query %d", n), int(q.Rows), len(page))
		}
		equal(t, "queries", len(queries), 1+min(len(page), 1))
		for _, d := range page {
			same(t, "words on "+d.Key, d.States, []notify.DeliveryState{{State: "word on " + d.Key, At: noon}})
			keys = append(keys, d.Key)
			c = store.Cursor{At: d.PlannedAt, ID: d.ID.String()}
		}
		switch {
		case len(page) < limit:
			return keys
		case len(keys) > 100:
			t.Fatalf("the list does not end: %v", keys)
		}
	}
}

func TestDeliveriesAreReadInPages(t *testing.T) {
	h := newHouse(t)
	i, another, foreign := h.published(h.acme, "open"), h.published(h.acme, "another"), h.published(h.other, "open")
	var rows []store.LedgerRow // of Acme, all to one contact
	intend := func(te tenant, e notify.Effect, at time.Time) store.LedgerRow {
		var row store.LedgerRow
		h.as(store.Worker, te, func(tx *store.Tx) (err error) {
			row, err = tx.Intend(e, at)
			return err
		})
		h.advance(te, "v", store.VendorReport{EventID: e.Key, Effect: row.ID, State: "word on " + e.Key, Rank: 1, Sequence: -1})
		return row
	}
	for n := range 8 { // moments are shared, and earlier ones are planned later
		rows = append(rows, intend(h.acme, message(h.acme, i, models.ChannelEmail, n+1), noon.Add(-time.Duration(n/3)*time.Microsecond)))
	}
	rows = append(rows, intend(h.acme, message(h.acme, another, models.ChannelEmail, 1), noon))
	test := intend(h.acme, notify.ChannelCheckEffect(h.acme.ID, h.acme.Number, notify.PurposeTest, h.acme.contact.ID, models.ChannelEmail, "r"), noon)
	rows = append(rows, test)
	intend(h.other, message(h.other, foreign, models.ChannelEmail, 1), noon)

	slices.SortFunc(rows, func(a, b store.LedgerRow) int {
		return cmp.Or(a.PlannedAt.Compare(b.PlannedAt), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	var about, to, published []string // of the incident; of the contact, and what the client's users may see of that
	for _, row := range rows {
		if row.Incident == i.Reference {
			about = append(about, row.Key)
		}
		to = append([]string{row.Key}, to...)
		if row.Key != test.Key {
			published = append([]string{row.Key}, published...)
		}
	}
	equal(t, "effects", [3]int{len(about), len(to), len(published)}, [3]int{8, 10, 9})
	for _, limit := range []int{1, 2, 3, 8, 10, 11} {
		what := fmt.Sprintf(", %d at once", limit)
		for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
			h.as(who, h.acme, func(tx *store.Tx) error {
				same(t, string(who)+": about the incident"+what, ofIncident(i.Reference).keys(t, tx, limit), about)
				return nil
			})
		}
		h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
			h.ok(tx.Exec("set local enable_indexscan = off"))
			h.ok(tx.Exec("set local enable_bitmapscan = off")) // the order must not come from an index alone
			same(t, "over all clients: about the incident"+what, ofIncident(i.Reference).keys(t, tx, limit), about)
			same(t, "over all clients: to the contact"+what, ofContact(h.acme.contact.ID).keys(t, tx, limit), to)
			return nil
		}))
		h.as(store.SOC, h.acme, func(tx *store.Tx) error {
			same(t, "to the contact"+what, ofContact(h.acme.contact.ID).keys(t, tx, limit), to)
			same(t, "to another client's contact"+what, ofContact(h.other.contact.ID).keys(t, tx, limit), []string(nil))
			return nil
		})
		h.as(store.Portal, h.acme, func(tx *store.Tx) error {
			same(t, "to the contact, as the client sees it"+what, ofContact(h.acme.contact.ID).keys(t, tx, limit), published)
			return nil
		})
	}
	for _, read := range []reading{ofIncident(i.Reference), ofContact(h.acme.contact.ID)} {
		h.fails(h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
			_, err := read(tx, store.Cursor{At: noon, ID: "SI-1001-0001"}, 4)
			return err
		}), models.Invalid)
	}
}

// A page costs the same wherever in a long list it is: an index has its order and its beginning.
func TestPagesOfDeliveriesFollowAnIndex(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	const many, moment = 3000, "$2::timestamptz + n * interval '1 second'"
	h.owner(`insert into incidents (client_id, reference, title, severity, phase, turn, containment, drill, expedited, revision,
			open_tasks, seq, last_hash, state, request_id, fingerprint, opened_at, updated_at)
		select client_id, reference || n, title, severity, phase, turn, containment, drill, expedited, revision,
			open_tasks, seq, last_hash, state, 'request ' || n, fingerprint, opened_at, updated_at
		from incidents, generate_series(1, 100) n`)
	effects := `insert into effects (client_id, key, id, token, kind, incident, purpose, revision, contact_id, endpoint, workflow, state, vendor,
			vendor_id, vendor_state, vendor_rank, vendor_sequence, outcome, reason, attempts, planned_at, updated_at)
		select $1, reference || ' ' || n, gen_random_uuid(), reference || ' ' || n, 'mail', reference, 'published', 1, $4, '', '', 'accepted', 'v',
			'', '', -1, -1, '', '', 1, ` + moment + `, $2 from incidents, generate_series(1, $5) n where (reference = $3) = ($4::uuid is not null)`
	h.owner(effects, h.acme.ID, noon, i.Reference, h.acme.contact.ID, many)
	h.owner(effects, h.acme.ID, noon, i.Reference, nil, 100)
	h.owner(`insert into effect_states select client_id, 'v', 'event ' || key, key, 'delivered', 1, '', planned_at, planned_at from effects`)
	h.owner("analyze effects, effect_states")
	middle := store.Cursor{At: noon.Add(many / 2 * time.Second), ID: uuid.NewString()}
	look := func(tx *store.Tx, read reading, index string) error {
		queries, err := tx.Watched(func(tx *store.Tx) error {
			_, err := read(tx, middle, 51)
			return err
		})
		h.ok(err)
		equal(t, "queries", len(queries), 2)
		var plans [2]string
		for n, q := range queries {
			lines, err := tx.Texts("explain " + q.SQL)
			h.ok(err)
			plans[n] = strings.Join(lines, "\n")
		}
		begins := regexp.MustCompile(`using ` + index + ` on effects.*\n.*Index Cond: .*ROW\(planned_at, id\)`)
		if !begins.MatchString(plans[0]) || strings.Contains(plans[0], "Sort") {
			t.Errorf("a page is not read by %s:\n%s", index, plans[0])
		}
		if !strings.Contains(plans[1], "effect_states_of_effect") {
			t.Errorf("the words on a page are not found by an index:\n%s", plans[1])
		}
		return nil
	}
	for _, who := range []store.Audience{store.SOC, store.Portal} {
		h.as(who, h.acme, func(tx *store.Tx) error { return look(tx, ofIncident(i.Reference), "effects_incident_planned") })
	}
	h.as(store.SOC, h.acme, func(tx *store.Tx) error { return look(tx, ofContact(h.acme.contact.ID), "effects_contact_planned") })
}

func TestWordsAreListedAsTheyCame(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 1)
	word := func(state string, rank int, at time.Time) store.VendorReport {
		return store.VendorReport{EventID: fmt.Sprint("event ", 9-rank), Effect: row.ID, State: state, Rank: rank, Sequence: -1, At: at}
	}
	second := noon.Truncate(time.Second) // a vendor may count in seconds
	h.advance(h.acme, "v", word("delivered", 4, second), word("deferred", 2, second), word("accepted", 0, second.Add(-time.Second)))
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Advance("v", []store.VendorReport{word("a late one", 1, second.Add(-time.Hour))}, noon.Add(time.Minute))
		return err
	})
	var states []string
	for _, s := range h.deliveries(h.acme, i.Reference)[0].States {
		states = append(states, s.State)
	}
	same(t, "words", states, []string{"accepted", "deferred", "delivered", "a late one"})
}
