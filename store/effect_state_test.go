package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// said is a word in a test, about one effect.
type said struct {
	state          string
	rank, sequence int
	moved          bool
}

func TestAdvanceNeverGoesBack(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	for n, c := range []struct {
		name string
		said []said
		last string
	}{
		{"counted", []said{{"initiated", 0, 0, true}, {"in-progress", 0, 2, true}, {"ringing", 0, 1, false},
			{"in-progress", 0, 2, false}, {"completed", 0, 3, true}}, "completed"},
		{"ranked", []said{{"processed", 1, -1, true}, {"delivered", 4, -1, true}, {"deferred", 2, -1, false},
			{"delivered", 4, -1, false}}, "delivered"},
		{"polled, then a late callback", []said{{"ringing", 2, 1, true}, {"completed", 4, -1, true},
			{"in-progress", 3, 2, false}, {"completed", 4, 3, true}}, "completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &house{T: t, Store: h.Store, acme: h.acme}
			alone, together := h.intend(h.acme, i, 10*n+1), h.intend(h.acme, i, 10*n+2)
			var batch []store.VendorReport
			for step, s := range c.said {
				w := store.VendorReport{EventID: fmt.Sprintf("%d.%d", n, step), Effect: alone.ID, State: s.state, Rank: s.rank, Sequence: s.sequence}
				moved := h.advance(h.acme, "alone", w)
				equal(t, "effects moved by "+s.state, len(moved) == 1, s.moved)
				if s.moved {
					same(t, "what is returned", moved[0], h.effect(alone.Key))
					equal(t, "word", moved[0].VendorState, s.state)
				}
				w.Effect = together.ID
				batch = append(batch, w)
			}
			equal(t, "last word", h.effect(alone.Key).VendorState, c.last)
			moved := h.advance(h.acme, "together", batch...)
			equal(t, "effects moved by all at once", len(moved), 1)
			same(t, "what is returned", moved[0], h.effect(together.Key))
			equal(t, "last word of all at once", moved[0].VendorState, c.last)
			backwards := h.intend(h.acme, i, 10*n+3)
			slices.Reverse(batch)
			for i := range batch {
				batch[i].Effect = backwards.ID
			}
			h.advance(h.acme, "backwards", batch...)
			equal(t, "last word of all at once, backwards", h.effect(backwards.Key).VendorState, c.last)
		})
	}
}

// TestAdvanceIsWordAfterWord holds batches, cut anywhere, against the rule for one word.
func TestAdvanceIsWordAfterWord(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	event, occurrence := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		type last struct {
			state          string
			rank, sequence int
		}
		var ids []uuid.UUID
		var keys []string
		for range 3 {
			occurrence++
			row := h.intend(h.acme, i, occurrence)
			ids, keys = append(ids, row.ID), append(keys, row.Key)
		}
		want := []last{{"", -1, -1}, {"", -1, -1}, {"", -1, -1}}
		for range rapid.IntRange(1, 3).Draw(r, "batches") {
			var words []store.VendorReport
			wantMoved := map[uuid.UUID]bool{}
			for range rapid.IntRange(0, 6).Draw(r, "words") {
				n := rapid.IntRange(0, 2).Draw(r, "effect")
				rank, sequence := rapid.IntRange(0, 3).Draw(r, "rank"), rapid.IntRange(-1, 3).Draw(r, "sequence")
				event++
				state := fmt.Sprint("state ", event)
				words = append(words, store.VendorReport{EventID: fmt.Sprint(event), Effect: ids[n], State: state, Rank: rank, Sequence: sequence})
				before := want[n]
				if sequence == -1 && rank > before.rank || sequence > before.sequence && rank >= before.rank {
					want[n], wantMoved[ids[n]] = last{state, rank, max(sequence, before.sequence)}, true
				}
			}
			moved := h.advance(h.acme, "v", words...)
			equal(t, "effects moved", len(moved), len(wantMoved))
			for _, row := range moved {
				equal(t, "an effect moved", wantMoved[row.ID], true)
			}
		}
		for n, key := range keys {
			row := h.effect(key)
			equal(t, "last word", row.VendorState, want[n].state)
			equal(t, "count", row.Sequence, want[n].sequence)
		}
	})
}

