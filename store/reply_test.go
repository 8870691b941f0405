package store_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestAwaitedReplies(t *testing.T) {
	h := newHouse(t)
	i, foreign := h.published(h.acme, "open"), h.published(h.other, "open")
	phone := h.acme.contact.Phone // both tenants' contacts have it
	var removed, another models.Contact
	h.soc(func(tx *store.Tx) (err error) {
		removed, err = tx.CreateContact(models.Contact{Name: "Removed", Phone: phone}, "contact-2", "")
		h.ok(err)
		h.ok(tx.RemoveContact(removed.ID, noon))
		another, err = tx.CreateContact(models.Contact{Name: "Another", Phone: "+15005550001"}, "contact-3", "")
		return err
	})
	text := func(te tenant, i incident.Incident, n int, at time.Time, change func(*notify.Effect)) string {
		e := message(te, i, models.ChannelSMS, n)
		change(&e)
		h.as(store.Worker, te, func(tx *store.Tx) error {
			_, err := tx.Intend(e, at)
			h.ok(err)
			return tx.Accept(e.Key, "twilio", e.Key, at)
		})
		return e.Key
	}
	as := func(contact uuid.UUID) func(*notify.Effect) { return func(e *notify.Effect) { e.Contact = contact } }
	plain := func(*notify.Effect) {}
	first := text(h.acme, i, 1, noon.Add(time.Minute), plain)
	newest := text(h.other, foreign, 1, noon.Add(2*time.Minute), plain)
	text(h.acme, i, 2, noon, plain)
	text(h.acme, i, 3, noon.Add(time.Minute), as(removed.ID))
	text(h.acme, i, 4, noon.Add(time.Minute), as(another.ID))
	text(h.acme, i, 5, noon.Add(time.Minute), func(e *notify.Effect) { e.Incident = "" })
	text(h.acme, i, 6, noon.Add(time.Minute), func(e *notify.Effect) { e.Kind = notify.EffectMail })
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Intend(message(h.acme, i, models.ChannelSMS, 7), noon.Add(time.Minute))
		return err
	})
	replies := func(phone string) (keys []string) {
		h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.AwaitedReplies(phone, noon)
			for _, row := range rows {
				keys = append(keys, row.Key)
			}
			return err
		}))
		return keys
	}
	same(t, "texts", replies(phone), []string{newest, first})
	equal(t, "texts to an unknown number", len(replies("+15005559999")), 0)
	h.record(h.acme, &i, h.acme.user.Actor(), &incident.AcknowledgedBy{Channel: "portal", How: "acknowledged"})
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.AwaitedReplies(phone, noon)
		if len(rows) != 2 || rows[0].IsSettled || !rows[1].IsSettled {
			t.Errorf("after one incident was acknowledged: %+v", rows)
		}
		return err
	}))
	for n := range 60 {
		text(h.acme, i, 100+n, noon.Add(time.Hour), plain)
	}
	equal(t, "texts at most", len(replies(phone)), 50)
}

func TestACodeDiesAfterTenWrongReplies(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	var texts []string
	var codes []string
	for n := range 2 {
		e := message(h.acme, i, models.ChannelSMS, n+1)
		h.as(store.Worker, h.acme, func(tx *store.Tx) error {
			row, err := tx.Intend(e, noon)
			texts, codes = append(texts, row.Key), append(codes, row.Code())
			return errors.Join(err, tx.Accept(e.Key, "twilio", e.Key, noon))
		})
	}
	take := func(texts []string, candidates ...string) string {
		var meant []string
		h.as(store.Worker, h.acme, func(tx *store.Tx) (err error) {
			meant, err = tx.TakeReply(texts, candidates, max(len(candidates), 1))
			return err
		})
		return strings.Join(meant, " ")
	}
	equal(t, "the right one", take(texts, "000000", codes[1]), texts[1])
	equal(t, "both", take(texts, codes...), texts[0]+" "+texts[1])
	equal(t, "nine wrong ones", take(texts, "1", "2", "3", "4", "5")+take(texts, "6", "7", "8")+take(texts), "")
	equal(t, "the right one, after nine", take(texts, codes[0]), texts[0])
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { take(texts[:1], "wrong") })
	}
	all.Wait()
	equal(t, "the right one of the first text, after ten", take(texts, codes[0]), "")
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.AwaitedReplies(h.acme.contact.Phone, noon.Add(-time.Hour))
		equal(t, "texts whose codes count", len(rows), 0) // the last try was wrong for the second, too
		return err
	}))
}

func TestGuessesThatComeAtOnceCount(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	e := message(h.acme, i, models.ChannelSMS, 1)
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		_, err := tx.Intend(e, noon)
		return errors.Join(err, tx.Accept(e.Key, "twilio", e.Key, noon))
	})
	var compared atomic.Int32
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			h.as(store.Worker, h.acme, func(tx *store.Tx) error {
				ran, err := tx.Watched(func(tx *store.Tx) error {
					_, err := tx.TakeReply([]string{e.Key}, []string{"wrong"}, 1)
					return err
				})
				if ran[0].Rows > 0 {
					compared.Add(1)
				}
				return err
			})
		})
	}
	all.Wait()
	equal(t, "replies that were compared with the code", compared.Load(), 10)
}
