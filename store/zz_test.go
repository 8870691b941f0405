package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestZZ(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	h.owner(`insert into effects (client_id, key, id, token, kind, incident, purpose, revision, contact_id, endpoint, workflow, state, vendor, vendor_id, vendor_state, vendor_rank, vendor_sequence, outcome, reason, attempts, planned_at, updated_at)
	select $1, 'k' || n, gen_random_uuid(), 't'||n, case when n % 10 = 0 then 'text' else 'mail' end, $2, 'published', 1, $3, '', 'w', 'accepted', 'v', 'v'||n, '', -1, -1, '', '', 1, now() - n * interval '1 second', now() from generate_series(1, 200000) n`, h.acme.ID, i.Reference, h.acme.contact.ID)
	h.owner(`insert into contacts (client_id, id, name, role, email, phone, language, call_order, severities, channels, request_id)
	select $1, gen_random_uuid(), 'n', 'r', 'e', '+1' || n, 'en', 1, '[]', '[]', 'r' || n from generate_series(1, 50000) n`, h.other.ID)
	h.owner("analyze")
	ids := ownerTexts(t, h.ownerURL, "select id::text from effects order by random() limit 1000")
	var words []store.Word
	for n, id := range ids {
		words = append(words, store.Word{EventID: fmt.Sprint("e", n), Effect: uuid.MustParse(id), State: "delivered", Rank: 4, Sequence: -1, At: noon, Detail: "250 OK"})
	}
	for range 3 {
		start := time.Now()
		m := h.advance(h.acme, "v", words...)
		t.Log("1000 words on 1000 effects of 200000:", len(m), time.Since(start))
		for n := range words { words[n].EventID += "x"; words[n].Rank++ }
	}
	start := time.Now()
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.AwaitedReplies(h.acme.contact.Phone, noon.Add(-1e18))
		t.Log("replies", len(rows), time.Since(start))
		return err
	}))
	start = time.Now()
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		plan, err := tx.Texts("explain analyze select * from effects where client_id = ? and id in (select jsonb_array_elements_text(?::jsonb)::uuid) order by key for no key update", h.acme.ID, `["`+strings.Join(ids, `","`)+`"]`)
		t.Log(strings.Join(plan, "\n"))
		return err
	})
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		plan, err := tx.Texts("explain analyze select effects.* from effects join contacts c on c.client_id = effects.client_id and c.id = effects.contact_id where c.phone = ? and c.removed_at is null and kind = 'text' and state = 'accepted' and incident is not null and planned_at > ? order by planned_at desc limit 50", "+1777", noon)
		t.Log(strings.Join(plan, "\n"))
		return err
	}))
	_ = models.SeverityLow
}