func TestWordsAreKeptOnce(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	first, second := h.intend(h.acme, i, 1), h.intend(h.acme, i, 2)
	foreign := h.intend(h.other, h.published(h.other, "open"), 1)
	word := func(event string, of store.LedgerRow, state string, rank int) store.VendorReport {
		return store.VendorReport{EventID: event, Effect: of.ID, State: state, Rank: rank, Sequence: -1, At: noon.Add(time.Duration(rank) * time.Second)}
	}
	batch := []store.VendorReport{
		word("e3", second, "delivered", 4), word("e1", first, "delivered", 4), word("e1", second, "bounce", 5),
		word("e2", first, "processed", 1), word("e4", foreign, "bounce", 5), word("e5", store.LedgerRow{}, "bounce", 5),
	}
	moved := h.advance(h.acme, "sendgrid", batch...)
	equal(t, "effects moved", len(moved), 2)
	equal(t, "the first that moved", moved[0].Key, second.Key)
	equal(t, "the second that moved", moved[1].Key, first.Key)
	equal(t, "last word on the first that moved", moved[0].VendorState, "delivered")
	equal(t, "effects moved by the repeat", len(h.advance(h.acme, "sendgrid", batch...)), 0)
	equal(t, "effects moved by a repeat that says more", len(h.advance(h.acme, "sendgrid", word("e1", first, "bounce", 5))), 0)
	equal(t, "the other client's effect", h.deliveries(h.other, foreign.Incident)[0].VendorState, "")
	equal(t, "words kept of the other client's", len(h.deliveries(h.other, foreign.Incident)[0].States), 0)
	said := map[string][]notify.DeliveryState{}
	for _, d := range h.deliveries(h.acme, i.Reference) {
		said[d.Key] = d.States
	}
	same(t, "words on the first", said[first.Key], []notify.DeliveryState{
		{State: "processed", At: noon.Add(time.Second)}, {State: "delivered", At: noon.Add(4 * time.Second)}})
	same(t, "words on the second", said[second.Key], []notify.DeliveryState{{State: "delivered", At: noon.Add(4 * time.Second)}})
	equal(t, "the same id of another vendor", len(h.advance(h.acme, "twilio", word("e1", first, "bounce", 5))), 1)
	equal(t, "the same id at the other client", len(h.advance(h.other, "sendgrid", word("e1", foreign, "delivered", 4))), 1)
}

func TestWordsOfAttackersAreBounded(t *testing.T) {
	h := newHouse(t)
	row := h.intend(h.acme, h.published(h.acme, "open"), 1)
	h.advance(h.acme, "v",
		store.VendorReport{EventID: "a\x00", Effect: row.ID, State: "first", Rank: 1, Sequence: -1, Detail: "no\x00 \xff \\u0000 'quote' ? @x"},
		store.VendorReport{EventID: "b\xff", Effect: row.ID, State: strings.Repeat("é", 300), Rank: 2, Sequence: -1, Detail: strings.Repeat("é", 300)})
	states := h.deliveries(h.acme, row.Incident)[0].States
	equal(t, "detail", states[0].Detail, "no\uFFFD \uFFFD \\u0000 'quote' ? @x")
	equal(t, "moment of a word without one", states[0].At, noon)
	equal(t, "length of the detail", utf8.RuneCountInString(states[1].Detail), 200)
	equal(t, "last word", h.effect(row.Key).VendorState, strings.Repeat("é", 200))
}

func TestManyWordsTakeFewStatements(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	var effects []store.LedgerRow
	h.ledger(func(tx *store.Tx) error {
		for n := range 250 {
			row, err := tx.Intend(message(h.acme, i, models.ChannelEmail, n+1), noon)
			h.ok(err)
			effects = append(effects, row)
		}
		return nil
	})
	batch := func(name string, size int) (words []store.VendorReport) {
		for n := range size {
			words = append(words, store.VendorReport{
				EventID: fmt.Sprint(name, n), Effect: effects[n%len(effects)].ID, State: fmt.Sprint("state ", n), Rank: n, Sequence: -1, At: noon,
			})
		}
		return words
	}
	count := func(words []store.VendorReport) int64 {
		before, start := h.Statements(), time.Now()
		h.advance(h.acme, "v", words...)
		t.Logf("%d words on %d effects: %s", len(words), min(len(words), len(effects)), time.Since(start))
		return h.Statements() - before
	}
	many := batch("many", 1000)
	equal(t, "statements for 1,000 words less those for one", count(many)-count(batch("one", 1)), 1) // one moves nothing now
	equal(t, "statements for the repeat", count(many), count(many[:2]))
	equal(t, "statements for ten times as many", count(batch("more", 10_000)), 3+3)
	equal(t, "last word", h.effect(effects[249].Key).VendorState, "state 9999")
}

// TestBatchesThatMeet runs batches about the same effects, in opposite orders and with the same events, at once.
func TestBatchesThatMeet(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	var effects []store.LedgerRow
	for n := range 20 {
		effects = append(effects, h.intend(h.acme, i, n+1))
	}
	const rounds, workers = 40, 4
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for round := range rounds {
				var words []store.VendorReport
				for n, e := range effects[:len(effects)-worker] { // the order must not hang on which effects there are
					words = append(words,
						store.VendorReport{EventID: fmt.Sprintf("shared %d.%d", round, n), Effect: e.ID, State: "shared", Rank: 2 * round, Sequence: -1},
						store.VendorReport{EventID: fmt.Sprintf("own %d.%d.%d", worker, round, n), Effect: e.ID, State: fmt.Sprint(round), Rank: 2*round + 1, Sequence: -1})
				}
				if worker%2 == 1 {
					slices.Reverse(words)
				}
				if err := h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
					_, err := tx.Advance("v", words, noon)
					return err
				}); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			}
		})
	}
	all.Wait()
	words := map[string]int{}
	for _, d := range h.deliveries(h.acme, i.Reference) {
		words[d.Key] = len(d.States)
	}
	for n, e := range effects {
		equal(t, "last word", h.effect(e.Key).VendorState, fmt.Sprint(rounds-1))
		equal(t, "words", words[e.Key], rounds*(1+min(workers, len(effects)-n)))
	}
}
